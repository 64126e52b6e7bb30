"""A sample: one quantity of one variant on one task, item by item, under each seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from suite.errors import UserError

Values = np.ndarray


@dataclass(frozen=True, eq=False)
class Sample:
    """The same N items under each of S seeds; the quantity is `mean`.

    `values` is [S, N], in the unit that is reported (points, nats). Items of several `groups` (skills) count
    so that each group weighs the same, however many items it has; without groups every item weighs the same.
    `limits` are the lowest and highest value that an item can take, None where there are none (losses): a
    benchmark of few items may not have met them, see `suite.statistics.variance`.
    """

    seeds: tuple[int, ...]
    items: tuple[str, ...]
    values: Values
    groups: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=float)
        object.__setattr__(self, "values", values)
        expected = (len(self.seeds), len(self.items))
        if not self.seeds or not self.items or values.shape != expected:
            raise UserError(
                f"a sample of {expected[0]} seeds and {expected[1]} items has values {values.shape}"
            )
        if len(set(self.seeds)) < len(self.seeds) or len(set(self.items)) < len(self.items):
            raise UserError("a sample names a seed or an item twice")
        if self.groups and len(self.groups) != len(self.items):
            raise UserError(f"{len(self.items)} items have {len(self.groups)} groups; expected one each")
        if not np.isfinite(values).all():
            raise UserError("a sample has values that are no finite number; leave such cells out")

    @property
    def by_seed(self) -> Values:
        """[S]: the quantity under each seed, the mean over groups of the mean over a group's items."""
        if not self.groups:
            return self.values.mean(axis=1)
        labels = np.array(self.groups)
        parts = [self.values[:, labels == name].mean(axis=1) for name in np.unique(labels)]
        return np.mean(parts, axis=0)

    @property
    def mean(self) -> float:
        """The quantity itself: the mean over seeds."""
        return float(self.by_seed.mean())

    @property
    def weights(self) -> Values:
        """[N], summing to one: what each item weighs in the quantity."""
        if not self.groups:
            return np.full(len(self.items), 1 / len(self.items))
        _, group, sizes = np.unique(np.array(self.groups), return_inverse=True, return_counts=True)
        return 1 / (len(sizes) * sizes[group])

    def group(self, name: str) -> Sample:
        """The items of one group alone, which are of no group then."""
        at = [column for column, group in enumerate(self.groups) if group == name]
        return replace(self, items=tuple(self.items[i] for i in at), values=self.values[:, at], groups=())

    def of(self, seeds: Sequence[int], items: Sequence[str]) -> Sample:
        """The part of these seeds and items, in this order."""
        if tuple(seeds) == self.seeds and tuple(items) == self.items:
            return self
        row = {seed: at for at, seed in enumerate(self.seeds)}
        column = {item: at for at, item in enumerate(self.items)}
        columns = [column[item] for item in items]
        return replace(
            self,
            seeds=tuple(seeds),
            items=tuple(items),
            values=self.values[np.ix_([row[seed] for seed in seeds], columns)],
            groups=tuple(self.groups[at] for at in columns) if self.groups else (),
        )
