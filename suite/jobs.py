"""What a worker does: train and score a pack. Jobs and results are plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from suite.baseline import BaseJob, before, parts, take_bits
from suite.found import Found, again
from suite.record import Cell, Cost, CurvePoint, HeldOut, Measured, Recipe, Record
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
class TrainPack:
    """Train the cells of one pack together, and score each one alone. `phases` is the most that one has.

    `measured` is what is scored: everything, or what chooses a learning rate.
    """

    fails_for_good: ClassVar[bool] = True

    cells: tuple[Cell, ...]
    phases: int = 1
    measured: Measured = "all"

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
            return _train_and_score(shop, self.cells, adapters, self.measured, report)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            told = "out of memory before training"
            return [Found(cell, "oom", told, **about(shop, cell, cell.how.recipe)) for cell in self.cells]
        finally:
            for adapter in adapters:
                adapter.detach()


@dataclass(frozen=True)
class ScoreKept:
    """Read the test split for a cell that is trained: `folder` has its weights, `record` the rest.

    `fails_for_good` is false: the trial stays what it was, and the next run tries again.
    """

    fails_for_good: ClassVar[bool] = False

    record: Record
    folder: Path

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The one cell."""
        return (self.record.cell,)

    @property
    def steps(self) -> int:
        """Training steps."""
        return 0

    @property
    def title(self) -> str:
        """How progress calls it."""
        return f"test of {title(self.record.cell)}"

    def before(self, cell: Cell) -> tuple[BaseJob, ...]:
        """What has to be known of the base."""
        return before(cell, cell.how.recipe)

    def run(self, shop: Workshop, report: Report) -> list[Found]:
        """The record's facts, and the scores of the weights that it names."""
        from suite.cost import Stopwatch

        old, watch = self.record, Stopwatch()
        cell = old.cell
        with shop.kept(old, self.folder) as adapters, watch.on():
            known = scored(shop, cell, cell.how.recipe, adapters, report)
        if old.after is not None:  # what the rate was chosen by stays what it was
            known["held_out"] |= old.after.held_out
        cost = (old.cost or Cost()).model_copy(
            update={"evaluate_wall_s": watch.wall, "evaluate_cpu_s": watch.cpu}
        )
        how = {"threads": shop.threads, "settings": {**shop.settings, "scored": "kept weights"}}
        return [again(old, cost=cost, notes=[*old.notes, *shop.take_notes()], **how, **known)]


def _train_and_score(
    shop: Workshop,
    cells: Sequence[Cell],
    adapters: Sequence[Adapter],
    measured: Measured,
    report: Report,
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
            order_key=(cell.seeds["data"], cell.task.name),
        )
        for cell, adapter in zip(cells, adapters, strict=True)
    ]
    total = max(m.recipe.steps * m.adapter.variant.phases for m in members)

    def on_step(_: int, point: CurvePoint) -> None:
        done = point.phase * members[0].recipe.steps + point.step + 1
        report("train", done, total, point.loss)

    starts = [Start.of(shop, cell, adapter, report) for cell, adapter in zip(cells, adapters, strict=True)]
    torch.manual_seed(seed_for("training", *(cell.seed for cell in cells)))
    watch = Stopwatch()
    report("train", 0, total)
    with watch.on(), shop.training():
        trainings = train(shop.model, members, shop.pad, on_step, shop.setup.micro_batch)
    return [
        _found(shop, cell, adapter, training, start, measured, len(cells), watch, report)
        for cell, adapter, training, start in zip(cells, adapters, trainings, starts, strict=True)
    ]


@dataclass(frozen=True)
class Start:
    """An adapter before its first step: its logits on the fixed text, and its loss on validation."""

    logits: Tensor
    loss: float

    @classmethod
    def of(cls, shop: Workshop, cell: Cell, adapter: Adapter, report: Report) -> Start:
        """Measured now."""
        return cls(shop.logits(adapter), _validation(shop, cell, adapter, report)["validation"].log_loss)


def _validation(shop: Workshop, cell: Cell, adapter: Adapter, report: Report) -> dict[str, HeldOut]:
    """What the adapter makes of the validation split, which a learning rate is chosen by."""
    task, recipe = shop.task(cell, cell.how.recipe), cell.how.recipe
    return shop.held_out(task, recipe, cell.evaluation.limit, (adapter,), report, ("validation",))


def _found(
    shop: Workshop,
    cell: Cell,
    adapter: Adapter,
    training: Training,
    start: Start,
    measured: Measured,
    pack: int,
    trained: Stopwatch,
    report: Report,
) -> Found:
    """Prove and score one trained member (not one that went wrong), and put together what is known of it."""
    from suite.cost import Stopwatch, out_of_memory

    watch, known, spent = Stopwatch(), {}, {}
    status, error = training.status or "failed", training.error
    if status == "ok":
        report("effect", 0, 0)
        known["effect"], error, known["weights"], spent["adapter_bytes"] = shop.prove(
            cell, adapter, start.logits
        )
        status = "ok" if error is None else "failed"
    if status == "ok" and pack == 1:
        spent["latency"] = shop.latency(adapter)
    if status == "ok":
        try:
            with watch.on():
                if measured == "all":
                    known |= scored(shop, cell, cell.how.recipe, (adapter,), report)
                else:
                    known["held_out"] = _validation(shop, cell, adapter, report)
        except (MemoryError, RuntimeError) as problem:
            if not out_of_memory(problem):
                raise
            status, error = "oom", "out of memory in scoring, one row at a time"
    cost = _cost(shop, adapter, training, trained, watch, pack).model_copy(update=spent)
    known |= about(shop, cell, cell.how.recipe)
    known["notes"] = [*training.notes, *known["notes"]]
    return Found(
        cell=cell,
        status=status,
        error=error,
        measured=measured,
        start_loss=start.loss,
        curve=training.curve,
        trainable=adapter.trainable(),
        total=sum(p.numel() for p in shop.model.parameters()),
        adapted=adapter.adapted(),
        cost=cost,
        threads=shop.threads,
        settings=shop.settings,
        **known,
    )


def _cost(
    shop: Workshop, adapter: Adapter, training: Training, trained: Stopwatch, scoring: Stopwatch, pack: int
) -> Cost:
    """What training and scoring one member cost; of a pack of several without what one alone would show."""
    return Cost(
        pack=pack,
        train_wall_s=trained.wall,
        train_cpu_s=trained.cpu,
        evaluate_wall_s=scoring.wall,
        evaluate_cpu_s=scoring.cpu,
        start_s=shop.started.get(adapter) if pack == 1 else None,
        peak_memory_bytes=training.peak_memory_bytes,
        memory_method=training.memory_method,
        reserved_memory_bytes=training.reserved_memory_bytes,
        tokens=training.tokens,
        flops=training.flops,
        micro_batch=training.micro_batch,
        checkpointing=shop.setup.checkpointing,
        attention=getattr(shop.model.config, "_attn_implementation", None),
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
    held = shop.held_out(task, recipe, how.limit, adapters, report)
    general = shop.scores((*task.evaluations, *parts(shop.general)), how, adapters, report, folder)
    bits = take_bits(general, shop.general)
    target = {e.name: general.pop(e.name) for e in task.evaluations}
    return {"target": target, "held_out": held, "general": general, "bits_per_byte": bits}


def about(shop: Workshop, cell: Cell, recipe: Recipe) -> dict[str, Any]:
    """What was read for a cell, and what is to be said of it since the last time, however it ends."""
    task = shop.task(cell, recipe)
    read = {"data": {**task.files, **shop.general.files}, "notes": [*task.notes, *shop.take_notes()]}
    return {**read, **shop.trained_on(cell)} if cell.recipe else read
