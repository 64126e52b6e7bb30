"""Shares of items that were right, where nothing but the share is known: one run, no outcome of any item.

The interval of a share is Wilson's (JASA 1927), the interval of a difference Newcombe's hybrid of two of them
(Statistics in Medicine 1998, method 10), and the test is the pooled score test of two shares, which is
Pearson's chi-square of the 2 x 2 table without a correction:

    z = (p_b - p_a) / sqrt(p (1 - p) (1/n_a + 1/n_b)),   p = (right_a + right_b) / (n_a + n_b)

Whoever knows the outcome of every item can pair them and see far smaller differences
(`suite.statistics.pairs`). All of this covers the choice of items alone: how far another seed would have come
out elsewhere is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, pairwise

from scipy import special

from suite.errors import UserError
from suite.statistics.intervals import LEVEL
from suite.statistics.pairs import holm
from suite.statistics.ranking import Verdict

EDGE = -float(special.ndtri(LEVEL / 2))
MOST_ITEMS = 20_000
EXACT = 1e-12  # how far a share that was written in full may lie from right / n
ROUNDED = 10**15  # a number of items that divides it cannot be told from rounding to so many digits


@dataclass(frozen=True)
class Share:
    """`right` of `items` items, with the 95 % interval of the share (0..1)."""

    right: int
    items: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SharePair:
    """b - a of two shares with its 95 % interval; `p` is Holm's over all pairs, and decides."""

    a: str
    b: str
    value: float
    low: float
    high: float
    p: float
    verdict: Verdict


@dataclass(frozen=True)
class ShareRanking:
    """Shares by name, best first; ranks (1 + how many are better beyond doubt); every pair."""

    shares: Mapping[str, Share]
    ranks: Mapping[str, int]
    pairs: Mapping[frozenset[str], SharePair]

    def pair(self, a: str, b: str) -> SharePair:
        """The pair of these two, in whichever order it was compared."""
        return self.pairs[frozenset((a, b))]

    @property
    def tied_with_first(self) -> tuple[str, ...]:
        """The names that cannot be told from the best one, without itself."""
        best, *others = self.shares
        return tuple(name for name in others if self.pair(best, name).verdict == "cannot tell")

    @property
    def neighbours_apart(self) -> int:
        """How many of the neighbours in the order can be told from each other."""
        names = list(self.shares)
        couples = pairwise(names)
        return sum(self.pair(a, b).verdict != "cannot tell" for a, b in couples)


def share(right: int, items: int) -> Share:
    """Wilson's interval of `right` of `items`. UserError unless 0 <= right <= items and items >= 1."""
    if not (items >= 1 and 0 <= right <= items):
        raise UserError(
            f"{right} of {items} items is no share; expected 0 to {max(items, 1)} right of 1 or more"
        )
    p, square = right / items, EDGE**2
    centre = (p + square / (2 * items)) / (1 + square / items)
    half = EDGE * math.sqrt(p * (1 - p) / items + square / (4 * items**2)) / (1 + square / items)
    return Share(right, items, p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


def two_shares(a: Share, b: Share) -> tuple[float, float, float, float]:
    """b - a, its 95 % interval, and the two-sided p of the pooled score test."""
    value = b.value - a.value
    low = value - math.hypot(b.value - b.low, a.high - a.value)
    high = value + math.hypot(b.high - b.value, a.value - a.low)
    pooled = (a.right + b.right) / (a.items + b.items)
    variance = pooled * (1 - pooled) * (1 / a.items + 1 / b.items)
    p = 2 * float(special.ndtr(-abs(value) / math.sqrt(variance))) if variance else 1.0
    return value, max(low, -1.0), min(high, 1.0), p


def rank_shares(shares: Mapping[str, Share]) -> ShareRanking:
    """Rank by share; Holm's correction over all pairs keeps the chance of any wrong claim at 5 %.

    The rank of a name is 1 + the number of names that are better beyond doubt. UserError without any.
    """
    if not shares:
        raise UserError("no shares to rank")
    names = sorted(shares, key=lambda name: (-shares[name].value, name))
    couples = list(combinations(names, 2))
    found = [two_shares(shares[a], shares[b]) for a, b in couples]
    adjusted = holm([p for *_, p in found])
    pairs: dict[frozenset[str], SharePair] = {}
    beaten = dict.fromkeys(names, 0)
    for (a, b), (value, low, high, _), p in zip(couples, found, adjusted, strict=True):
        verdict: Verdict = "cannot tell" if p >= LEVEL else "better" if value > 0 else "worse"
        pairs[frozenset((a, b))] = SharePair(a, b, value, low, high, p, verdict)
        if verdict != "cannot tell":
            beaten[a if verdict == "better" else b] += 1
    ranks = {name: 1 + beaten[name] for name in names}
    return ShareRanking({name: shares[name] for name in names}, ranks, pairs)


def items_behind(values: Iterable[float]) -> int | None:
    """The smallest number of items of which every value is a whole share; None if these do not tell.

    A source that writes a score in full (0.5132676269901440) says thereby of how many items it is: of 1,319.
    None where no number up to 20,000 fits, and where one fits that rounding to four digits would make as
    well. The true number may be a multiple: then intervals are too wide, never too narrow.
    """
    items = 1
    for value in values:
        if not 0 <= value <= 1:
            return None
        near = Fraction(value).limit_denominator(MOST_ITEMS)
        if abs(float(near) - value) > EXACT:
            return None
        items = math.lcm(items, near.denominator)
        if items > MOST_ITEMS:
            return None
    return None if ROUNDED % items == 0 else items
