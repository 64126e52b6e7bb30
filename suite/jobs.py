"""What a worker does: score the base, or train and score a pack. Jobs and results are plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from suite.record import Cell, Cost, CurvePoint, EvaluationSettings, Score, Scores, Status
from suite.seeds import digest, seed_for

if TYPE_CHECKING:
    from suite.cost import Stopwatch
    from suite.train import Training
    from suite.workshop import Report, Workshop
    from tasks.general import General
    from tasks.interface import Evaluation
    from variants.interface import Adapter


@dataclass(frozen=True)
class Found:
    """What a worker measured for one cell; the record adds the base's scores and the provenance."""

    cell: Cell
    status: Status
    error: str | None = None
    target: dict[str, Score] = field(default_factory=dict)
    general: dict[str, Score] = field(default_factory=dict)
    log_loss: dict[str, float] = field(default_factory=dict)
    bits_per_byte: float | None = None
    curve: Sequence[CurvePoint] = ()
    trainable: int | None = None
    total: int | None = None
    adapted: Sequence[str] = ()
    cost: Cost | None = None
    threads: int = 1


@dataclass(frozen=True)
class ScoreGeneral:
    """The untouched base on the general skills and the general text."""

    base: str
    precision: str
    evaluation: EvaluationSettings

    @classmethod
    def before(cls, cell: Cell) -> ScoreGeneral:
        """What has to be known before this cell can be a record; equal for cells that share it."""
        evaluation = cell.evaluation.model_copy(update={"target": []})
        return cls(cell.base.digest, cell.recipe.precision, evaluation)

    def fits(self, found: dict[str, Any] | None) -> bool:
        """Whether what a store holds is such a result."""
        return _is_scores(found, "general", "bits_per_byte")

    @property
    def key(self) -> str:
        """Content key of the result."""
        how = self.evaluation
        return digest([self.base, self.precision, how.general, how.general_digest, how.limit, how.revision])

    @property
    def title(self) -> str:
        """How progress calls it."""
        return "base on general skills"

    @property
    def steps(self) -> int:
        """Training steps."""
        return 0

    def run(self, shop: Workshop, report: Report) -> dict[str, Any]:
        """{'general': ..., 'bits_per_byte': ...} as JSON values."""
        shop.open(self.precision)
        scores = shop.scores(_parts(shop.general), self.evaluation.limit, (), report)
        bits = _take_bits(scores, shop.general)
        return {"general": {k: v.model_dump(mode="json") for k, v in scores.items()}, "bits_per_byte": bits}


@dataclass(frozen=True)
class ScoreTask:
    """The untouched base on what one task trains for."""

    cell: Cell

    def fits(self, found: dict[str, Any] | None) -> bool:
        """Whether what a store holds is such a result."""
        return _is_scores(found, "target", "log_loss")

    @property
    def key(self) -> str:
        """Content key of the result."""
        cell, how = self.cell, self.cell.evaluation
        recipe = [cell.recipe.precision, cell.recipe.max_length, cell.recipe.loss_on]
        task = cell.task.model_dump(mode="json")
        return digest([cell.base.digest, task, recipe, how.target, how.limit, how.revision])

    @property
    def title(self) -> str:
        """How progress calls it."""
        return f"base on {self.cell.task.name}"

    @property
    def steps(self) -> int:
        """Training steps."""
        return 0

    def run(self, shop: Workshop, report: Report) -> dict[str, Any]:
        """{'target': ..., 'log_loss': ...} as JSON values."""
        shop.open(self.cell.recipe.precision)
        task = shop.task(self.cell.task.name)
        target = shop.scores(task.evaluations, self.cell.evaluation.limit, (), report)
        losses = shop.log_losses(task, self.cell, (), report)
        return {"target": {k: v.model_dump(mode="json") for k, v in target.items()}, "log_loss": losses}


@dataclass(frozen=True)
class TrainPack:
    """Train the cells of one pack together, and score each one alone. `phases` is the most that one has."""

    cells: tuple[Cell, ...]
    phases: int = 1

    @property
    def steps(self) -> int:
        """Training steps, all phases."""
        return self.phases * max(cell.recipe.steps for cell in self.cells)

    @property
    def title(self) -> str:
        """How progress calls it."""
        return " + ".join(title(cell) for cell in self.cells)

    def run(self, shop: Workshop, report: Report) -> list[Found]:
        """What was found for each cell. Running out of memory or diverging is a finding."""
        from suite.train import out_of_memory

        shop.open(self.cells[0].recipe.precision)
        adapters: list[Adapter] = []
        try:
            for cell in self.cells:
                adapters.append(shop.attach(cell))
            return _train_and_score(shop, self.cells, adapters, report)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return [Found(cell, "oom", "out of memory outside training") for cell in self.cells]
        finally:
            for adapter in adapters:
                adapter.detach()


def _is_scores(found: dict[str, Any] | None, *keys: str) -> bool:
    """Whether `found` is these parts of a Scores and nothing else."""
    if found is None or set(found) != set(keys):
        return False
    rest: dict[str, Any] = {"target": {}, "general": {}, "log_loss": {}, "bits_per_byte": None}
    try:
        Scores.model_validate({**rest, **found})
    except ValidationError:
        return False
    return True


def _parts(general: General) -> tuple[Evaluation, ...]:
    """The general skills, and the text if there is any."""
    return general.evaluations if general.text is None else (*general.evaluations, general.text)


def _take_bits(scores: dict[str, Score], general: General) -> float | None:
    """Take the loss on general text out of the scores."""
    return None if general.text is None else scores.pop(general.text.name).value


def title(cell: Cell) -> str:
    """A cell in a few words: 'lora on math, lr 0.005, seed 0'."""
    return f"{cell.variant.name} on {cell.task.name}, lr {cell.learning_rate:g}, seed {cell.seed}"


def _train_and_score(
    shop: Workshop, cells: Sequence[Cell], adapters: Sequence[Adapter], report: Report
) -> list[Found]:
    """Train the pack, then score its members one after the other."""
    import torch

    from suite.cost import Stopwatch
    from suite.train import Member, train

    members = [
        Member(
            adapter=adapter,
            rows=shop.encoded(shop.task(cell.task.name), "train", cell.recipe),
            recipe=cell.recipe,
            learning_rate=cell.learning_rate,
            order_key=(cell.seed, cell.task.name),
        )
        for cell, adapter in zip(cells, adapters, strict=True)
    ]
    total = max(m.recipe.steps * m.adapter.variant.phases for m in members)

    def on_step(_: int, point: CurvePoint) -> None:
        done = point.phase * members[0].recipe.steps + point.step + 1
        report("train", done, total, point.loss)

    torch.manual_seed(seed_for("training", *(cell.seed for cell in cells)))
    watch = Stopwatch()
    report("train", 0, total)
    with watch.on():
        trainings = train(shop.model, members, shop.pad, on_step)
    return [
        _found(shop, cell, adapter, training, watch, report)
        for cell, adapter, training in zip(cells, adapters, trainings, strict=True)
    ]


def _found(
    shop: Workshop, cell: Cell, adapter: Adapter, training: Training, trained: Stopwatch, report: Report
) -> Found:
    """Score one trained member (not one that went wrong) and put together what is known of it."""
    from suite.cost import Stopwatch

    watch, scores = Stopwatch(), {}
    if training.status == "ok":
        task, limit = shop.task(cell.task.name), cell.evaluation.limit
        with watch.on():
            losses = shop.log_losses(task, cell, (adapter,), report)
            general = shop.scores((*task.evaluations, *_parts(shop.general)), limit, (adapter,), report)
        bits = _take_bits(general, shop.general)
        target = {e.name: general.pop(e.name) for e in task.evaluations}
        scores = {"target": target, "log_loss": losses, "general": general, "bits_per_byte": bits}
    cost = Cost(
        train_wall_s=trained.wall,
        train_cpu_s=trained.cpu,
        evaluate_wall_s=watch.wall,
        evaluate_cpu_s=watch.cpu,
        peak_memory_bytes=training.peak_memory_bytes,
        memory_method=training.memory_method,
        tokens=training.tokens,
    )
    return Found(
        cell=cell,
        status=training.status or "failed",
        error=training.error,
        curve=training.curve,
        trainable=adapter.trainable(),
        total=sum(p.numel() for p in shop.model.parameters()),
        adapted=adapter.adapted(),
        cost=cost,
        threads=shop.threads,
        **scores,
    )
