"""95 % intervals, and the test and the power that belong to them.

The variance of a mean over seeds and items has a part that S - 1 degrees of freedom know and a part that
many know (`suite.statistics.variance`). Resampling three seeds gives neither part its due. The half width is

    ((t[item df] sqrt(item part))^k + (t[seed df] sqrt(seed part) share^g)^k)^(1/k),
    k = 2 + 10 / df^2,  g = 0.15 / df^2,  df = seed df,  share = seed part / both parts

and p is the level at which the interval just reaches zero, so that the two never disagree (t at that level;
g fades below 5 %, where it would let too much through).

With k = 2 and g = 0 this is the method of variance estimates recovery (Zou and Donner, Statistics in Medicine
2008): right for many seeds, too wide for few. k and g were fitted so that for normal effects of any mix close
to 95 intervals in 100 hold the truth (94.3 to 95.7 with three seeds or more, 94 to 97 with two);
`benchmarks/intervals.py` counts them on simulated benchmarks. By luck the seed part can be next to nothing,
or nothing where scores agree in every seed: the half width is never less than half of what the items alone
would give, and never less than all of it at the rare levels that a family of many comparisons asks for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import optimize, special

from suite.errors import UserError
from suite.statistics.sample import Sample
from suite.statistics.variance import Moments, Part, moments

LEVEL = 0.05
POWER = 0.8
RAREST = 1e-12  # no p below it is told
LEAST = 0.5  # of the half width over single answers and items, at LEVEL; all of it at rare levels


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval, over `seeds` seeds and `items` items.

    With one seed it covers the items alone: nothing is known of other seeds. The interval is
    centre +- t[df] * se; its centre lies off the value where items have limits and are few.
    """

    value: float
    low: float
    high: float
    se: float
    df: float
    seeds: int
    items: int


@dataclass(frozen=True)
class Comparison:
    """b - a: its interval, its two-sided p (below .05 exactly where the interval leaves zero out).

    `detectable` is the smallest true difference that a benchmark of this size and noise would have found
    with 80 % power at the 5 % level; `paired_seeds` is how many seeds both have, 0 where each has its own.
    """

    interval: Interval
    p: float
    detectable: float
    paired_seeds: int

    @property
    def apart(self) -> bool:
        """Whether the two can be told apart by this comparison alone."""
        return self.p < LEVEL


def interval(sample: Sample) -> Interval:
    """The mean over seeds and items."""
    return _interval([Part(sample)])[0]


def compare(a: Sample, b: Sample) -> Comparison:
    """b - a over common items, and by seed where both have it. UserError without an item in common."""
    parts, paired = difference(a, b)
    return _comparison(parts, paired)


def over_tasks(samples: Mapping[str, Sample]) -> Interval:
    """The mean over tasks, each of which weighs the same. The tasks are these, not a sample of tasks."""
    _some(samples)
    return _interval([Part(sample, 1 / len(samples)) for sample in samples.values()])[0]


def compare_over_tasks(a: Mapping[str, Sample], b: Mapping[str, Sample]) -> Comparison:
    """The mean over tasks of b - a. UserError unless both have the same tasks."""
    _some(a)
    if a.keys() != b.keys():
        raise UserError(f"tasks {sorted(a)} against {sorted(b)}; compare over the tasks that both have")
    parts: list[Part] = []
    paired: list[int] = []
    for task in a:
        found, seeds = difference(a[task], b[task])
        parts += [Part(part.sample, part.times / len(a)) for part in found]
        paired.append(seeds)
    return _comparison(parts, min(paired))


def difference(a: Sample, b: Sample) -> tuple[list[Part], int]:
    """The parts of b - a over common items, and over how many common seeds (0: each has seeds of its own)."""
    known = set(b.items)
    items = [item for item in a.items if item in known]
    if not items:
        raise UserError(
            f"no item in common ({a.items[0]} ... against {b.items[0]} ...): they cannot be paired"
        )
    seeds = [seed for seed in a.seeds if seed in b.seeds]
    if len(seeds) < min(len(a.seeds), len(b.seeds), 2):
        return [Part(b.of(b.seeds, items)), Part(a.of(a.seeds, items), -1.0)], 0
    a, b = a.of(seeds, items), b.of(seeds, items)
    if a.groups != b.groups:
        raise UserError("the same items are grouped differently; compare what was evaluated alike")
    values = b.values - a.values
    limits = None
    if a.limits and b.limits:
        most = max(abs(limit) for limit in (*a.limits, *b.limits, values.min(), values.max()))
        limits = (-most, most)
    return [Part(Sample(tuple(seeds), tuple(items), values, a.groups, limits))], len(seeds)


def _comparison(parts: list[Part], paired: int) -> Comparison:
    found, moved = _interval(parts)
    return Comparison(found, _p(moved), detectable(found), paired)


def _interval(parts: list[Part]) -> tuple[Interval, Moments]:
    """The interval of a sum of samples, and what it was made of."""
    found = moments(parts)
    items = min(len(part.sample.items) for part in parts)
    seeds = min(len(part.sample.seeds) for part in parts)
    if seeds == 1 and items == 1:
        raise UserError("one seed and one item have no interval; give more items or more seeds")
    half = half_width(found)
    df = _df(found)
    return Interval(
        value=found.value,
        low=min(found.value, max(found.lowest, found.centre - half)),
        high=max(found.value, min(found.highest, found.centre + half)),
        se=half / _edge(df),
        df=df,
        seeds=seeds,
        items=items,
    ), found


def half_width(found: Moments, level: float = LEVEL) -> float:
    """Half the width of the interval that misses the truth `level` of the time; see the head of this file."""
    edge = _edge(found.item_df, level)
    if not found.seed_df:
        return edge * math.sqrt(found.item)
    rare = min(level / LEVEL, 1.0)
    alone = edge * math.sqrt(found.item + found.rest)
    item = edge * math.sqrt(found.item)
    share = found.seed / (found.seed + found.item) if found.seed else 0.0
    less = 0.15 / found.seed_df**2 * rare
    seed = _edge(found.seed_df, level) * math.sqrt(found.seed) * share**less
    k = 2 + 10 / found.seed_df**2
    most = max(item, seed)
    both = most * ((item / most) ** k + (seed / most) ** k) ** (1 / k) if most else 0.0
    return max(both, (1 - (1 - LEAST) * rare) * alone)


def _p(found: Moments) -> float:
    """The level at which the interval just reaches zero: two-sided p, `RAREST` at the least."""

    def beyond(level: float) -> float:
        return half_width(found, level) - abs(found.centre)

    if found.centre == 0:
        return 1.0
    if beyond(RAREST) <= 0:
        return RAREST
    return float(optimize.root_scalar(beyond, bracket=(RAREST, 1.0), xtol=RAREST).root)


def _edge(df: float, level: float = LEVEL) -> float:
    """Where Student's t leaves half of `level` on either side."""
    return -float(special.stdtrit(max(df, 1.0), level / 2))


def _df(found: Moments) -> float:
    """Satterthwaite's degrees of freedom of the whole variance, by which p and power are read off."""
    total = found.item + found.seed
    if total <= 0:
        return max(found.item_df, found.seed_df, 1.0)
    spread = found.item**2 / max(found.item_df, 1) + (found.seed**2 / found.seed_df if found.seed else 0.0)
    return float(total**2 / spread)


def detectable(found: Interval, level: float = LEVEL) -> float:
    """The true difference that would be told from zero in 80 of 100 repetitions (noncentral t)."""
    edge = _edge(found.df, level)
    return found.se * float(special.nctdtrinc(found.df, 1 - POWER, edge)) if found.se else 0.0


def _some(samples: Mapping[str, Sample]) -> None:
    if not samples:
        raise UserError("no tasks: give at least one")
