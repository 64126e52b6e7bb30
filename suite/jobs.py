"""What a worker does: train and score a pack. Jobs and results are plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from suite.baseline import BaseJob, before, parts, take_bits
from suite.record import (
    Cell,
    Cost,
    CurvePoint,
    Effect,
    Recipe,
    Score,
    Source,
    Status,
)
from suite.seeds import seed_for
from suite.words import title

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from suite.cost import Stopwatch
    from suite.training.train import Training
    from suite.workshop import Report, Workshop
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
    effect: Effect | None = None
    weights: str | None = None
    cost: Cost | None = None
    source: Source | None = None
    data: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    threads: int = 1


@dataclass(frozen=True)
class TrainPack:
    """Train the cells of one pack together, and score each one alone. `phases` is the most that one has."""

    fails_for_good: ClassVar[bool] = True

    cells: tuple[Cell, ...]
    phases: int = 1

    @property
    def steps(self) -> int:
        """Training steps, all phases."""
        return self.phases * max(cell.how.recipe.steps for cell in self.cells)

    @property
    def title(self) -> str:
        """How progress calls it."""
        return " + ".join(title(cell) for cell in self.cells)

    def before(self, cell: Cell) -> tuple[BaseJob, ...]:
        """What has to be known of the base before `cell` can be a record."""
        return before(cell, cell.how.recipe)

    def run(self, shop: Workshop, report: Report) -> list[Found]:
        """What was found for each cell. Running out of memory or diverging is a finding."""
        from suite.cost import out_of_memory

        shop.open(self.cells[0].how.recipe.precision)
        adapters: list[Adapter] = []
        try:
            for cell in self.cells:
                adapters.append(shop.attach(cell))
            return _train_and_score(shop, self.cells, adapters, report)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            told = "out of memory before training"
            return [Found(cell, "oom", told, **about(shop, cell, cell.how.recipe)) for cell in self.cells]
        finally:
            for adapter in adapters:
                adapter.detach()


def _train_and_score(
    shop: Workshop, cells: Sequence[Cell], adapters: Sequence[Adapter], report: Report
) -> list[Found]:
    """Train the pack, then score its members one after the other."""
    import torch

    from suite.cost import Stopwatch
    from suite.training.train import Member, train

    members = [
        Member(
            adapter=adapter,
            rows=shop.encoded(shop.task(cell, cell.how.recipe), "train", cell.how.recipe),
            recipe=cell.how.recipe,
            learning_rate=cell.how.learning_rate,
            order_key=(cell.seed, cell.task.name),
        )
        for cell, adapter in zip(cells, adapters, strict=True)
    ]
    total = max(m.recipe.steps * m.adapter.variant.phases for m in members)

    def on_step(_: int, point: CurvePoint) -> None:
        done = point.phase * members[0].recipe.steps + point.step + 1
        report("train", done, total, point.loss)

    starts = [shop.logits(adapter) for adapter in adapters]
    torch.manual_seed(seed_for("training", *(cell.seed for cell in cells)))
    watch = Stopwatch()
    report("train", 0, total)
    with watch.on(), shop.training():
        trainings = train(shop.model, members, shop.pad, on_step, shop.setup.micro_batch)
    return [
        _found(shop, cell, adapter, training, start, watch, report)
        for cell, adapter, training, start in zip(cells, adapters, trainings, starts, strict=True)
    ]


def _found(
    shop: Workshop,
    cell: Cell,
    adapter: Adapter,
    training: Training,
    start: Tensor,
    trained: Stopwatch,
    report: Report,
) -> Found:
    """Prove and score one trained member (not one that went wrong), and put together what is known of it."""
    from suite.cost import Stopwatch, out_of_memory

    watch, known = Stopwatch(), {}
    status, error = training.status or "failed", training.error
    if status == "ok":
        report("effect", 0, 0)
        known["effect"], error, known["weights"] = shop.prove(cell, adapter, start)
        status = "ok" if error is None else "failed"
    if status == "ok":
        try:
            with watch.on():
                known |= scored(shop, cell, cell.how.recipe, (adapter,), report)
        except (MemoryError, RuntimeError) as problem:
            if not out_of_memory(problem):
                raise
            status, error = "oom", "out of memory in scoring, one row at a time"
    cost = Cost(
        train_wall_s=trained.wall,
        train_cpu_s=trained.cpu,
        evaluate_wall_s=watch.wall,
        evaluate_cpu_s=watch.cpu,
        peak_memory_bytes=training.peak_memory_bytes,
        memory_method=training.memory_method,
        tokens=training.tokens,
        micro_batch=training.micro_batch,
        checkpointing=shop.setup.checkpointing,
        attention=getattr(shop.model.config, "_attn_implementation", None),
    )
    known |= about(shop, cell, cell.how.recipe)
    known["notes"] = [*training.notes, *known["notes"]]
    return Found(
        cell=cell,
        status=status,
        error=error,
        curve=training.curve,
        trainable=adapter.trainable(),
        total=sum(p.numel() for p in shop.model.parameters()),
        adapted=adapter.adapted(),
        cost=cost,
        threads=shop.threads,
        **known,
    )


def scored(
    shop: Workshop,
    cell: Cell,
    recipe: Recipe,
    adapters: Sequence[Adapter],
    report: Report,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Everything that is measured of a model under its adapters, as `Found` calls it.

    `folder` is where they lie, for an engine that loads them itself.
    """
    task, how = shop.task(cell, recipe), cell.evaluation
    losses = shop.log_losses(task, recipe, how.limit, adapters, report)
    general = shop.scores((*task.evaluations, *parts(shop.general)), how, adapters, report, folder)
    bits = take_bits(general, shop.general)
    target = {e.name: general.pop(e.name) for e in task.evaluations}
    return {"target": target, "log_loss": losses, "general": general, "bits_per_byte": bits}


def about(shop: Workshop, cell: Cell, recipe: Recipe) -> dict[str, Any]:
    """What was read for a cell, and what is to be said of it since the last time, however it ends."""
    task = shop.task(cell, recipe)
    return {"data": {**task.files, **shop.general.files}, "notes": [*task.notes, *shop.take_notes()]}
