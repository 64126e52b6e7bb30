"""The training loop: one pack of members over one frozen base. A solo run is a pack of one.

What keeps a member's numbers its own: the loss is the sum of the members' own means, each member has its own
optimiser, schedule and clip, and its data come in an order of its own. A member that is done, or whose loss
runs away, leaves the pack; the others go on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from suite.batches import Encoded, collate, order, row_mean, token_losses
from suite.cost import PeakMemory
from suite.optim import MemberOptimizer
from suite.record import CurvePoint, Recipe, Status
from variants.interface import Adapter
from variants.route import routed

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
    """How a member's training went. `status` is None while it goes on."""

    status: Status | None = None
    error: str | None = None
    curve: list[CurvePoint] = field(default_factory=list)
    tokens: int = 0
    peak_memory_bytes: int | None = None
    memory_method: str = "live-tensors"


class _Run:
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
        self._order: Iterator[list[int]] = order(len(member.rows), member.recipe.batch_size, member.order_key)

    def next_rows(self) -> list[Encoded]:
        return [self.member.rows[i] for i in next(self._order)]

    def take_step(self, loss: float, rows: Sequence[Encoded]) -> CurvePoint | None:
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
        self.training.tokens += sum(len(row.ids) for row in rows)
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

    def _diverged(self, what: str) -> None:
        where = f"phase {self.phase}, step {self.step}"
        self.stop("diverged", f"{what} at {where}, learning rate {self.member.learning_rate:g}")

    def stop(self, status: Status, error: str) -> None:
        self.training.status, self.training.error = status, error


def train(model: Any, members: Sequence[Member], pad: int, on_step: OnStep | None = None) -> list[Training]:
    """Train every member to the end of its last phase. `on_step(member index, point)` follows each step.

    Peak memory is measured where the pack is one member. Running out of memory is a status, not an exception.
    """
    device = next(model.parameters()).device
    memory = PeakMemory(device)
    runs = [_Run(member) for member in members]
    while active := [run for run in runs if run.training.status is None]:
        look = len(runs) == 1 and active[0].step == min(LOOKED_AT, active[0].member.recipe.steps - 1)
        try:
            with memory.step(look):
                points = _step_together(model, active, pad, device)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            for run in active:
                run.stop("oom", f"out of memory at phase {run.phase}, step {run.step}")
            continue
        for run, point in zip(active, points, strict=True):
            if on_step is not None and point is not None:
                on_step(runs.index(run), point)
    if len(runs) == 1:
        runs[0].training.peak_memory_bytes = memory.bytes
        runs[0].training.memory_method = memory.method
    return [run.training for run in runs]


def _step_together(
    model: Any, active: Sequence[_Run], pad: int, device: torch.device
) -> list[CurvePoint | None]:
    """One step of every active member: one forward, one backward, then each member's own update."""
    parts = [run.next_rows() for run in active]
    spans = _spans([len(part) for part in parts])
    batch = collate([row for part in parts for row in part], pad).to(device)
    adapters = [run.member.adapter for run in active]
    with _at_steps(active), routed(model, *adapters, rows=spans):
        losses = token_losses(model, batch)
        own = [row_mean(losses[span], batch.labels[span]) for span in spans]
        penalties = [extra for adapter in adapters if (extra := adapter.penalty()) is not None]
        torch.stack([*own, *penalties]).sum().backward()
    values = torch.stack(own).tolist()
    return [run.take_step(value, part) for run, value, part in zip(active, values, parts, strict=True)]


@contextmanager
def _at_steps(active: Sequence[_Run]) -> Iterator[None]:
    """Inside, every adapter knows that it trains, and at which step."""
    try:
        for run in active:
            run.member.adapter.step = run.step
        yield
    finally:
        for run in active:
            run.member.adapter.step = None


def _spans(sizes: Sequence[int]) -> list[slice]:
    """Consecutive slices of these sizes."""
    stops = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]


def out_of_memory(error: BaseException) -> bool:
    """Whether this is memory running out: on a GPU, in Python, or in torch's CPU allocator."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text
