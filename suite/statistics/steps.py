"""Changes of level in a series: not a bump, and with a known rate of false alarms.

A series is taken as levels that are held for a while, plus noise that is independent from moment to moment
and spread alike. The null hypothesis is that its order means nothing: every permutation is as likely. So
values become ranks, every window [i, j) of moments is held against the rest,

    z = |mean rank inside - mean rank outside| / its standard deviation over all permutations,

and the largest z is compared with the largest z of random permutations of the same ranks. That is exact
whatever the distribution of the noise, and a wild value is no more than the highest rank. The windows are
those of circular binary segmentation (Olshen et al., Biostatistics 2004); ranks as Pettitt (Applied
Statistics 1979) used them for a single change. asv fits levels under a penalty that was chosen by what works;
here the rate of false alarms is chosen: 5 % of the series that have no step are told to have one.

A window that reaches an end cuts once, another one twice, and that only where no single cut is enough by
itself. Then each part is searched alone, at the level times its share of the moments, so that all parts
together err as rarely as the whole. Ranks know nothing of the size of a gap, so last every cut is moved to
where the values are closest to the medians of the two levels beside it.

`HELD` moments are the shortest level, so that a bump of one moment is none; one of two moments is taken for a
level in 7 to 9 of 100 series. With fewer than `FEWEST` moments nothing could be told at 5 %: even a perfect
step of 3 against 4 is seen in 2 of 35 permutations. Noise that drifts is not independent, and looks like
steps. `benchmarks/steps.py` measures all of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy import special, stats

from suite.errors import UserError
from suite.seeds import seed_for
from suite.statistics.intervals import LEVEL
from suite.statistics.sample import Values

HELD = 3
FEWEST = 8
MOST = 200  # moments; of a longer series the last ones
DRAWS = 9_999  # permutations
PART_DRAWS = 1_999  # for a part, whose p is told to nobody
SAME = 1e-9  # by how much z of two windows has to differ


@dataclass(frozen=True)
class Level:
    """The median of the moments [first, end)."""

    first: int
    end: int
    value: float


@dataclass(frozen=True)
class Step:
    """A change of level at moment `at`, the first of the new level.

    `change` is the median of all differences new - old of the two levels (Hodges and Lehmann 1963), low and
    high its 95 % interval by ranks (Mann and Whitney), None where the levels are too short for one. The
    interval takes the place of the step as known.
    """

    at: int
    change: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Steps:
    """The levels of a series and the steps between them.

    `p` is how often a series without any step would look as uneven as this one; None with fewer than
    `FEWEST` moments. `first` is the moment at which the search began: only the last `MOST` are searched.
    """

    levels: tuple[Level, ...]
    steps: tuple[Step, ...]
    p: float | None
    first: int = 0


def find_steps(values: Sequence[float] | Values, level: float = LEVEL) -> Steps:
    """The levels of a series in the order of time. UserError if it is empty or has no finite number."""
    series = np.asarray(values, dtype=float)
    if series.ndim != 1 or not len(series) or not np.isfinite(series).all():
        raise UserError("a series of moments needs finite numbers, one at least")
    start = max(len(series) - MOST, 0)
    series = series[start:]
    if len(series) < FEWEST:
        return Steps((_level(series, 0, len(series), start),), (), None, start)
    p = _search(series, DRAWS)[0]
    cuts = _moved(series, sorted(_cuts(series, 0, len(series), level))) if p < level else []
    ends = [0, *cuts, len(series)]
    levels = [_level(series, first, end, start) for first, end in pairwise(ends)]
    steps = [_step(series, ends[k - 1], ends[k], ends[k + 1], start) for k in range(1, len(ends) - 1)]
    return Steps(tuple(levels), tuple(steps), p, start)


def _cuts(series: Values, first: int, end: int, level: float) -> list[int]:
    """Where [first, end) is to be cut, at this level; `level` is that of the whole series."""
    size = end - first
    if size < FEWEST:
        return []
    whole = size == len(series)
    p, cuts = _search(series[first:end], DRAWS if whole else PART_DRAWS)
    if p >= level * size / len(series):
        return []
    ends = [first, *(first + cut for cut in cuts), end]
    inner = [cut for a, b in pairwise(ends) for cut in _cuts(series, a, b, level)]
    return [*ends[1:-1], *inner]


def _search(series: Values, draws: int) -> tuple[float, list[int]]:
    """p of the most uneven window, and the cuts that it makes: one if a single cut is as rare as 5 %."""
    ranks = stats.rankdata(series)
    found = _unevenness(ranks)
    if found is None:
        return 1.0, []
    null = _null(tuple(np.sort(ranks).tolist()), draws)
    (alone, cut), (most, window) = found

    def p(z: float) -> float:
        return float((1 + np.sum(null >= z - SAME)) / (draws + 1))

    single = p(alone)
    return p(most), [cut] if single < LEVEL or most <= alone + SAME else list(window)


def _unevenness(ranks: Values) -> tuple[tuple[float, int], tuple[float, tuple[int, int]]] | None:
    """(z, cut) of the best single cut, and (z, (i, j)) of the best window; None if all values agree."""
    count, spread = len(ranks), ranks.var()
    if spread == 0:
        return None
    sums = np.concatenate([[0.0], np.cumsum(ranks - ranks.mean())])
    alone, most = (0.0, 0), (0.0, (0, count))
    for size in range(HELD, count - HELD + 1):
        z = np.abs(sums[size:] - sums[:-size]) / _deviation(count, size, spread)
        if z[0] > alone[0] + SAME:
            alone = (float(z[0]), size)
        at = _places(count, size)
        best = at[int(np.argmax(z[at]))]
        if z[best] > most[0] + SAME:
            most = (float(z[best]), (int(best), int(best) + size))
    return alone, most


def _places(count: int, size: int) -> Values:
    """Where a window of this size may begin: at an end, or so far from it that a level fits in between."""
    last = count - size
    return np.array([0, *range(HELD, last - HELD + 1), *([last] if last >= HELD else [])])


def _deviation(count: int, size: int, spread: float) -> float:
    """Of the sum of `size` of `count` centred ranks, drawn without putting back."""
    return float(np.sqrt(spread * size * (count - size) / (count - 1)))


@lru_cache(maxsize=256)
def _null(ranks: tuple[float, ...], draws: int) -> Values:
    """[draws]: the largest z of random permutations of these ranks; the same ones every time."""
    count, values = len(ranks), np.array(ranks, dtype=np.float32)
    spread = float(np.var(np.array(ranks)))
    generator = np.random.default_rng(seed_for(0, "steps", count))
    shuffled = generator.permuted(np.tile(values - values.mean(), (draws, 1)), axis=1)
    sums = np.zeros((count + 1, draws), dtype=np.float32)
    np.cumsum(shuffled.T, axis=0, out=sums[1:])
    most = np.zeros(draws, dtype=np.float32)
    for size in range(HELD, count - HELD + 1):
        at = _places(count, size)
        top = np.abs(sums[at + size] - sums[at]).max(axis=0)
        np.maximum(most, top / _deviation(count, size, spread), out=most)
    return most


def _moved(series: Values, cuts: list[int]) -> list[int]:
    """Each cut where the values beside it lie closest to the medians of their levels, sum of distances.

    Ranks say that there is a step, and not always where: they know nothing of the size of a gap.
    """
    found = list(cuts)
    for k in range(len(found)):
        first = found[k - 1] if k else 0
        end = found[k + 1] if k + 1 < len(found) else len(series)
        places = range(first + HELD, end - HELD + 1)
        found[k] = min(places, key=lambda at: _distance(series[first:at]) + _distance(series[at:end]))
    return found


def _distance(values: Values) -> float:
    return float(np.abs(values - np.median(values)).sum())


def _level(series: Values, first: int, end: int, start: int) -> Level:
    return Level(start + first, start + end, float(np.median(series[first:end])))


def _step(series: Values, first: int, cut: int, end: int, start: int) -> Step:
    old, new = series[first:cut], series[cut:end]
    differences = np.sort((new[:, None] - old[None, :]).ravel())
    beyond = _left_out(len(old), len(new))
    low = high = None
    if beyond is not None:
        low, high = float(differences[beyond]), float(differences[-1 - beyond])
    return Step(start + cut, float(np.median(differences)), low, high)


@lru_cache(maxsize=1024)
def _left_out(old: int, new: int) -> int | None:
    """How many differences lie beyond either end of the 95 % interval; None if all of them are too few.

    The largest k with P(U <= k - 1) <= 2.5 % under no difference, so that the (k + 1)-th is the limit; exact
    by counting up to 20 by 20, beyond that by the normal limit with a correction for continuity.
    """
    if old * new <= 400:
        ways = _ways(old, new)
        below = np.cumsum(ways) / ways.sum()
        k = int(np.searchsorted(below, LEVEL / 2, side="right"))
    else:
        deviation = np.sqrt(old * new * (old + new + 1) / 12)
        k = int(old * new / 2 - 0.5 + special.ndtri(LEVEL / 2) * deviation) + 1
    return k - 1 if k >= 1 else None


def _ways(old: int, new: int) -> Values:
    """[old new + 1]: in how many orders the Mann-Whitney count is 0, 1, ... (the Gaussian binomial)."""
    ways = np.zeros(old * new + 1)
    ways[0] = 1
    for k in range(1, min(old, new) + 1):
        grown = ways.copy()
        step = max(old, new) + k
        grown[step:] -= ways[:-step] if step < len(ways) else 0
        for at in range(k, len(grown)):
            grown[at] += grown[at - k]
        ways = grown
    return ways
