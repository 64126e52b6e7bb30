"""The gate's arithmetic: the difference of two small sets of seeds, and what it can tell.

The items of an evaluation are the same on both sides and stay so: the question is whether the code does
something else, not how it would do on other items. So seeds are the only noise. A group of three seeds says
little about its own variance; the variances of all groups of one metric are therefore shrunk towards a common
one, by as much as they resemble each other (Smyth 2004, "Linear models and empirical Bayes methods for
assessing differential expression": a scaled inverse chi-square prior, fitted to the logarithms of the
variances by their first two moments).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

Seeds = Mapping[int, float]


@dataclass(frozen=True)
class Difference:
    """Candidate - baseline of one quantity. Its variance is `scale` times that of one value.

    `variance` (of one value, or of one paired difference) has `df` degrees of freedom; 0: nothing known.
    `identical`: every pair is equal, or every value of both sides.
    """

    value: float
    variance: float
    df: float
    scale: float
    paired: bool
    seeds: tuple[int, int]
    identical: bool = False

    @property
    def se(self) -> float:
        """Standard error of the value; infinite where no variance is known."""
        return math.sqrt(self.variance * self.scale) if self.df > 0 else math.inf


@dataclass(frozen=True)
class Prior:
    """What the groups of a metric have in common: variance, and how many degrees of freedom that is worth."""

    variance: float
    df: float


def difference(baseline: Seeds, candidate: Seeds) -> Difference:
    """Paired where the baseline has all of the candidate's seeds, or else of two independent sets of seeds.

    One shared seed is a pair only if both values are equal: a single difference says nothing of its noise.
    Raises ValueError where a side is empty.
    """
    if not baseline or not candidate:
        raise ValueError("a difference needs values on both sides")
    shared = sorted(set(baseline) & set(candidate))
    steps = np.array([candidate[seed] - baseline[seed] for seed in shared])
    n = len(shared)
    if n == len(candidate) and (n > 1 or steps[0] == 0):
        return Difference(
            value=float(steps.mean()),
            variance=float(steps.var(ddof=1)) if n > 1 else 0.0,
            df=n - 1,
            scale=1 / n,
            paired=True,
            seeds=(n, n),
            identical=bool((steps == 0).all()),
        )
    old, new = (np.array([side[seed] for seed in sorted(side)]) for side in (baseline, candidate))
    df = len(old) + len(new) - 2
    squares = ((old - old.mean()) ** 2).sum() + ((new - new.mean()) ** 2).sum()
    return Difference(
        value=float(new.mean() - old.mean()),
        variance=float(squares / df) if df else 0.0,
        df=df,
        scale=1 / len(old) + 1 / len(new),
        paired=False,
        seeds=(len(old), len(new)),
        identical=bool(squares == 0 and old[0] == new[0] and df > 0),
    )


def prior(differences: Sequence[Difference], resolution: float) -> Prior | None:
    """The common variance of these groups; None where fewer than two of them know one.

    No variance counts as less than `resolution` squared. The prior is never worth more degrees of freedom
    than there are other groups: few groups cannot show that they are alike, and to believe it of one that is
    noisier than the rest would be a false alarm.
    """
    known = [d for d in differences if d.df > 0 and not d.identical]
    if len(known) < 2:
        return None
    df = np.array([d.df for d in known], dtype=float)
    logs = np.log(np.maximum([d.variance for d in known], resolution**2))
    logs -= special.digamma(df / 2) - np.log(df / 2)
    centre = float(logs.mean())
    spread = float(logs.var(ddof=1) - special.polygamma(1, df / 2).mean())
    most = len(known) - 1.0
    worth = most if spread <= 0 else min(2 * _trigamma_inverse(spread), most)
    return Prior(math.exp(centre + float(special.digamma(worth / 2)) - math.log(worth / 2)), worth)


def moderated(difference: Difference, common: Prior | None, resolution: float) -> Difference:
    """The difference with its variance shrunk towards the common one, and never below the resolution."""
    own, df = max(difference.variance, resolution**2), difference.df
    if common is None:
        return _with(difference, own, df)
    total = df + common.df
    return _with(difference, (df * own + common.df * common.variance) / total, total)


def _with(d: Difference, variance: float, df: float) -> Difference:
    return Difference(d.value, variance, df, d.scale, d.paired, d.seeds, d.identical)


def p_above(difference: Difference, bound: float) -> float:
    """One-sided p of "the true difference is at most `bound`"; 1 where no variance is known.

    Where there is no variance at all, what is seen is what is true: 0 or 1.
    """
    if difference.df <= 0:
        return 1.0
    if difference.se == 0:
        return float(difference.value <= bound)
    t = (difference.value - bound) / difference.se
    return float(special.stdtr(difference.df, -t))


def interval(difference: Difference, confidence: float) -> tuple[float, float] | None:
    """Two-sided interval of the true difference; None where no variance is known."""
    if difference.df <= 0:
        return None
    half = float(special.stdtrit(difference.df, (1 + confidence) / 2)) * difference.se
    return difference.value - half, difference.value + half


def detectable(difference: Difference, bound: float, level: float, power: float) -> float:
    """The smallest true difference that a test of "at most `bound`" at `level` finds with this power.

    Exact for a known variance, and close to it from about ten degrees of freedom.
    """
    if difference.df <= 0:
        return math.inf
    steps = special.stdtrit(difference.df, 1 - level) + special.stdtrit(difference.df, power)
    return bound + float(steps) * difference.se


def _trigamma_inverse(value: float) -> float:
    """x with trigamma(x) = value, by Newton's steps on 1 / trigamma, which is nearly straight."""
    if value > 1e7:
        return 1 / math.sqrt(value)
    if value < 1e-6:
        return 1 / value
    x = 0.5 + 1 / value
    for _ in range(50):
        now = float(special.polygamma(1, x))
        step = now * (1 - now / value) / float(special.polygamma(2, x))
        x += step
        if -step / x < 1e-8:
            break
    return x
