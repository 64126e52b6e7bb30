"""Samples that are alike, as one table: what the comparison of any two of its rows needs, see `many`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from suite.statistics.sample import Sample, Values
from suite.statistics.variance import UNASKED


@dataclass(frozen=True, eq=False)
class Table:
    """K rows of one task: [K, S, N] values, and what `pulls` makes of them before anything is unasked."""

    key: Hashable  # tables of one key are added item by item
    values: Values
    mean: Values  # [K]
    by_group: Values  # [K, S, G]: the means of the groups, unasked items counted
    pull: Values  # [K, N]: mean over seeds
    rest: Values  # [K, S N]: pulls about their means over seeds
    group: Values  # [N]
    sizes: Values  # [G]
    scale: Values  # [G]
    limits: tuple[float, float] | None
    unasked: int
    squares: Values = field(init=False)  # [K]
    known: dict[str, Values] = field(init=False)  # [K, K] of `most` and `scatter`, NaN where nobody asked yet

    def __post_init__(self) -> None:
        object.__setattr__(self, "squares", np.einsum("ki,ki->k", self.rest, self.rest))
        object.__setattr__(self, "known", {})

    @property
    def seeds(self) -> int:
        """How many."""
        return self.values.shape[1]

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Table:
        """The table of samples that are alike."""
        one = samples[0]
        values = np.stack([sample.values for sample in samples])
        labels = np.array(one.groups) if one.groups else np.zeros(len(one.items), dtype=int)
        names, group = np.unique(labels, return_inverse=True)
        unasked = UNASKED if one.limits and len(one.items) > 1 else 0
        sizes = np.bincount(group) + 2 * unasked
        sums = np.stack([values[:, :, group == g].sum(axis=2) for g in range(len(names))], axis=2)
        by_group = sums / sizes
        scale = np.sqrt(sizes / np.maximum(sizes - 1, 1)) / (len(names) * sizes)
        pulled = (values - by_group[:, :, group]) * scale[group]
        pull = pulled.mean(axis=1)
        rest = (pulled - pull[:, None]).reshape(len(values), -1)
        mean = np.array([sample.mean for sample in samples])
        key = one.items, one.groups, unasked
        return cls(key, values, mean, by_group, pull, rest, group, sizes, scale, one.limits, unasked)

    def most(self, a: Values, b: Values) -> Values:
        """[P]: the largest difference that an item can have; infinite without limits."""
        return self._once("most", self._most, a, b) if self.limits else np.full(len(a), np.inf)

    def scatter(self, a: Values, b: Values) -> Values:
        """[P]: the squares of the differences of `rest`, summed; exact where they are small."""
        return self._once("scatter", self._scatter, a, b)

    def _once(self, name: str, of: Callable[[Values, Values], Values], a: Values, b: Values) -> Values:
        """What is the same for (a, b) and (b, a), once: a pair is asked for alone and among its tasks."""
        if name not in self.known:
            self.known[name] = np.full((len(self.values), len(self.values)), np.nan)
        known = self.known[name]
        new = np.flatnonzero(np.isnan(known[a, b]))
        if len(new):
            known[a[new], b[new]] = known[b[new], a[new]] = of(a[new], b[new])
        return known[a, b]

    def _most(self, a: Values, b: Values) -> Values:
        assert self.limits
        widest = max(abs(limit) for limit in self.limits)
        high, low = self.values.max(axis=(1, 2)), self.values.min(axis=(1, 2))
        if np.all(np.maximum(high[b] - low[a], high[a] - low[b]) <= widest):
            return np.full(len(a), widest)
        return np.maximum(widest, np.abs(self.values[b] - self.values[a]).max(axis=(1, 2)))

    def _scatter(self, a: Values, b: Values) -> Values:
        both = self.squares[a] + self.squares[b]
        found = both - 2 * np.einsum("pi,pi->p", self.rest[a], self.rest[b])
        near = np.flatnonzero(found < 1e-3 * both)
        gap = self.rest[b[near]] - self.rest[a[near]]
        found[near] = np.einsum("pi,pi->p", gap, gap)
        return found
