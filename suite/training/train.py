"""The training loop: one pack of members over one frozen base. A solo run is a pack of one.

What keeps a member's numbers its own: the loss is the sum of the members' own means, each member has its own
optimiser, schedule and clip, and its data come in an order of its own. A member that is done, or whose loss
runs away, leaves the pack; the others go on. Where a step runs out of memory the same step is tried again in
micro-batches half as large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from suite.cost import PeakMemory, out_of_memory
from suite.flops import Products
from suite.record import CurvePoint, Recipe, Status, StepFlops
from suite.training.batches import Encoded, order
from suite.training.optim import MemberOptimizer
from suite.training.packing import check
from suite.training.state import State
from suite.training.step import Part, gradients, laid
from variants.interface import Adapter

RUNAWAY = 20.0
LOOKED_AT = 1

OnStep = Callable[[int, CurvePoint], None]


@dataclass(frozen=True)
class Member:
    """One cell's part in a pack: its adapter, its tokenised examples, and how it trains.

    `order_key` fixes the order of the data: (seed, task).
    """

    adapter: Adapter
    rows: Sequence[Encoded]
    recipe: Recipe
    learning_rate: float
    order_key: tuple[object, ...]


@dataclass
class Training:
    """How a member's training went. `status` is None while it goes on.

    `micro_batch` is how many of its rows one forward held at the end, None all of a step's; `notes` say what
    happened on the way.
    """

    status: Status | None = None
    error: str | None = None
    curve: list[CurvePoint] = field(default_factory=list)
    tokens: int = 0
    peak_memory_bytes: int | None = None
    memory_method: str = "live-tensors"
    reserved_memory_bytes: int | None = None
    flops: StepFlops | None = None
    micro_batch: int | None = None
    notes: list[str] = field(default_factory=list)


class Run:
    """A member under way: its phase, step, optimiser and data."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.training = Training()
        self.phase = 0
        self._begin()

    def _begin(self) -> None:
        """A phase starts with a fresh optimiser, a fresh schedule and the data from their beginning."""
        member = self.member
        if self.phase:
            member.adapter.enter(self.phase)
        self.step = 0
        member.adapter.begin(member.recipe.steps)
        self.optimizer = MemberOptimizer(member.adapter.groups(), member.recipe, member.learning_rate)
        self.state = State(member.adapter)
        self._order: Iterator[list[int]] = order(len(member.rows), member.recipe.batch_size, member.order_key)

    def next_part(self) -> Part:
        """This member's share of the next step."""
        batch = [self.member.rows[i] for i in next(self._order)]
        return Part(self.member.adapter, self.step, laid(batch, self.member.recipe))

    def take_step(self, loss: float, part: Part) -> CurvePoint | None:
        """Update this member from its gradients; None if it has diverged and takes no more part."""
        if not math.isfinite(loss) or loss > RUNAWAY:
            return self._diverged(f"loss {loss:.4g}")
        norm = float(self.optimizer.step(self.step, self.member.adapter.stepped))
        if not math.isfinite(norm):
            return self._diverged(f"gradient norm {norm:.4g}")
        point = CurvePoint(
            phase=self.phase, step=self.step, loss=loss, learning_rate=self.optimizer.rate(self.step)
        )
        self.training.curve.append(point)
        self.training.tokens += part.tokens
        self._advance()
        return point

    def _advance(self) -> None:
        self.step += 1
        if self.step < self.member.recipe.steps:
            return
        if self.phase + 1 < self.member.adapter.variant.phases:
            self.phase += 1
            self._begin()
        else:
            self.training.status = "ok"

    @property
    def where(self) -> str:
        """The step that it is at."""
        several = self.member.adapter.variant.phases > 1
        return f"phase {self.phase}, step {self.step}" if several else f"step {self.step}"

    def _diverged(self, what: str) -> None:
        self.stop("diverged", f"{what} at {self.where}, learning rate {self.member.learning_rate:g}")

    def stop(self, status: Status, error: str) -> None:
        self.training.status, self.training.error = status, error


def train(
    model: Any,
    members: Sequence[Member],
    pad: int,
    on_step: OnStep | None = None,
    micro_batch: int | None = None,
) -> list[Training]:
    """Train every member to the end of its last phase. `on_step(member index, point)` follows each step.

    `micro_batch` is how many rows of each member go through the model at once (None: all of its step).
    Peak memory and a step's operations are measured where the pack is one member. Running out of memory is a
    status, not an exception, and only where not even one row fits. Raises UserError where rows are to be
    packed and the model lets packed examples see each other.
    """
    device = next(model.parameters()).device
    if any(member.recipe.batching == "packed" for member in members):
        check(model, pad)
    memory = PeakMemory(device)
    loop = Loop(model, pad, device, micro_batch)
    runs = [Run(member) for member in members]
    while active := [run for run in runs if run.training.status is None]:
        look = len(runs) == 1 and active[0].step == min(LOOKED_AT, active[0].member.recipe.steps - 1)
        with memory.step(look):
            points = loop.step(active, count=look and active[0].phase == 0)
        for run, point in zip(active, points, strict=True):
            if on_step is not None and point is not None:
                on_step(runs.index(run), point)
    if len(runs) == 1:
        runs[0].training.peak_memory_bytes = memory.bytes or None
        runs[0].training.memory_method = memory.method
        runs[0].training.reserved_memory_bytes = memory.reserved
    return [run.training for run in runs]


class Loop:
    """Steps on one model. `size`, the rows of a micro-batch, is halved where a step does not fit."""

    def __init__(self, model: Any, pad: int, device: torch.device, size: int | None) -> None:
        self.model, self.pad, self.device, self.size = model, pad, device, size

    def step(self, active: Sequence[Run], count: bool = False) -> list[CurvePoint | None]:
        """One step of every active member: gradients of all, then each member's own update.

        `count` says that there is one, and that the operations of its gradients are counted.
        """
        parts = [run.next_part() for run in active]
        for run in active:
            run.state.keep()
        while (losses := self._gradients(parts, products := Products() if count else None)) is None:
            for run in active:
                run.optimizer.clear()
                run.state.restore()
            if not self._halve(active, max(len(part.rows) for part in parts)):
                return [None] * len(active)
        if products is not None:
            active[0].training.flops = products.found(parts[0].tokens)
        for run, part in zip(active, parts, strict=True):
            run.state.settle()
            whole = self.size is None or self.size >= len(part.rows)
            if not whole:
                run.training.micro_batch = self.size
        return [_update(run, loss, part) for run, loss, part in zip(active, losses, parts, strict=True)]

    def _gradients(self, parts: Sequence[Part], products: Products | None) -> list[float] | None:
        """The members' losses, their gradients computed; None if that ran out of memory."""
        try:
            with products or nullcontext():
                return gradients(self.model, parts, self.pad, self.device, self.size)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return None

    def _halve(self, active: Sequence[Run], rows: int) -> bool:
        """Halve the micro-batch and say so; where it is one row, the members stop: they do not fit."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        now = min(self.size or rows, rows)
        for run in active:
            if now == 1:
                run.stop("oom", f"out of memory at {run.where} with one row at a time")
            else:
                note = f"out of memory at {run.where}: micro-batch halved to {now // 2}"
                run.training.notes.append(note)
        self.size = now // 2 or 1
        return now > 1


def _update(run: Run, loss: float, part: Part) -> CurvePoint | None:
    """A member's own update; None where it stops, which lets the others go on."""
    try:
        return run.take_step(loss, part)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    run.stop("oom", f"out of memory in the optimiser at {run.where}")
    run.optimizer.clear()
    return None
