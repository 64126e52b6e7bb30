"""The same comparisons as `suite.statistics.intervals`, of many pairs at once: for boards of 200 variants.

Variants that were run with the same seeds on the same items need no samples of differences: what every item
and seed pulls is linear in the values, so differences of pulls are pulls of differences. Only the outcomes
that were never asked are not (`suite.statistics.variance`), a few numbers a pair. Pairs of other
variants are compared one by one. The tests hold both ways against each other.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np
from scipy import special

from suite.statistics.intervals import (
    LEAST,
    LEVEL,
    POWER,
    RAREST,
    Comparison,
    Interval,
    compare_over_tasks,
)
from suite.statistics.sample import Sample, Values
from suite.statistics.tables import Table
from suite.statistics.variance import Moments

PRECISE = 1e-13  # of the logarithm of a p
STEPS = 100  # at most, to find it
BLOCK = 1 << 21  # differences that are held at once

Samples = Mapping[str, Sample]  # by task
Couple = tuple[str, str]
Batch = tuple[list[int], Moments, int, int]


def compare_many(samples: Mapping[str, Samples], couples: Sequence[Couple]) -> list[Comparison]:
    """b - a of every couple (a, b), the mean over tasks, as `compare_over_tasks` has it."""
    return Many(samples).compare(couples)


class Many:
    """Samples of many variants (variant -> task -> sample), to be compared pair by pair."""

    def __init__(self, samples: Mapping[str, Samples]) -> None:
        self._samples = samples
        self._place: dict[tuple[str, str], tuple[Table, int]] = {}
        alike: dict[Hashable, list[str]] = defaultdict(list)
        for name, of in samples.items():
            for task, one in of.items():
                alike[task, one.seeds, one.items, one.groups, one.limits].append(name)
        for key, names in alike.items():
            task = key[0]  # pyright: ignore[reportIndexIssue]
            table = Table.of([samples[name][task] for name in names])
            self._place |= {(task, name): (table, row) for row, name in enumerate(names)}

    def compare(self, couples: Sequence[Couple], tasks: Sequence[str] | None = None) -> list[Comparison]:
        """b - a of every couple (a, b), the mean over `tasks` (all, if None). UserError as for one pair."""
        found: dict[int, Comparison] = {}
        for batch, whole, seeds, items in self.moments(couples, tasks):
            found |= zip(batch, _told(whole, seeds, items), strict=True)
        for at, couple in enumerate(couples):
            if at not in found:
                found[at] = compare_over_tasks(*self.samples(couple, tasks))
        return [found[at] for at in range(len(couples))]

    def samples(self, couple: Couple, tasks: Sequence[str] | None = None) -> tuple[Samples, Samples]:
        """Those of both, of these tasks (all, if None)."""
        a, b = (self._samples[name] for name in couple)
        return (a, b) if tasks is None else ({t: a[t] for t in tasks}, {t: b[t] for t in tasks})

    def moments(self, couples: Sequence[Couple], tasks: Sequence[str] | None = None) -> Iterator[Batch]:
        """Of couples that are alike: their places, the moments of b - a ([pair] each), seeds, items."""
        batches: dict[tuple[Table, ...], list[int]] = defaultdict(list)
        for at, couple in enumerate(couples):
            if tables := self._tables(couple, tasks):
                batches[tables].append(at)
        for tables, batch in batches.items():
            names = tasks or list(self._samples[couples[batch[0]][0]])
            rows = np.array([[[self._place[t, n][1] for n in couples[at]] for at in batch] for t in names])
            seeds, items = min(table.seeds for table in tables), min(len(table.group) for table in tables)
            size = max(1, BLOCK // max(table.rest.shape[1] for table in tables))
            for at in range(0, len(batch), size):
                yield batch[at : at + size], _moments(tables, rows[:, at : at + size]), seeds, items

    def alike(self, a: str, b: str, tasks: Sequence[str]) -> bool:
        """Whether the two have the same seeds and items in these tasks: then they are compared at once."""
        return bool(self._tables((a, b), tasks))

    def _tables(self, couple: Couple, tasks: Sequence[str] | None) -> tuple[Table, ...]:
        """The tables in which both are rows, by task; none where they are not alike in all."""
        a, b = couple
        known = [[self._place.get((task, name)) for name in couple] for task in tasks or self._samples[a]]
        same = all(one and other and one[0] is other[0] for one, other in known)
        whole = tasks is not None or self._samples[a].keys() == self._samples[b].keys()
        tables = tuple(one[0] for one, _ in known if one) if same and whole else ()
        if min((one.seeds for one in tables), default=0) == 1 == min(len(one.group) for one in tables):
            return ()  # has no interval: the pair by itself says so
        return tables


def _moments(tables: Sequence[Table], rows: Values) -> Moments:
    """The moments of the mean over tables of b - a, for rows [table, pair, 2]; each field is [pair]."""
    times = 1 / len(tables)
    zero = np.zeros(rows.shape[1])
    value, centre, rest, ends = zero.copy(), zero.copy(), zero.copy(), zero.copy()
    pulls: dict[Hashable, Values] = {}
    added: dict[Hashable, Values] = {}
    of: dict[Hashable, Table] = {}
    seeds: list[tuple[Values, float]] = []
    for table, (a, b) in zip(tables, rows.transpose(0, 2, 1), strict=True):
        count = table.seeds
        means = table.by_group[b] - table.by_group[a]  # [P, S, G]
        most = table.most(a, b)
        by_seed = means.mean(axis=2)
        value += times * (table.mean[b] - table.mean[a])
        centre += times * by_seed.mean(axis=1)
        ends += times * most
        pulls[table.key] = pulls.get(table.key, 0.0) + times * (table.pull[b] - table.pull[a])
        if table.unasked:
            limits = np.stack([-most, most], axis=1)[:, :, None]  # [P, 2, 1]
            new = (limits - means.mean(axis=1)[:, None]) * table.scale
            added[table.key] = added.get(table.key, 0.0) + times * new
        of[table.key] = table
        if count > 1:
            seeds.append((times**2 * by_seed.var(axis=1, ddof=1) / count, count - 1.0))
            extra = 2 * table.unasked * (means.var(axis=1, ddof=1) * table.scale**2).sum(axis=1)
            rest += times**2 * (table.scatter(a, b) / (count - 1) + extra) / count
    terms = [term for key, pull in pulls.items() for term in _by_group(of[key], pull, added.get(key))]
    item, item_df = _joined(terms, zero)
    seed, seed_df = _joined(seeds, zero)
    return Moments(value, centre, np.maximum(item - rest, 0), item_df, seed, seed_df, rest, -ends, ends)  # pyright: ignore[reportArgumentType]


def _by_group(table: Table, pull: Values, added: Values | None) -> list[tuple[Values, float]]:
    """(variance [P], degrees of freedom) that each group's items bring."""
    found = []
    for g, size in enumerate(table.sizes):
        inner = pull[:, table.group == g]
        squares = np.einsum("pi,pi->p", inner, inner)
        if added is not None:
            squares = squares + table.unasked * (added[:, :, g] ** 2).sum(axis=1)
        if size > 1:
            found.append((squares, float(size - 1)))
    return found


def _joined(terms: Sequence[tuple[Values, float]], zero: Values) -> tuple[Values, Values]:
    """`suite.statistics.variance._joined` for each pair."""
    total = sum((variance for variance, _ in terms), zero)
    spread = sum((variance**2 / (df + 2) for variance, df in terms), zero)
    most = sum(df for _, df in terms)
    some = total > 0
    df = np.minimum(np.where(some, total, 1.0) ** 2 / np.where(some, spread, 1.0) - 2, most)
    return np.where(some, total, 0.0), np.where(some, df, most)


def _told(found: Moments, seeds: int, items: int) -> list[Comparison]:
    half, df = _half_width(found), _df(found)
    low = np.minimum(found.value, np.maximum(found.lowest, found.centre - half))
    high = np.maximum(found.value, np.minimum(found.highest, found.centre + half))
    se = half / _edge(df)
    columns = (
        one.tolist() for one in (np.asarray(found.value), low, high, se, df, _p(found), noticeable(se, df))
    )
    return [
        Comparison(Interval(value, below, above, error, free, seeds, items), p, smallest, seeds)
        for value, below, above, error, free, p, smallest in zip(*columns, strict=True)
    ]


def noticeable(se: Values, df: Values) -> Values:
    """`suite.statistics.intervals.detectable` for each pair."""
    return np.where(se > 0, se * special.nctdtrinc(df, 1 - POWER, _edge(df)), 0.0)


def _half_width(found: Moments, level: Values | float = LEVEL) -> Values:
    """`suite.statistics.intervals.half_width` for each pair."""
    edge = _edge(found.item_df, level)
    item = edge * np.sqrt(found.item)
    if not np.any(found.seed_df):
        return item
    rare = np.minimum(np.asarray(level) / LEVEL, 1.0)
    alone = edge * np.sqrt(found.item + found.rest)
    total, df = found.seed + found.item, np.asarray(found.seed_df)
    share = np.where(found.seed > 0, found.seed / np.where(total > 0, total, 1.0), 0.0)
    seed = _edge(df, level) * np.sqrt(found.seed) * share ** (0.15 / df**2 * rare)
    k = 2 + 10 / df**2
    most = np.maximum(item, seed)
    scale = np.where(most > 0, most, 1.0)
    both = most * ((item / scale) ** k + (seed / scale) ** k) ** (1 / k)
    return np.maximum(both, (1 - (1 - LEAST) * rare) * alone)


def _df(found: Moments) -> Values:
    """`suite.statistics.intervals._df` for each pair."""
    total = np.asarray(found.item + found.seed)
    by_seed = np.where(total > 0, found.seed**2 / np.where(np.asarray(found.seed) > 0, found.seed_df, 1.0), 0)
    spread = found.item**2 / np.maximum(found.item_df, 1) + by_seed
    most = np.maximum(np.maximum(found.item_df, found.seed_df), 1.0)
    return np.where(total > 0, total**2 / np.where(spread > 0, spread, 1.0), most)


def _edge(df: Values | float, level: Values | float = LEVEL) -> Values:
    return -special.stdtrit(np.maximum(df, 1.0), np.asarray(level) / 2)


def _p(found: Moments) -> Values:
    """The level at which each interval just reaches zero, `RAREST` at the least.

    Sought in its logarithm, by inverse quadratic steps within two ends that hold it, or by halves
    (Chandrupatla, Advances in Engineering Software 28, 1997), for all pairs together.
    """
    far = np.abs(found.centre)

    def beyond(logarithm: Values) -> Values:
        return _half_width(found, np.exp(logarithm)) - far

    a, b = np.full_like(far, math.log(RAREST)), np.zeros_like(far)
    at_a, at_b = beyond(a), beyond(b)
    known = (far == 0) | (at_a <= 0)
    rare, t = at_a <= 0, np.full_like(far, 0.5)
    for _ in range(STEPS):
        x = a + t * (b - a)
        at_x = beyond(x)
        same = np.sign(at_x) == np.sign(at_a)
        c, at_c = np.where(same, a, b), np.where(same, at_a, at_b)
        b, at_b = np.where(same, b, a), np.where(same, at_b, at_a)
        a, at_a = x, at_x
        width = np.abs(b - a)
        if np.all(known | (width <= PRECISE) | (at_a == 0)):
            break
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            xi, phi = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
            step = at_a / (at_b - at_a) * at_c / (at_b - at_c)
            step += (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
            fits = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi) & np.isfinite(step)
        least = np.minimum(PRECISE / np.maximum(width, PRECISE) / 2, 0.5)
        t = np.clip(np.where(fits, step, 0.5), least, 1 - least)
    best = np.exp(np.where(np.abs(at_a) <= np.abs(at_b), a, b))
    return np.where(far == 0, 1.0, np.where(rare, RAREST, best))
