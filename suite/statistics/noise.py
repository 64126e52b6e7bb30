"""Why two samples cannot be told apart: what the noise of their difference is made of, and what would help.

The variance of b - a has three sources (`suite.statistics.variance`):

    items     which items the benchmark happens to have; only more items make it smaller
    seeds     which seeds training happened to have; only more seeds make it smaller
    answers   how one model answers one item under one seed; more of either make it smaller

From these the smallest difference that would be noticed (`Comparison.detectable`) follows for other numbers
of seeds and items, if their noise stays what was seen. A few seeds know it badly: the numbers are rough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from suite.errors import UserError
from suite.statistics.intervals import Interval, _df, _edge, detectable, difference, half_width
from suite.statistics.sample import Sample
from suite.statistics.variance import Moments, Part, moments

MOST = 1000  # times the seeds or items that there are: more is as good as never


@dataclass(frozen=True)
class Noise:
    """Shares of the variance of b - a, which sum to one; None where one seed says nothing of others.

    `more_seeds` and `more_items` are how many of either there would have to be for the difference that was
    seen to be noticed in 80 of 100 repetitions, the other number left as it is; None where no number is
    enough, where it is enough already, or where one seed says nothing of others.
    """

    items: float
    seeds: float | None
    answers: float | None
    more_seeds: int | None
    more_items: int | None


def noise(a: Mapping[str, Sample], b: Mapping[str, Sample]) -> Noise:
    """What the noise of the mean over tasks of b - a is made of. UserError as `compare_over_tasks`."""
    if not a or a.keys() != b.keys():
        raise UserError(f"tasks {sorted(a)} against {sorted(b)}; compare over the tasks that both have")
    parts: list[Part] = []
    for task in a:
        found, _ = difference(a[task], b[task])
        parts += [Part(part.sample, part.times / len(a)) for part in found]
    whole = moments(parts)
    seeds = min(len(part.sample.seeds) for part in parts)
    items = min(len(part.sample.items) for part in parts)
    total = whole.item + whole.seed
    if seeds < 2:
        return Noise(1.0, None, None, None, _enough(whole, items, lambda times: _with_items(whole, times)))
    own = max(whole.seed - whole.rest, 0.0)
    return Noise(
        items=whole.item / total if total else 0.0,
        seeds=own / total if total else 0.0,
        answers=(whole.seed - own) / total if total else 0.0,
        more_seeds=_enough(whole, seeds, lambda times: _with_seeds(whole, times, seeds)),
        more_items=_enough(whole, items, lambda times: _with_items(whole, times)),
    )


def _with_seeds(found: Moments, times: float, seeds: int) -> Moments:
    """The moments that `times` as many seeds would be expected to have."""
    more = found.seed_df * (times * seeds - 1) / (seeds - 1)
    return replace(found, seed=found.seed / times, rest=found.rest / times, seed_df=more)


def _with_items(found: Moments, times: float) -> Moments:
    """The moments that `times` as many items would be expected to have."""
    shared = min(found.rest, found.seed)
    return replace(
        found,
        item=found.item / times,
        item_df=(found.item_df + 1) * times - 1,
        seed=found.seed - shared + shared / times,
        rest=found.rest / times,
    )


def _enough(found: Moments, have: int, at: Callable[[float], Moments]) -> int | None:
    """The least number (of `have` now) at which the difference that was seen would be noticed."""

    def seen(number: int) -> bool:
        return abs(found.value) >= _noticeable(at(number / have))

    if seen(have) or not found.value or not seen(have * MOST):
        return None
    low, high = have, have * MOST
    while high - low > 1:
        middle = math.isqrt(low * high) if high > 4 * low else (low + high) // 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


def _noticeable(found: Moments) -> float:
    """The smallest true difference that would be noticed, as `Comparison.detectable`."""
    df = _df(found)
    se = half_width(found) / _edge(df)
    return detectable(Interval(found.value, found.lowest, found.highest, se, df, 0, 0))
