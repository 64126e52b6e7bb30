"""`suite doctor`: what a model is, what each variant needs on this device, and what is not there yet.

Nothing is trained, and of a model on the hub only configuration and tokenizer are fetched.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from suite import architecture
from suite import model as models
from suite.errors import UserError
from suite.request import Request, counted, read, whole

if TYPE_CHECKING:
    from suite.places import Spec
    from suite.record import Recipe
    from suite.track import Track
    from suite.training.encode import Encoded
    from tasks.interface import Places
    from variants.interface import Variant

GIB = 2**30


@dataclass(frozen=True)
class Anatomy:
    """What a configuration says: numbers of the whole model, of its embeddings, and the context in tokens."""

    name: str
    architecture: str
    parameters: int
    embedding: int
    tied: bool
    context: int | None
    attention: str


@dataclass(frozen=True)
class Demand:
    """One variant on this model: bytes at the peak of a step, or why there is no such thing.

    `micro_batch` are the rows that fit through the model at once, None if not even one does.
    """

    variant: str
    precision: str
    adapted: dict[str, int]
    trainable: int | None = None
    peak: int | None = None
    fits: bool = False
    micro_batch: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Finding:
    """Something that a run needs or may want."""

    what: str
    state: Literal["ok", "missing", "note"]
    told: str


@dataclass(frozen=True)
class Diagnosis:
    """All of it; `free` are the bytes of the device that are free now.

    Memory is that of `batch` rows of `length` tokens, or of as many examples of a task's training set, as
    `work` says.
    """

    model: Anatomy
    device: str
    free: int
    batch: int
    length: int
    work: str
    demands: Sequence[Demand]
    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether every variant can run as asked: a step in micro-batches counts."""
        missing = any(finding.state == "missing" for finding in self.findings)
        return not missing and all(demand.micro_batch for demand in self.demands)


def command(
    model: str | None,
    variants: str | None,
    track: str | None,
    batch: str | None,
    length: str | None,
    data: str | None,
    device: str,
    as_json: bool,
    tasks: str | None = None,
) -> bool:
    """Examine, print, and say whether all can run. Raises UserError, VariantError."""
    from rich.console import Console

    with Console(stderr=True).status("looking at the model"):
        found = examine(model, variants, track, batch, length, data, device, tasks)
    if as_json:
        print(json.dumps({**asdict(found), "ok": found.ok}, indent=2))
    else:
        from suite.doctor_table import show

        show(found, Console())
    return found.ok


def examine(
    model: str | None = None,
    variants: str | None = None,
    track: str | None = None,
    batch: str | None = None,
    length: str | None = None,
    data: str | None = None,
    device: str = "auto",
    tasks: str | None = None,
) -> Diagnosis:
    """The diagnosis behind the flags as typed; what is not given is the track's."""
    from suite.places import base_of, specs_of
    from suite.plan import DATA_TRACK, track_of
    from suite.training.memory import capacity
    from tasks.interface import Places
    from variants import registry

    if track is None and model is not None and model not in models.SHIPPED:
        track = DATA_TRACK
    given = (data,) if data else ()
    request = Request(variants=variants, tasks=tasks, track=track, model=model, data=given)
    chosen, (folder, own) = track_of(request), request.folders()
    places, specs = Places(data=folder, own=own), specs_of(request, chosen)
    recipe = chosen.recipe_for(*specs[0])
    rows = counted("--batch", batch) or recipe.batch_size
    if length is None:
        tokens = max(chosen.recipe_for(*spec).max_length for spec in specs)
    else:
        tokens = read("--length", length, whole(2), "a whole number, 2 or more")
    on = models.resolve_device(device)
    name, place = base_of(request, chosen, places, weights=False)
    free = capacity(on)
    recipe = recipe.model_copy(update={"batch_size": rows, "max_length": tokens})
    wanted = registry.parse_list(",".join(chosen.variants) if variants is None else variants)
    work, examples = f"{rows} rows of {tokens} tokens", ()
    if length is None and (places.data is not None or not chosen.needs_data or own is not None):
        work, examples = _largest_step(chosen, specs, places, recipe, place, on)
    demands = [_demand(place, variant, recipe, on, free, examples) for variant in wanted]
    findings = [*_of_model(name, place, tokens), *_of_track(chosen, places), *_of_packages(on)]
    return Diagnosis(_anatomy(name, place), on, free, rows, tokens, work, demands, findings)


def _anatomy(name: str, folder: Path) -> Anatomy:
    model: Any = models.skeleton(folder)
    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    held = {id(end.weight): end.weight.numel() for end in ends if end is not None}
    return Anatomy(
        name=name,
        architecture=type(model).__name__,
        parameters=sum(p.numel() for p in model.parameters()),
        embedding=sum(held.values()),
        tied=len(held) < 2,
        context=architecture.context_length(folder),
        attention=model.config._attn_implementation,
    )


def _largest_step(
    track: Track, specs: Sequence[Spec], places: Places, recipe: Recipe, folder: Path, device: str
) -> tuple[str, tuple[Encoded, ...]]:
    """The examples of a step of the tasks' own rows, those with the most tokens, and how to call them.

    Of the first seed: on a GPU, where a peak is that of all steps, the largest step of a task; on a CPU the
    one whose memory a run counts.
    """
    from suite.training.batches import order
    from suite.training.encode import encode_all
    from suite.training.train import LOOKED_AT
    from tasks import registry

    tokenizer, found = models.tokenizer(folder), []
    for spec in specs:
        how = track.recipe_for(*spec, batch_size=recipe.batch_size, max_length=recipe.max_length)
        task = registry.get(spec.name, places, spec.source, (), how.examples, how.tokens)
        form = (how.max_length, how.loss_on, how.chat_template)
        rows = encode_all(task.stream("train"), tokenizer, *form, tokens=how.tokens)
        batches = order(len(rows), how.batch_size, (track.seeds[0], task.name))
        steps = [[rows[i] for i in next(batches)] for _ in range(how.steps)]
        chosen = steps if device.startswith("cuda") else [steps[min(LOOKED_AT, how.steps - 1)]]
        found += [(sum(len(row.ids) for row in step), f"{task.name}:{task.source}", step) for step in chosen]
    tokens, name, step = max(found, key=lambda one: one[0])
    rows_ = "packed" if recipe.batching == "packed" else "one a row"
    return f"{len(step)} examples of {name} ({tokens} tokens, {rows_})", tuple(step)


def _demand(
    folder: Path, variant: Variant, recipe: Recipe, device: str, free: int, rows: tuple[Encoded, ...]
) -> Demand:
    """What a variant needs; one that does not fit this model is told, not raised."""
    from suite.estimate import as_typed
    from suite.plan import precision
    from suite.training.memory import Work, fits, largest_micro_batch, needs
    from variants import VariantError

    kind = precision(device, variant.trains_base)
    work = Work(recipe.model_copy(update={"precision": kind}), recipe.max_length, rows)
    try:
        whole = needs(folder, variant, work, device)
        size = recipe.batch_size
        if not fits(whole.peak, free):
            size = largest_micro_batch(folder, variant, work, device, free)
    except VariantError as error:
        return Demand(as_typed(variant), kind, {}, error=str(error))
    adapted = dict(Counter(_leaf(name) for name in whole.adapted))
    return Demand(as_typed(variant), kind, adapted, whole.trainable, whole.peak, fits(whole.peak, free), size)


def _of_model(name: str, folder: Path, length: int) -> Iterator[Finding]:
    yield _weights(name, folder)
    context = architecture.context_length(folder)
    if context is not None and length > context:
        yield Finding("context", "missing", f"{length} tokens a row, the model takes {context}: --length")
    try:
        found: Any = models.tokenizer(folder)
        models.check_vocabulary(folder, found)
    except UserError as error:
        yield Finding("tokenizer", "missing", str(error))
        return
    yield Finding("tokenizer", "ok", f"{len(found):,} tokens, end of text {found.eos_token!r}")
    if found.pad_token_id == found.eos_token_id:
        yield Finding("padding", "note", "no padding token of its own: rows are filled with end of text")
    if not found.chat_template:
        yield Finding("chat template", "note", "none: --chat-template cannot be used")


def _weights(name: str, folder: Path) -> Finding:
    """Whether they lie here, or how much is to be fetched."""
    files = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        needed = set(json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values())
        if lacking := sorted(needed - {file.name for file in files}):
            return Finding(
                "weights", "missing", f"{len(lacking)} of {len(needed)} files, such as {lacking[0]}"
            )
    if files:
        size = sum(file.stat().st_size for file in files)
        return Finding("weights", "ok", f"{gib(size)} in {len(files)} file(s)")
    if name in models.SHIPPED or Path(name).expanduser().is_dir():
        return Finding("weights", "missing", f"no *.safetensors in {str(folder)!r}")
    from suite.hub import api as hub

    repository, _, revision = name.partition("@")
    try:
        remote = hub.files(hub.resolve("model", repository, revision or None))
    except UserError as error:
        return Finding("weights", "missing", str(error))
    sizes = [file.size for file in remote if file.path.endswith(".safetensors")]
    if not sizes:
        return Finding("weights", "missing", "the repository has no safetensors; nothing else is read")
    return Finding("weights", "note", f"to be fetched: {gib(sum(sizes))} in {len(sizes)} file(s)")


def _of_track(track: Track, places: Places) -> Iterator[Finding]:
    """What its tasks read, and the sandbox for those that run code."""
    from suite.hub.manifest import verify
    from suite.places import Spec, needed
    from tasks import registry, sandbox

    specs = [Spec(*registry.split_spec(text)) for text in track.tasks]
    if track.needs_data and places.data is None:
        yield Finding(
            "data", "note", f"fetched from the hub at the first run: {len(needed(track, specs))} files"
        )
    elif track.needs_data and places.data is not None:
        files = needed(track, specs)
        lacking = [file for file in files if not (places.data / file).is_file()]
        told = f"{len(lacking)} file(s), such as {lacking[0]}; suite fetch brings them" if lacking else "all"
        if not lacking:
            try:
                verify(places.data, files)
            except UserError as error:
                lacking, told = list(files), str(error)
        yield Finding("data", "missing" if lacking else "ok", f"{told} (track {track.name})")
    pocket = [spec.name for spec in specs if spec.name in registry.pocket_names()]
    if any(evaluation.runs_code for name in pocket for evaluation in registry.get(name).evaluations):
        reason = sandbox.available()
        yield Finding("sandbox", "missing" if reason else "ok", reason or "model-written code is isolated")


def _of_packages(device: str) -> Iterator[Finding]:
    """Kernels that a GPU may use; without them torch's own are used."""
    if not device.startswith("cuda"):
        return
    from importlib.util import find_spec

    if find_spec("flash_attn") is None:
        yield Finding("flash_attn", "note", "not installed: no --attention flash_attention_2")


def gib(size: int) -> str:
    """Bytes for a reader."""
    return f"{size / GIB:.2f} GiB" if size >= GIB else f"{size / 2**20:.1f} MiB"


def _leaf(name: str) -> str:
    return name.rpartition(".")[2] or name
