"""`suite eval`: scores of a PEFT folder or a plain model that was not trained here, as records.

A record's cell has no recipe, rate or seed; it is known by the content of the folder. The base's scores come
before it as in a run: the base that an adapter stands on, or the one that is named for a plain model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from suite import model as models
from suite import plan as plans
from suite import weights
from suite.baseline import BaseJob, before
from suite.errors import UserError, one_line
from suite.facts import facts, plain, printable
from suite.found import Found
from suite.jobs import about, scored
from suite.record import BaseRef, Cell, Cost, Recipe, Source, VariantRef
from suite.request import Request
from suite.scoring.evaluate import AS_IS

if TYPE_CHECKING:
    from suite.workshop import Report, Workshop

ADAPTER, MODEL = "outside-adapter", "outside-model"  # what such cells have for a variant
TENSORS = "adapter_model.safetensors"
LARGEST = 1 << 20  # bytes of a configuration; real ones have a few thousand
UNKNOWN = BaseRef(name="unknown", digest="unknown")


@dataclass(frozen=True)
class ScoreFolder:
    """Score a folder on one cell's task. `recipe` says how rows are read and in which precision."""

    cell: Cell
    recipe: Recipe
    folder: Path
    source: Source
    compared: bool

    fails_for_good: ClassVar[bool] = False

    @property
    def steps(self) -> int:
        """Training steps."""
        return 0

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The one cell."""
        return (self.cell,)

    @property
    def title(self) -> str:
        """How progress calls it."""
        return f"{self.folder.name} on {self.cell.task.label}"

    def before(self, cell: Cell) -> tuple[BaseJob, ...]:
        """What has to be known of the base, if there is one to compare with."""
        return before(cell, self.recipe) if self.compared else ()

    def run(self, shop: Workshop, report: Report) -> list[Found]:
        """The scores, on the model that the folder brings or on the base."""
        from suite.cost import Stopwatch

        shop.open(self.recipe.precision, weights.own_base(self.folder))
        adapters = [shop.load(self.folder)] if (self.folder / weights.ADAPTER).is_file() else []
        watch = Stopwatch()
        try:
            with watch.on():
                known = scored(shop, self.cell, self.recipe, adapters, report, self.folder)
            found = Found(
                cell=self.cell,
                status="ok",
                total=sum(p.numel() for p in shop.model.parameters()),
                adapted=[name for adapter in adapters for name in adapter.adapted()],
                cost=Cost(evaluate_wall_s=watch.wall, evaluate_cpu_s=watch.cpu),
                source=self.source,
                threads=shop.threads,
                settings=shop.settings,
                **known,
                **about(shop, self.cell, self.recipe),
            )
        finally:
            for adapter in adapters:
                adapter.detach()
        return [found]


@dataclass(frozen=True)
class Scoring:
    """A plan of cells that are only scored, and the jobs that score them."""

    plan: plans.Plan
    jobs: dict[str, ScoreFolder]

    def make(self, cells: Sequence[Cell]) -> list[ScoreFolder]:
        """The jobs for cells without a record."""
        return [self.jobs[cell.id] for cell in cells]


def resolve(text: str, request: Request) -> Scoring:
    """What is to be scored: the folder `text`. UserError, VariantError or TaskError on the first mistake."""
    track = plans.track_of(request)
    folder = _folder(text)
    is_adapter = (folder / weights.ADAPTER).is_file()
    named = request if request.model is not None or is_adapter else replace(request, model=str(folder))
    setup, ref, specs = plans.setup_of(named, track)
    compared = is_adapter or request.model is not None
    precision = request.precision or plans.precision(setup.device, trains_base=False)
    source = _source(folder)
    models.check(setup.base)
    variant = _variant(folder, setup.base, {"sha256": _key(source), "precision": precision})
    given = {**request.recipe(), "precision": precision}
    reads = plans.read_tasks(track, specs, setup.places, given, request.evaluation())
    plans.check_model(weights.own_base(folder) or setup.base, reads)
    if reads[0].evaluation.engine != AS_IS.engine:
        from suite.engines import vllm

        vllm.check(folder, reads[0].evaluation, precision)
    jobs = {}
    for read in reads:
        cell = Cell(
            track=track.label,
            base=ref if compared else UNKNOWN,
            variant=variant,
            task=read.ref,
            recipe=None,
            learning_rate=None,
            seed=None,
            evaluation=read.evaluation,
            source=_key(source),
        )
        jobs[cell.id] = ScoreFolder(cell, read.recipe, folder, source, compared)
    return Scoring(plans.Plan(track.label, tuple(job.cell for job in jobs.values()), setup), jobs)


def _folder(text: str) -> Path:
    """The folder to be scored, with every file that it needs, safetensors all of them."""
    folder = Path(text).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"no folder {text!r}; expected one with {weights.ADAPTER} or {weights.MODEL}")
    if (folder / weights.ADAPTER).is_file():
        if not (folder / TENSORS).is_file():
            pickled = (folder / "adapter_model.bin").exists()
            why = "; adapter_model.bin is a pickle, which can run code, and is not read" if pickled else ""
            raise UserError(f"{str(folder)!r} has no {TENSORS}{why}; save the adapter as safetensors")
        _shapes(folder / TENSORS)
    elif not (folder / weights.MODEL).is_file():
        raise UserError(f"{str(folder)!r} has neither {weights.ADAPTER} nor {weights.MODEL}")
    if (own := weights.own_base(folder)) is not None:
        models.locate(str(own))
        for file in own.glob("*.safetensors"):
            _shapes(file)
    return folder


def _shapes(file: Path) -> dict[str, list[int]]:
    """Shapes by tensor name, read without the tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as opened:
            return {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{str(file)!r} cannot be read: {one_line(error)}") from None


def _variant(folder: Path, base: Path, about: dict[str, Any]) -> VariantRef:
    """The folder as a variant: its configuration without what is a machine's, and what is said `about` it."""
    if not (folder / weights.ADAPTER).is_file():
        return VariantRef(name=MODEL, settings=about, revision=None)
    from variants.peft_config import PeftConfig, from_file
    from variants.peft_fields import as_trained

    variant = PeftConfig.build(as_trained(from_file(folder)))
    _check_fits(variant, folder, weights.own_base(folder) or base)
    return VariantRef(name=ADAPTER, settings={**plain(variant.settings()), **about}, revision=None)


def _check_fits(variant: Any, folder: Path, base: Path) -> None:
    """The adapter's tensors have the shapes that this base asks for, as far as a skeleton knows them."""
    shapes = _shapes(folder / TENSORS)
    skeleton = models.skeleton(base)
    variant.check(skeleton)
    try:
        adapter = variant.attach(skeleton, 0)
    except ValueError:  # its start needs weights, which a skeleton lacks; loading will tell
        return
    for group in adapter.groups():
        for name, p in group.params.items():
            found = shapes.get(f"base_model.model.{name}")
            if found is not None and found != list(p.shape):
                raise UserError(
                    f"the adapter in {str(folder)!r} was made for another model: {name} is {found}, "
                    f"and the base in {str(base)!r} asks for {list(p.shape)}; name its base with --model"
                )


def _source(folder: Path) -> Source:
    """Where the record comes from: the folder, its content, and what its configuration says."""
    return Source(
        kind="evaluated",
        origin="a local folder",
        label=printable(folder.name, 200),
        file=printable(folder.name, 200),
        sha256=weights.digest(folder),
        fields=facts(_configuration(folder)),
    )


def _configuration(folder: Path) -> dict[str, Any]:
    """What the adapter's configuration says, or the model's."""
    file = folder / (weights.ADAPTER if (folder / weights.ADAPTER).is_file() else weights.MODEL)
    try:
        if file.stat().st_size > LARGEST:
            raise UserError(f"{str(file)!r} is larger than {LARGEST} bytes; no configuration is")
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{str(file)!r} cannot be read: {one_line(error)}") from None
    if not isinstance(content, dict):
        raise UserError(f"{str(file)!r} holds no JSON object")
    return content


def _key(source: Source) -> str:
    """What cells call the content."""
    return str(source.sha256)[:16]
