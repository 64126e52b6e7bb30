"""Why two samples cannot be told apart: what the noise of their difference is made of, and what would help.

The variance of b - a has three sources (`suite.statistics.variance`):

    items     which items the benchmark happens to have; only more items make it smaller
    seeds     which seeds training happened to have; only more seeds make it smaller
    answers   how one model answers one item under one seed; more of either make it smaller

From these the smallest difference that would be noticed (`Comparison.detectable`) follows for other numbers
of seeds and items, if their noise stays what was seen. A few seeds know it badly: the numbers are rough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from suite.errors import UserError
from suite.statistics.intervals import difference
from suite.statistics.many import Couple, Many, _df, _edge, _half_width, noticeable
from suite.statistics.sample import Sample, Values
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
    seeds = min(len(part.sample.seeds) for part in parts)
    items = min(len(part.sample.items) for part in parts)
    whole = {name: np.array([value]) for name, value in vars(moments(parts)).items()}
    return _told(Moments(**whole), seeds, items)[0]  # pyright: ignore[reportArgumentType]


def noises(many: Many, couples: Sequence[Couple], tasks: Sequence[str] | None = None) -> list[Noise]:
    """The same of every couple (a, b), the mean over `tasks` (all, if None)."""
    found: dict[int, Noise] = {}
    for batch, whole, seeds, items in many.moments(couples, tasks):
        found |= zip(batch, _told(whole, seeds, items), strict=True)
    for at, couple in enumerate(couples):
        if at not in found:
            found[at] = noise(*many.samples(couple, tasks))
    return [found[at] for at in range(len(couples))]


def _told(whole: Moments, seeds: int, items: int) -> list[Noise]:
    """By pair; each field of `whole` is [pair]."""
    more_items = _enough(whole, items, _with_items)
    if seeds < 2:
        return [Noise(1.0, None, None, None, more) for more in more_items]
    more_seeds = _enough(whole, seeds, lambda found, times: _with_seeds(found, times, seeds))
    own = np.maximum(whole.seed - whole.rest, 0.0)
    total = np.asarray(whole.item + whole.seed)
    some = np.where(total > 0, total, 1.0)
    shares = [np.where(total > 0, part / some, 0.0) for part in (whole.item, own, whole.seed - own)]
    columns = (one.tolist() for one in shares)
    return [Noise(*one) for one in zip(*columns, more_seeds, more_items, strict=True)]


def _with_seeds(found: Moments, times: Values, seeds: int) -> Moments:
    """The moments that `times` as many seeds would be expected to have."""
    more = found.seed_df * (times * seeds - 1) / (seeds - 1)
    return replace(found, seed=found.seed / times, rest=found.rest / times, seed_df=more)


def _with_items(found: Moments, times: Values) -> Moments:
    """The moments that `times` as many items would be expected to have."""
    shared = np.minimum(found.rest, found.seed)
    return replace(
        found,
        item=found.item / times,
        item_df=(found.item_df + 1) * times - 1,
        seed=found.seed - shared + shared / times,
        rest=found.rest / times,
    )


def _enough(found: Moments, have: int, at: Callable[[Moments, Values], Moments]) -> list[int | None]:
    """By pair the least number (of `have` now) at which the difference that was seen would be noticed."""

    def seen(of: Moments, numbers: Values) -> Values:
        return np.abs(of.value) >= _noticeable(at(of, numbers / have))

    every = np.full(len(np.asarray(found.value)), have)
    asked = np.asarray(found.value != 0) & ~seen(found, every) & seen(found, every * MOST)
    few = Moments(**{name: value[asked] for name, value in vars(found).items()})
    low, high = every[asked], every[asked] * MOST
    while (wide := high - low > 1).any():
        halves = np.where(high > 4 * low, np.sqrt(low * high).astype(int), (low + high) // 2)
        middle = np.where(wide, halves, high)
        enough = seen(few, middle)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    least = np.zeros(len(every), dtype=int)
    least[asked] = high
    return [number or None for number in least.tolist()]


def _noticeable(found: Moments) -> Values:
    """The smallest true difference that would be noticed, as `Comparison.detectable`."""
    df = _df(found)
    return noticeable(_half_width(found) / _edge(df), df)
