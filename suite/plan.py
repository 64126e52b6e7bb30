"""What the user asked for, resolved: flags -> cells -> packs. Mistakes are found here, before a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from suite import model as models
from suite import track as tracks
from suite.errors import UserError, nearest
from suite.record import BaseRef, Cell, EvaluationSettings, TaskRef, VariantRef

if TYPE_CHECKING:
    from tasks.general import General
    from tasks.interface import Evaluation, Task
    from variants.interface import Variant

DEFAULT_TRACK = "pocket"
DATA_TRACK = "open"

Pack = tuple[Cell, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """The flags of `suite run` as typed; None means not given."""

    variants: str | None = None
    tasks: str | None = None
    track: str | None = None
    model: str | None = None
    data: str | None = None
    seeds: str | None = None
    lr: str | None = None
    steps: str | None = None
    limit: str | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Plan:
    """What will run: cells, and where their base and data lie, which is no part of a cell."""

    track: str
    cells: tuple[Cell, ...]
    base: Path
    data: Path | None
    device: str


def resolve(request: Request) -> Plan:
    """The plan behind the flags. Raises UserError, VariantError or TaskError on the first mistake."""
    from variants import registry

    track = tracks.load(request.track or (DEFAULT_TRACK if request.data is None else DATA_TRACK))
    rates = None
    if request.lr is not None:
        rates = _many("--lr", request.lr, _rate, "numbers above 0 with commas")
    seeds = track.seeds
    if request.seeds is not None:
        seeds = _many("--seeds", request.seeds, _whole(0), "whole numbers with commas, 0 or more")
    steps = at_least_one("--steps", request.steps)
    limit = at_least_one("--limit", request.limit)
    variants = registry.parse_list(",".join(track.variants) if request.variants is None else request.variants)
    names = task_names(request.tasks, track)
    data = data_folder(request.data, track)
    device = models.resolve_device(request.device)
    folder = models.locate(track.base if request.model is None else request.model)
    models.check(folder)
    tasks, settings = read_tasks(names, data, limit)
    check_length(folder, [track.recipe_for(name).max_length for name in names])
    _check_variants(folder, variants)
    base = models.base_ref(track.base if request.model is None else request.model, folder)
    cells = [
        _cell(track, base, variant, task, settings[task.name], rate, seed, steps, device)
        for seed in seeds
        for task in tasks
        for variant in variants
        for rate in rates or [track.learning_rate(variant.label, task.name)]
    ]
    return Plan(track.label, tuple(cells), folder, data, device)


def at_least_one(flag: str, text: str | None) -> int | None:
    """A flag that counts, if it was given."""
    return None if text is None else _read(flag, text, _whole(1), "a whole number, 1 or more")


def packs(cells: Sequence[Cell]) -> list[Pack]:
    """Which cells train together: each one alone."""
    return [(cell,) for cell in cells]


def precision(device: str, trains_base: bool) -> str:
    """Of the base: bfloat16 on a GPU, float32 on a CPU and where the base's own weights train."""
    return "bfloat16" if device.startswith("cuda") and not trains_base else "float32"


def _cell(
    track: tracks.Track,
    base: BaseRef,
    variant: Variant,
    task: Task,
    evaluation: EvaluationSettings,
    rate: float,
    seed: int,
    steps: int | None,
    device: str,
) -> Cell:
    overrides = {} if steps is None else {"steps": steps}
    recipe = track.recipe_for(task.name, precision=precision(device, variant.trains_base), **overrides)
    return Cell(
        track=track.label,
        base=base,
        variant=VariantRef(name=variant.label, settings=variant.settings(), revision=variant.revision),
        task=TaskRef(name=task.name, source=task.source, revision=task.revision, digest=task.digest),
        recipe=recipe,
        learning_rate=rate,
        seed=seed,
        evaluation=evaluation,
    )


def read_tasks(
    names: Sequence[str], data: Path | None, limit: int | None
) -> tuple[list[Task], dict[str, EvaluationSettings]]:
    """The tasks with all their rows read once, so that a bad row is found now, and how each is evaluated."""
    from tasks import registry

    general = registry.general(data)
    found = [registry.get(name, data) for name in names]
    for task in found:
        for split in ("train", "validation", "test"):
            if not task.examples(split):
                raise UserError(f"task {task.name!r}: no {split} examples in {data or 'the pocket world'}")
    _check_sandbox([e for task in found for e in task.evaluations])
    return found, {task.name: _evaluation(task, general, limit) for task in found}


def _evaluation(task: Task, general: General, limit: int | None) -> EvaluationSettings:
    return EvaluationSettings(
        target=[evaluation.name for evaluation in task.evaluations],
        general=[evaluation.name for evaluation in general.evaluations],
        general_digest=general.digest,
        limit=limit,
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


def check_length(folder: Path, lengths: Sequence[int]) -> None:
    """The recipes' examples fit the model's context."""
    most = models.context_length(folder)
    if most is not None and max(lengths) > most:
        raise UserError(
            f"max_length {max(lengths)} of the track is more than the model's context of {most} tokens"
        )


def task_names(text: str | None, track: tracks.Track) -> list[str]:
    """The tasks asked for, all of them in the track."""
    from tasks import registry

    known = registry.names()
    if text is None:
        return list(track.tasks)
    names = _many("--tasks", text, str, f"some of {', '.join(known)}")
    for name in names:
        if name not in known:
            close = nearest(name, known)
            raise UserError(f"unknown task {name!r}; did you mean {close!r}? (of {', '.join(known)})")
        if name not in track.tasks:
            raise UserError(
                f"task {name!r} is not in track {track.name!r}, which has {', '.join(track.tasks)}"
            )
    return names


def data_folder(text: str | None, track: tracks.Track) -> Path | None:
    if text is None:
        if track.needs_data:
            raise UserError(f"track {track.name!r} runs on real data; give its folder with --data")
        return None
    if not track.needs_data:
        raise UserError(
            f"track {track.name!r} runs on the embedded world and reads no --data; "
            f"leave --data out, or use --track {DATA_TRACK}"
        )
    path = Path(text).expanduser()
    if not text.strip() or not path.is_dir():
        raise UserError(
            f"--data: no folder {text!r}; expected one with gsm8k/, hellaswag/, ... in hub columns"
        )
    return path.resolve()


def _many(flag: str, text: str, read: Callable[[str], T], expected: str) -> list[T]:
    """A comma list of distinct values."""
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    if not pieces:
        raise UserError(f"{flag} {text!r} is an empty list; expected {expected}")
    values = [_read(flag, piece, read, expected) for piece in pieces]
    for i, value in enumerate(values):
        if value in values[:i]:
            raise UserError(f"{flag} names {pieces[i]!r} twice; name each value once")
    return values


def _read(flag: str, text: str, read: Callable[[str], T], expected: str) -> T:
    try:
        return read(text)
    except ValueError:
        raise UserError(f"{flag} {text!r}: expected {expected}") from None


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text)
        if value < least:
            raise ValueError
        return value

    return read


def _rate(text: str) -> float:
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise ValueError
    return value
