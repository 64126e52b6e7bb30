"""What a layer does inside a route: each member's rows of the batch go through its own site."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from variants.site import LowRank, Site, together


class AdaptedForward:
    """Stands in for the forward of one Linear inside a route: each span of rows goes to its site.

    `sites[k]` is None where member k leaves this layer alone. When every row brings its own base, the
    shared product with the pretrained weight is not computed. `batch` knows the model's own batch.
    """

    def __init__(
        self,
        layer: nn.Linear,
        sites: Sequence[Site | None],
        rows: Sequence[slice] | None,
        batch: BatchSize | None = None,
    ) -> None:
        self.layer = layer
        self.sites = list(sites)
        self.rows = rows
        self.batch = batch
        self.shared: Callable[[Tensor], Tensor] = layer.forward
        self.plain = type(layer) is nn.Linear and "forward" not in layer.__dict__

    def __call__(self, x: Tensor) -> Tensor:
        tokens = 1 if self.batch is None else self.batch.tokens(x.shape[0])
        spans = _spans(x.shape[0], len(self.sites), self.rows, tokens)
        runs = list(_runs(spans, self.sites, x.shape[0]))
        if len(runs) == 1 and self.plain and (whole := _whole(runs[0][1], x, self.layer)) is not None:
            return whole
        own = all(isinstance(run[0], Site) and run[0].base is not None for _, run in runs)
        y = None if own else self.shared(x)
        if len(runs) == 1:  # a slice of everything would cost a copy in the backward
            return self._part(runs[0][1], x, y)
        return torch.cat([self._part(run, x[at], None if y is None else y[at]) for at, run in runs])

    def _part(self, run: list[Site | None], x: Tensor, y: Tensor | None) -> Tensor:
        """One run of rows: `run` is one member, or several low-rank ones to be computed together."""
        site = run[0]
        if site is not None and site.base is not None:
            y = cast(Tensor, site.base(x))
            if self.layer.bias is not None:
                y = y + self.layer.bias
        assert y is not None, "a run without its own base needs the shared output"
        if site is None:
            return y
        return together(cast(list[LowRank], run), x, y) if len(run) > 1 else site(x, y)


def _whole(run: Sequence[Site | None], x: Tensor, layer: nn.Linear) -> Tensor | None:
    """What a layer and its one low-rank site give out, in one product; None where there is more to it."""
    site = run[0]
    if len(run) > 1 or not isinstance(site, LowRank) or layer.weight.requires_grad:
        return None
    return site.whole(x, layer.weight, layer.bias)


class BatchSize:
    """How many rows the model was given last, for layers that see them with all tokens in one dimension."""

    def __init__(self) -> None:
        self.rows = 0

    def look(self, model: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """A hook before the model's forward."""
        given = next((x for x in (*args, *kwargs.values()) if isinstance(x, Tensor) and x.ndim > 1), None)
        self.rows = 0 if given is None else len(given)

    def tokens(self, count: int) -> int:
        """How many of `count` entries in a row of a layer's input belong to one row of the model's batch."""
        return count // self.rows if self.rows and count % self.rows == 0 else 1


def _spans(batch: int, members: int, rows: Sequence[slice] | None, tokens: int = 1) -> list[slice]:
    """The rows of each member, `tokens` entries each: as given, or equal contiguous shares of the batch."""
    if rows is None:
        if batch % members:
            raise RuntimeError(f"{batch} rows do not split equally among {members} adapters; give rows=")
        share = batch // members
        return [slice(k * share, (k + 1) * share) for k in range(members)]
    most = max(span.stop for span in rows)
    if most * tokens > batch:
        raise RuntimeError(f"the route covers rows up to {most}, the batch has {batch // tokens}")
    return [slice(span.start * tokens, span.stop * tokens) for span in rows]


def _runs(
    spans: Sequence[slice], sites: Sequence[Site | None], batch: int
) -> Iterator[tuple[slice, list[Site | None]]]:
    """Cover the batch from top to bottom: (rows, sites), with neighbours that can be grouped in one run."""
    owned = [(span, site) for span, site in zip(spans, sites, strict=True) if span.stop > span.start]
    ordered = sorted(owned, key=lambda pair: pair[0].start)
    at = 0
    i = 0
    while i < len(ordered):
        span, site = ordered[i]
        if span.start > at:
            yield slice(at, span.start), [None]
        stop, run = span.stop, [site]
        while i + 1 < len(ordered) and _join(ordered[i], ordered[i + 1]):
            i += 1
            stop = ordered[i][0].stop
            run.append(ordered[i][1])
        yield slice(span.start, stop), run
        at = stop
        i += 1
    if at < batch or not ordered:
        yield slice(at, batch), [None]


def _join(one: tuple[slice, Site | None], two: tuple[slice, Site | None]) -> bool:
    """Whether two neighbouring members can be computed in one batched product."""
    (a, left), (b, right) = one, two
    if not (isinstance(left, LowRank) and isinstance(right, LowRank)) or left.base or right.base:
        return False
    return a.stop == b.start and a.stop - a.start == b.stop - b.start and left.groupable(right)
