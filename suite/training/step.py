"""The gradients of one step: all members' batches through the model, in micro-batches if need be.

Each member's loss is the mean over all labels of its own batch, so that neither micro-batches nor packing
change a gradient beyond rounding; and dropout draws by token, so that they do not change what is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from suite.record import Recipe
from suite.training.batches import Batch, Numbered, lay
from suite.training.encode import Encoded
from suite.training.losses import learn
from suite.training.packing import packed
from variants.interface import Adapter
from variants.route import routed


@dataclass(frozen=True)
class Part:
    """One member's share of a step: its adapter, where it is, and its batch as rows of the model's input."""

    adapter: Adapter
    step: int
    rows: Sequence[Sequence[Numbered]]

    @property
    def tokens(self) -> int:
        """Tokens of all examples."""
        return sum(len(one.ids) for row in self.rows for _, one in row)

    @property
    def labels(self) -> int:
        """Tokens that are learned."""
        return sum(len(one.ids) - one.first for row in self.rows for _, one in row)


def laid(batch: Sequence[Encoded], recipe: Recipe) -> list[list[Numbered]]:
    """A member's batch as rows, longest first, so that rows of one length meet in a micro-batch."""
    rows = list(enumerate(batch))
    if recipe.batching == "packed":
        return packed(rows, recipe.max_length)
    return [[one] for one in sorted(rows, key=lambda one: -len(one[1].ids))]


def gradients(
    model: Any, parts: Sequence[Part], pad: int, device: torch.device, size: int | None = None
) -> list[float]:
    """Add the gradients of each member's mean loss to its parameters; gives these losses.

    `size` is how many rows of each member go through the model at once; None is all.
    """
    torch.clear_autocast_cache()  # it holds weights as they were before the last step
    adapters = [part.adapter for part in parts]
    counts = [part.labels for part in parts]
    longest = max(len(part.rows) for part in parts)
    size = size or longest
    totals = torch.zeros(len(parts), device=device)
    for start in range(0, longest, size):
        rows = [part.rows[start : start + size] for part in parts]
        spans = spans_of([len(share) for share in rows])
        batch = lay([row for share in rows for row in share], pad).to(device)
        weights = torch.cat(
            [torch.full((len(share),), 1 / count) for share, count in zip(rows, counts, strict=True)]
        )
        with at_step(parts, batch, spans), routed(model, *adapters, rows=spans if len(parts) > 1 else None):
            losses = learn(model, batch, weights.to(device), _Head(model, parts, spans))
            totals += torch.stack([losses[span].sum() for span in spans])
            if start + size >= longest:
                _penalise(adapters)
    return (totals / torch.tensor(counts, device=device)).tolist()


def _penalise(adapters: Sequence[Adapter]) -> None:
    """What the members add to their losses, once a step."""
    found = [extra for adapter in adapters if (extra := adapter.penalty()) is not None]
    if found:
        torch.stack(found).sum().backward()


@contextmanager
def at_step(parts: Sequence[Part], batch: Batch, spans: Sequence[slice]) -> Iterator[None]:
    """Inside, every adapter knows that it trains, at which step, and on which tokens."""
    try:
        for part, span in zip(parts, spans, strict=True):
            part.adapter.step, part.adapter.tokens = part.step, batch.numbers[span]
        yield
    finally:
        for part in parts:
            part.adapter.step = part.adapter.tokens = None


class _Head:
    """Inside, the sites on the output embedding know which tokens they see: those that have a label."""

    def __init__(self, model: Any, parts: Sequence[Part], spans: Sequence[slice]) -> None:
        head = model.get_output_embeddings()
        name = next((name for name, module in model.named_modules() if module is head), "")
        sites = [part.adapter.sites.get(name) for part in parts]
        self.pairs = [(site, span) for site, span in zip(sites, spans, strict=True) if site is not None]
        self.alone = len(parts) == 1

    @contextmanager
    def __call__(self, rows: Tensor, positions: Tensor) -> Iterator[None]:
        with ExitStack() as stack:
            for site, span in self.pairs:
                held = site.tokens
                if held is not None:
                    at = (rows, positions) if self.alone else (rows[span] - span.start, positions[span])
                    stack.callback(setattr, site, "tokens", held)
                    site.tokens = held[at]
            yield


def spans_of(sizes: Sequence[int]) -> list[slice]:
    """Consecutive slices of these sizes."""
    stops = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
