"""Ranks that say what the data can tell: variants that cannot be told apart share one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from suite.errors import UserError
from suite.statistics.intervals import LEVEL, Comparison, Interval, detectable, over_tasks
from suite.statistics.many import compare_many
from suite.statistics.pairs import holm
from suite.statistics.sample import Sample

Verdict = Literal["better", "worse", "cannot tell"]


@dataclass(frozen=True)
class Pair:
    """Two variants over all tasks: `b` is better or worse than `a`, or the data cannot tell.

    `comparison` is b - a; `p` is Holm's over all pairs, and decides. `visible` is the true difference that
    would be told apart among all pairs in 80 of 100 repetitions: at 5 % over their number (Bonferroni), while
    `comparison.detectable` is that of a pair that is looked at alone.
    """

    a: str
    b: str
    comparison: Comparison
    p: float
    verdict: Verdict
    visible: float


@dataclass(frozen=True)
class Standing:
    """A variant's rank: 1 + how many variants are better beyond doubt."""

    variant: str
    rank: int
    interval: Interval


@dataclass(frozen=True)
class Ranking:
    """The variants by rank, then by value; and every pair."""

    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]

    def rank(self, variant: str) -> int:
        """The rank of one variant."""
        return next(each.rank for each in self.standings if each.variant == variant)

    def pair(self, a: str, b: str) -> Pair:
        """The pair of these two, in whichever order it was compared."""
        return next(each for each in self.pairs if {each.a, each.b} == {a, b})


def ranks(samples: Mapping[str, Mapping[str, Sample]], higher_is_better: bool = True) -> Ranking:
    """Rank variants (variant -> task -> sample) by their mean over tasks.

    Every pair is compared by item and seed; Holm's correction over all pairs keeps the chance of any wrong
    claim at 5 %. The rank of a variant is 1 + the number of variants that are better beyond doubt. Being told
    apart is not transitive: only rank 1 is sure to hold no two that were told apart. UserError unless all
    variants have the same tasks.
    """
    if not samples:
        raise UserError("no variants to rank")
    names = list(samples)
    couples = list(combinations(names, 2))
    compared = compare_many(samples, couples)
    adjusted = holm([each.p for each in compared])
    pairs = tuple(
        Pair(
            a,
            b,
            each,
            p,
            _verdict(each, p, higher_is_better),
            detectable(each.interval, LEVEL / len(couples)),
        )
        for (a, b), each, p in zip(couples, compared, adjusted, strict=True)
    )
    beaten = dict.fromkeys(names, 0)
    for pair in pairs:
        if pair.verdict != "cannot tell":
            beaten[pair.a if pair.verdict == "better" else pair.b] += 1
    standings = [Standing(name, 1 + beaten[name], over_tasks(samples[name])) for name in names]
    sign = -1 if higher_is_better else 1
    standings.sort(key=lambda each: (each.rank, sign * each.interval.value, each.variant))
    return Ranking(tuple(standings), pairs)


def _verdict(found: Comparison, p: float, higher_is_better: bool) -> Verdict:
    """What b is beside a."""
    if p >= LEVEL:
        return "cannot tell"
    return "better" if (found.interval.value > 0) == higher_is_better else "worse"
