"""What the user asked for, resolved: flags -> cells -> packs. Mistakes are found here, before a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import model as models
from suite import track as tracks
from suite.errors import UserError
from suite.kernels import check_attention
from suite.places import Spec, base_of, places_of, specs_of
from suite.record import (
    BaseRef,
    Cell,
    EvaluationSettings,
    Measured,
    Recipe,
    Search,
    TaskRef,
    VariantRef,
)
from suite.request import ATTENTIONS, PRECISIONS, Request, counted, many, one_of, rate, whole
from suite.setup import Setup
from suite.tuning import grid

if TYPE_CHECKING:
    from tasks.general import General
    from tasks.interface import Evaluation, Places, Task
    from variants.interface import Variant

DEFAULT_TRACK = "pocket"
DATA_TRACK = "open"
SAMPLED_AT = 0.2  # temperature of several answers per item, as in Codex's and LoRA Learns Less's pass@1

Pack = tuple[Cell, ...]


@dataclass(frozen=True)
class Plan:
    """What will run: cells, and where and how, which is no part of a cell.

    `searches` says by cell id what a cell is in a search for its learning rate, whose grid has `per_decade`
    points and may grow by `edge` rates; `measured` is what is scored of every cell.
    """

    track: str
    cells: tuple[Cell, ...]
    setup: Setup
    searches: Mapping[str, Search] = field(default_factory=dict)
    measured: Measured = "all"
    per_decade: int = 4
    edge: int = 0


@dataclass(frozen=True)
class Read:
    """A task with its rows read, how it is trained for, and how it is scored."""

    task: Task
    recipe: Recipe
    evaluation: EvaluationSettings

    @property
    def ref(self) -> TaskRef:
        """The task in a cell."""
        task = self.task
        return TaskRef(name=task.name, source=task.source, revision=task.revision, digest=task.digest)


def resolve(request: Request) -> Plan:
    """The plan behind the flags. Raises UserError, VariantError or TaskError on the first mistake."""
    from variants import registry

    track = track_of(request)
    rates = None
    if request.lr is not None:
        rates = many("--lr", request.lr, rate, "numbers above 0 with commas")
    seeds = track.protocol.seeds if request.tune else track.seeds
    if request.seeds is not None:
        seeds = many("--seeds", request.seeds, whole(0), "whole numbers with commas, 0 or more")
    given = one_of("--precision", request.precision, PRECISIONS)
    recipe, evaluation = request.recipe(), request.evaluation()
    variants = registry.parse_list(",".join(track.variants) if request.variants is None else request.variants)
    setup, base, specs = setup_of(request, track)
    tasks = read_tasks(track, specs, setup.places, recipe, evaluation)
    check_model(setup.base, tasks)
    _check_variants(setup.base, variants)
    cells: list[Cell] = []
    searches: dict[str, Search] = {}
    for seed, read, variant in product(seeds, tasks, variants):
        kind = given or precision(setup.device, variant.trains_base)
        default = track.learning_rate(variant.label, read.task.name)
        search = _search(track, rates, default) if request.tune else None
        for lr in _rates(search) if search else rates or [default]:
            cell = _cell(track, base, variant, read, lr, seed, kind)
            cells.append(cell.model_copy(update=request.fixed_seeds()))
            if search:
                role = "trial" if lr in search.rates else "default"
                searches[cells[-1].id] = search.model_copy(update={"role": role})
    if not searches:
        return Plan(track.label, tuple(cells), setup)
    how = track.protocol
    return Plan(
        track.label, tuple(cells), setup, searches, "validation", how.per_decade, 0 if rates else how.edge
    )


def _search(track: tracks.Track, rates: list[float] | None, default: float) -> Search:
    """The search of a variant on a task: rates that were given, or the track's grid around its default."""
    how = track.protocol
    return Search(
        method="grid",
        rates=sorted(rates) if rates else grid(default, how.rates, how.per_decade),
        default=default,
        role="trial",
    )


def _rates(search: Search) -> list[float]:
    """The rates of a search, and the default where it is none of them: it is measured all the same."""
    return [*search.rates, *([] if search.default in search.rates else [search.default])]


def track_of(request: Request) -> tracks.Track:
    """The track that was named, or the one that fits the data."""
    folder, _ = request.folders()
    return tracks.load(request.track or (DEFAULT_TRACK if folder is None else DATA_TRACK))


def setup_of(request: Request, track: tracks.Track) -> tuple[Setup, BaseRef, list[Spec]]:
    """Where everything lies, the base as records name it, and the tasks; nothing is loaded yet."""
    device = models.resolve_device(request.device)
    specs = specs_of(request, track)
    places = places_of(request, track, specs)
    name, folder = base_of(request, track, places)
    kernel = one_of("--attention", request.attention, ATTENTIONS)
    check_attention(kernel, request.precision or precision(device, trains_base=False), device)
    setup = Setup(
        base=folder,
        places=places,
        device=device,
        micro_batch=counted("--micro-batch", request.micro_batch),
        checkpointing=request.checkpointing,
        attention=kernel,
    )
    return setup, models.base_ref(name, folder), specs


def packs(cells: Sequence[Cell]) -> list[Pack]:
    """Which cells train together: each one alone."""
    return [(cell,) for cell in cells]


def precision(device: str, trains_base: bool) -> str:
    """Of the base: float32 on a CPU; on a GPU bfloat16, mixed where the base's own weights train."""
    if not device.startswith("cuda"):
        return "float32"
    return "mixed" if trains_base else "bfloat16"


def _cell(
    track: tracks.Track, base: BaseRef, variant: Variant, read: Read, lr: float, seed: int, precision: str
) -> Cell:
    return Cell(
        track=track.label,
        base=base,
        variant=VariantRef(name=variant.label, settings=variant.settings(), revision=variant.revision),
        task=read.ref,
        recipe=read.recipe.model_copy(update={"precision": precision}),
        learning_rate=lr,
        seed=seed,
        evaluation=read.evaluation,
    )


def read_tasks(
    track: tracks.Track,
    specs: Sequence[Spec],
    places: Places,
    recipe: dict[str, Any],
    evaluation: dict[str, Any],
) -> list[Read]:
    """The tasks with all their rows read once, so that a bad row is found now.

    `recipe` and `evaluation` are settings that were given in place of the track's.
    """
    from tasks import registry

    general = registry.general(places.data)
    found = [_read(track, spec, places, general, recipe, evaluation) for spec in specs]
    for i, read in enumerate(found):
        if read.ref in [other.ref for other in found[:i]]:
            raise UserError(f"--tasks names {read.ref.label!r} twice; name each task once")
    _check_sandbox([evaluation for read in found for evaluation in read.task.evaluations])
    return found


def _read(
    track: tracks.Track,
    spec: Spec,
    places: Places,
    general: General,
    recipe: dict[str, Any],
    evaluation: dict[str, Any],
) -> Read:
    from tasks import registry

    part, how = track.part(*spec), track.recipe_for(*spec, **recipe)
    task = registry.get(
        spec.name, places, spec.source, part and part.evaluations, examples=how.examples, tokens=how.tokens
    )
    for split in ("train", "validation", "test"):
        if next(task.stream(split), None) is None:
            raise UserError(f"task {task.name!r}: no {split} examples in {task.source!r}")
    return Read(task, how, _evaluation(track, task, general, evaluation))


def _evaluation(
    track: tracks.Track, task: Task, general: General, given: dict[str, Any]
) -> EvaluationSettings:
    settings = {**track.evaluation.given(), **given}
    if settings.get("samples", 1) > 1:
        settings.setdefault("temperature", SAMPLED_AT)
        if settings["temperature"] == 0:
            raise UserError("--temperature 0 makes all samples alike; give one above 0, or --samples 1")
    elif "seed" in settings:
        raise UserError(f"--sampling-seed {settings['seed']} needs --samples 2 or more: one is greedy")
    elif settings.get("temperature"):
        raise UserError(f"--temperature {settings['temperature']:g} needs --samples 2 or more: one is greedy")
    return EvaluationSettings(
        target=[evaluation.name for evaluation in task.evaluations],
        general=[evaluation.name for evaluation in general.evaluations],
        general_digest=general.digest,
        **settings,
    )


def _check_sandbox(evaluations: Sequence[Evaluation]) -> None:
    """Refuse before training what could not be scored after it."""
    needing = [evaluation.name for evaluation in evaluations if evaluation.runs_code]
    if not needing:
        return
    from tasks import sandbox

    if reason := sandbox.available():
        raise UserError(f"{needing[0]} runs model-written code and cannot be isolated here: {reason}")


def _check_variants(folder: Path, variants: Sequence[Variant]) -> None:
    """Each variant fits the model's layers (VariantError if not)."""
    skeleton = models.skeleton(folder)
    for variant in variants:
        variant.check(skeleton)


def check_model(folder: Path, tasks: Sequence[Read]) -> None:
    """The model can be read, and the tasks' examples fit its context and its chat template."""
    models.check(folder)
    longest, most = max(read.recipe.max_length for read in tasks), models.context_length(folder)
    if most is not None and longest > most:
        raise UserError(
            f"max_length {longest} of the track is more than the model's context of {most} tokens"
        )
    if most is not None:
        for read in tasks:
            _check_answers(read, most)
    asked = any(read.recipe.chat_template or read.evaluation.chat_template for read in tasks)
    if asked and not models.tokenizer(folder).chat_template:
        raise UserError(f"--chat-template: the tokenizer in {str(folder)!r} has none; leave the flag out")


def _check_answers(read: Read, context: int) -> None:
    """What a task generates leaves room for its prompts."""
    from tasks.lm_eval import longest_answer

    for evaluation in read.task.evaluations:
        longest = longest_answer(evaluation.config)
        new = longest and (read.evaluation.max_new_tokens or longest)
        if new is not None and new >= context:
            raise UserError(
                f"{evaluation.name} generates up to {new} tokens, and the model's context is {context}; "
                f"use --max-new-tokens with much less than {context}, or a base with a longer context"
            )
