"""Where a loss-rate curve is lowest, with an interval; ratios of optima; rates that seeds cannot tell apart.

Losses and rates are looked at in their logarithms: a loss falls by factors before it rises. The optimum is
that of the parabola through the lowest point and its two neighbours. Of parabolas through three and five
points, cubics, curves of two slopes and a Gaussian process (`gaussian`) it was among the least far off over
simulated curves of seven shapes, and never far (`python -m benchmarks.simulated_rates`).

The interval comes from a parametric bootstrap over the seeds: what is left of the log losses near the optimum
without the means of rates and of seeds has (rates - 1)(seeds - 1) degrees of freedom, which makes three seeds
enough; resampling three seeds as they are covers two times in three. To each end is added a sixth of a grid
step, for a curve is no parabola. No optimum is claimed beyond what was tried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np

from suite.rates import Curve, complete
from suite.seeds import seed_for

DRAWS = 2000
NEAR = 5  # rates around the lowest whose residuals tell of the seed noise
SHAPE = 1 / 6  # of a grid step: how far the vertex of a parabola may lie from a true optimum
LEVEL = 0.95
TINY = 1e-9  # nats: below it a loss is zero


@dataclass(frozen=True)
class Optimum:
    """Where a curve is lowest: `rate`, and the 95 % interval `low` .. `high`, None where noise is unknown.

    `best` is the tried rate with the lowest mean loss. `edge` says that it is the lowest or the highest of
    all that were tried; `open_low` and `open_high` that the interval reaches that end, beyond which nothing
    is known. `draws` are bootstrapped optima, log10; `slack` what is added to each end, in the same unit.
    """

    rate: float
    low: float | None
    high: float | None
    open_low: bool
    open_high: bool
    best: float
    loss: float
    edge: str | None
    seeds: int
    rates: int
    draws: np.ndarray
    slack: float


@dataclass(frozen=True)
class Ratio:
    """One optimum over another, with its interval; an open end is only a bound."""

    value: float
    low: float | None
    high: float | None
    open_low: bool
    open_high: bool


def optimum(curve: Curve) -> Optimum | None:
    """The optimum of what is complete of a curve; None with under three rates, or if all diverged."""
    whole = complete(curve)
    means = whole.means
    if len(whole.rates) < 3 or not np.isfinite(means).any():
        return None
    x, y = np.log10(whole.rates), _logs(means, curve.untrained)
    tried = int(np.argmin(means))
    edge = {0: "low", len(x) - 1: "high"}.get(tried)
    middle = float(vertices(x, y[None])[0])
    draws = _draws(whole, x, y)
    step = float(np.diff(x).mean())
    slack = SHAPE * step
    low = high = None
    if len(draws):
        low, high = _ends(draws, slack)
    return Optimum(
        rate=10**middle,
        low=None if low is None else 10 ** max(low, float(x[0])),
        high=None if high is None else 10 ** min(high, float(x[-1])),
        open_low=edge == "low" or (low is not None and low <= float(x[0])),
        open_high=edge == "high" or (high is not None and high >= float(x[-1])),
        best=whole.rates[tried],
        loss=float(means[tried]),
        edge=edge,
        seeds=len(whole.seeds),
        rates=len(whole.rates),
        draws=draws,
        slack=slack,
    )


def ratio(one: Optimum, other: Optimum) -> Ratio:
    """one / other. Their noise is taken as independent; an end is open where it is in either."""
    low = high = None
    if len(one.draws) and len(other.draws):
        low, high = _ends(one.draws - other.draws, math.hypot(one.slack, other.slack))
    return Ratio(
        value=one.rate / other.rate,
        low=None if low is None else 10**low,
        high=None if high is None else 10**high,
        open_low=one.open_low or other.open_high,
        open_high=one.open_high or other.open_low,
    )


def alike(curve: Curve) -> list[float]:
    """The rates that the seeds cannot tell from the best: above it by less than t standard errors of pairs.

    With one seed that is the best one alone, for its noise is unknown.
    """
    from scipy import stats

    whole = complete(curve)
    means = whole.means
    if not np.isfinite(means).any():
        return []
    best, seeds = int(np.argmin(means)), len(whole.seeds)
    found = []
    for i, rate in enumerate(whole.rates):
        gaps = whole.losses[i] - whole.losses[best]
        if i == best:
            found.append(rate)
        elif seeds > 1 and np.isfinite(gaps).all():
            error = float(gaps.std(ddof=1)) / math.sqrt(seeds)
            if gaps.mean() <= stats.t.ppf((1 + LEVEL) / 2, seeds - 1) * error:
                found.append(rate)
    return found


def vertices(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where curves y [B, R] over x [R] are lowest, [B]: of the parabola through the lowest and its two sides.

    A lowest point at an end is its own optimum.
    """
    lowest = y.argmin(axis=1)
    middle = lowest.clip(1, len(x) - 2)
    rows = np.arange(len(y))
    x0, x1, x2 = x[middle - 1], x[middle], x[middle + 1]
    left = (y[rows, middle] - y[rows, middle - 1]) / (x1 - x0)
    right = (y[rows, middle + 1] - y[rows, middle]) / (x2 - x1)
    bend = (right - left) / (x2 - x0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (x0 + x1) / 2 - left / (2 * bend)
    found = np.where(bend > 0, found.clip(x0, x2), x1)
    return np.where(lowest == middle, found, x[lowest])


def gaussian(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [n] of a Gaussian process through log losses y over log10 rates x, at `at`.

    Its length lies between 0.3 and 2 decades and its noise below a third of the spread of y.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel(1.0, (0.1, 1e3)) * RBF(0.6, (0.3, 2.0)) + WhiteKernel(0.01, (1e-4, 0.3))
    process = GaussianProcessRegressor(kernel, normalize_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a setting at its bound, which is what bounds do
        process.fit(x[:, None], y)
    mean, deviation = cast("tuple[np.ndarray, np.ndarray]", process.predict(at[:, None], return_std=True))
    return mean, deviation


def _logs(means: np.ndarray, untrained: float | None) -> np.ndarray:
    """Log losses; a rate that diverged counts as twice the base or the worst rate, whichever is worse."""
    finite = np.isfinite(means)
    worst = 2 * max(float(np.where(finite, means, 0.0).max()), untrained or 0.0)
    return np.log(np.where(finite, means, worst).clip(min=TINY))


def _draws(whole: Curve, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bootstrapped optima, log10; none where the noise of a seed is not known."""
    finite = np.isfinite(whole.losses.sum(axis=1))
    near = [i for i in np.argsort(np.abs(x - x[int(y.argmin())]), kind="stable") if finite[i]][:NEAR]
    freedom = (len(near) - 1) * (len(whole.seeds) - 1)
    if freedom < 1:
        return np.empty(0)
    logs = np.log(whole.losses[near].clip(TINY))
    by_rate = logs - logs.mean(axis=1, keepdims=True)
    left = by_rate - by_rate.mean(axis=0, keepdims=True)
    error = math.sqrt(float((left**2).sum()) / freedom / len(whole.seeds))
    rng = np.random.default_rng(seed_for("optimum", whole.id))
    noise = rng.normal(0, error, (DRAWS, len(x))) * np.sqrt(freedom / rng.chisquare(freedom, (DRAWS, 1)))
    return vertices(x, y + noise * finite)


def _ends(draws: np.ndarray, slack: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low) - slack, float(high) + slack
