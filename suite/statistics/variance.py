"""How far a mean over seeds and items may lie from the truth: variance components of a crossed table.

The same N items are answered under each of S seeds, one value a cell:

    y[s, i] = mu + seed[s] + item[i] + rest[s, i]

so the mean of the table has the variance  var(seed)/S + var(item)/N + var(rest)/(S N).  The mean squares of
the two-way table without repeats (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4)
estimate it in two parts, and say of each how well it is known:

    seed part = MS_seed / (S N)                 S - 1 degrees of freedom;  holds var(rest)/(S N) too
    item part = (MS_item - MS_rest) / (S N)     about N - 1 degrees of freedom

Groups of items, and sums of several tables (tasks; b - a where each has seeds of its own), go the same way:
every item enters with its pull on the quantity (`pulls`), and tables of the same items are added item by
item before the item part is taken.

Few items of which all were right say little, and a variance of zero would claim certainty. Where an item's
values have limits, each group is joined by two items that were never asked, one at either limit under every
seed: Agresti and Coull (1998) for a share, Bonett and Price (2012) for a difference of paired shares.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from suite.statistics.sample import Sample, Values

UNASKED = 1  # items added at either limit of each group


@dataclass(frozen=True)
class Part:
    """One sample of a sum, and how often it counts. No two parts share the noise of a seed."""

    sample: Sample
    times: float = 1.0


@dataclass(frozen=True)
class Moments:
    """Of a sum of samples: its value, where its interval is centred, and the two parts of its variance.

    `seed` is 0 where no part has two seeds; `rest` is what of `seed` comes from items, var(rest)/(S N).
    """

    value: float
    centre: float
    item: float
    item_df: float
    seed: float
    seed_df: float
    rest: float
    lowest: float
    highest: float


def moments(parts: Sequence[Part]) -> Moments:
    """The moments of the sum over `parts` of times * mean."""
    centre = lowest = highest = rest = 0.0
    summed: dict[Hashable, Values] = {}
    sizes: dict[Hashable, Values] = {}
    seeds: list[tuple[float, float]] = []
    for part in parts:
        sample, times = part.sample, part.times
        means, pull, group = pulls(sample)
        key = (sample.items, sample.groups, pull.shape[1])
        centre += times * float(means.mean())
        summed[key] = summed.get(key, 0.0) + times * pull.mean(axis=0)
        sizes[key] = group
        count = len(sample.seeds)
        if count > 1:
            seeds.append((times**2 * float(means.var(ddof=1)) / count, count - 1.0))
            rest += times**2 * float(pull.var(axis=0, ddof=1).sum()) / count
        ends = sorted(times * limit for limit in sample.limits or (-np.inf, np.inf))
        lowest, highest = lowest + ends[0], highest + ends[1]
    item, item_df = _joined([term for key, pull in summed.items() for term in _by_group(pull, sizes[key])])
    seed, seed_df = _joined(seeds)
    value = sum(part.times * part.sample.mean for part in parts)
    return Moments(value, centre, max(item - rest, 0.0), item_df, seed, seed_df, rest, lowest, highest)


def pulls(sample: Sample) -> tuple[Values, Values, Values]:
    """The quantity by seed [S], every item's pull on it [S, N'], and the group of each item [N'].

    The pull of an item is its weight times its distance from its group's mean under the same seed, scaled so
    that the sum of the squares over a group of n items has n - 1 in its divisor. N' counts unasked items.
    """
    values = sample.values
    labels = np.array(sample.groups) if sample.groups else np.zeros(values.shape[1], dtype=int)
    names, group = np.unique(labels, return_inverse=True)
    if sample.limits and values.shape[1] > 1:
        added = np.repeat(np.array(sample.limits * UNASKED), len(names))
        values = np.concatenate([values, np.broadcast_to(added, (len(values), len(added)))], axis=1)
        group = np.concatenate([group, np.tile(np.arange(len(names)), 2 * UNASKED)])
    sizes = np.bincount(group)
    sums = np.stack([np.bincount(group, row, len(names)) for row in values])
    means = sums / sizes
    scale = np.sqrt(sizes / np.maximum(sizes - 1, 1)) / (len(names) * sizes)
    return means.mean(axis=1), (values - means[:, group]) * scale[group], group


def _by_group(pull: Values, group: Values) -> list[tuple[float, float]]:
    """(variance, degrees of freedom) that each group's items bring."""
    sizes = np.bincount(group)
    squares = np.bincount(group, pull**2)
    return [(float(square), float(size - 1)) for square, size in zip(squares, sizes, strict=True) if size > 1]


def _joined(terms: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """A sum of variances and its degrees of freedom (Welch 1947; Satterthwaite's are too few on average)."""
    total = sum(variance for variance, _ in terms)
    if total <= 0:
        return 0.0, sum(df for _, df in terms)
    spread = sum(variance**2 / (df + 2) for variance, df in terms)
    most = sum(df for _, df in terms)
    return total, min(total**2 / spread - 2, most)
