"""One noisy row: from a difference and its adjusted p to a verdict; the rule is told in `suite.gate`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from suite.gate.facts import MOST
from suite.gate.noise import Difference, detectable, interval
from suite.gate.report import Row
from suite.gate.settings import Metric, Settings
from suite.gate.words import amount, change, span

Values = dict[int, float]


@dataclass(frozen=True)
class Series:
    """One metric of one group (or of a variant over its tasks) by seed, on both sides."""

    variant: str
    task: str
    metric: Metric
    declared: tuple[int | None, int | None]
    old: Values
    new: Values


@dataclass(frozen=True)
class Test:
    """A series with its difference, seen so that positive is worse, and what the family makes of it."""

    series: Series
    difference: Difference
    worse: float
    better: float
    level: float = 1.0

    @property
    def two_sided(self) -> bool:
        """Whether a move in either direction blocks."""
        return self.series.metric.kind == "signature"

    @property
    def declared(self) -> bool:
        """Whether the variant says, by another revision, that its numerics changed: moving is no fault."""
        old, new = self.series.declared
        return self.two_sided and old != new


def judged(test: Test, settings: Settings) -> Row:
    """The row of a test; see the module `suite.gate` for the rule."""
    d, metric = test.difference, test.series.metric
    floor, limit = on_scale(metric, metric.floor), on_scale(metric, metric.limit)
    row = _described(test, settings)
    if d.identical:
        return replace(row, reason=f"identical: {_seeds(d)} seeds")
    if test.worse < settings.alpha:
        return replace(row, verdict="fail", moved=True)
    if test.better < settings.alpha:
        return _alarm(test, row, settings)
    unknown = "not judged" if metric.kind == "cost" else "inconclusive"
    if d.df <= 0:
        told = f"{_seeds(d)} seeds: the noise between seeds is not known, run at least two on each side"
        return replace(row, verdict=unknown, reason=told)
    low, high = interval(d, settings.confidence) or (-math.inf, math.inf)
    excluded = high <= limit and (not test.two_sided or low >= -limit)
    least = amount(metric, row.detectable)
    if excluded or (row.detectable is not None and row.detectable <= metric.limit):
        return replace(row, reason=f"{row.reason}, within noise; {least} would have been found")
    matters = f"only {least} would have been found, {amount(metric, metric.limit)} matters"
    more = f"about {_needed(d, test, floor, limit, settings)} seeds on each side would do"
    return replace(row, verdict=unknown, reason=f"cannot tell: {row.reason}; {matters}; {more}")


def seed_by_seed(series: Series, settings: Settings) -> Row:
    """The row of a counted cost on the seeds that both sides have: without noise, the worst seed decides."""
    metric, floor = series.metric, on_scale(series.metric, series.metric.floor)
    seeds = sorted(series.old.keys() & series.new.keys())
    by = {seed: series.new[seed] - series.old[seed] for seed in seeds}
    least, most = min(seeds, key=lambda s: by[s]), max(seeds, key=lambda s: by[s])
    seed = least if by[most] <= floor and by[least] < -floor else most
    told = f"{change(metric, by[seed])} for seed {seed}, of {len(seeds)} that both sides have"
    row = Row(
        series.variant,
        series.task,
        metric.name,
        "pass",
        told if by[seed] else f"the same for each of {len(seeds)} seeds",
        baseline=math.exp(min(series.old[seed], MOST)),
        candidate=math.exp(min(series.new[seed], MOST)),
        effect=_unlogged(by[seed]),
        floor=metric.floor,
        limit=metric.limit,
        unit=metric.unit,
        seeds=(len(seeds), len(seeds)),
        paired=True,
    )
    if by[seed] > floor:
        return replace(row, verdict="fail", moved=True)
    return _better(row, settings) if by[seed] < -floor else row


def _alarm(test: Test, row: Row, settings: Settings) -> Row:
    """What moved without being worse: a declared change passes, an improvement has to be looked at."""
    if test.two_sided:
        told = "declared by the variant's revision {} -> {}".format(*test.series.declared)
        return replace(row, moved=True, reason=f"{row.reason}; {told}")
    return _better(row, settings)


def _better(row: Row, settings: Settings) -> Row:
    """An improvement: nothing that blocks, but to be looked at."""
    verdict = "pass" if settings.allow_improvement else "inconclusive"
    told = "better; look at it, a broken measurement improves numbers too"
    return replace(row, verdict=verdict, moved=True, reason=f"{row.reason}; {told}")


def _described(test: Test, settings: Settings) -> Row:
    """A passing row with all its numbers in the metric's unit, and the sentence's second half."""
    series, d, metric = test.series, test.difference, test.series.metric
    relative = metric.unit == "relative"
    sign = 1 if relative else metric.worse
    unlog = _unlogged if relative else float
    ends = interval(d, settings.confidence)
    low, high = sorted(unlog(sign * end) for end in ends or (math.inf, -math.inf))
    shown = None if ends is None else (low, high)
    least = detectable(d, on_scale(metric, metric.floor), test.level, settings.power)
    old, new = (math.fsum(v.values()) / len(v) for v in (series.old, series.new))
    p = min(test.worse, test.better)
    told = f"{change(metric, d.value)} ({span(metric, shown)}), p {p:.2g}, {_seeds(d)} seeds"
    return Row(
        series.variant,
        series.task,
        metric.name,
        "pass",
        told,
        baseline=math.exp(min(old, MOST)) if relative else old,
        candidate=math.exp(min(new, MOST)) if relative else new,
        effect=unlog(sign * d.value),
        interval=shown,
        p=test.worse,
        floor=metric.floor,
        limit=metric.limit,
        detectable=unlog(least),
        unit=metric.unit,
        seeds=d.seeds,
        paired=d.paired,
    )


def _unlogged(value: float) -> float:
    """A difference of logarithms as a relative change, infinite where it is beyond all measure."""
    return math.expm1(value) if value <= MOST else math.inf


def _needed(d: Difference, test: Test, floor: float, limit: float, settings: Settings) -> int:
    """How many seeds on each side would find a change of the limit, at the noise seen here."""
    now = detectable(d, floor, test.level, settings.power) - floor
    each = 2 / d.scale if not d.paired else 1 / d.scale
    return math.ceil(each * (now / max(limit - floor, 1e-12)) ** 2)


def _seeds(d: Difference) -> str:
    return f"{d.seeds[0]} paired" if d.paired else f"{d.seeds[0]} against {d.seeds[1]}"


def on_scale(metric: Metric, size: float) -> float:
    """A floor or limit on the scale of the values."""
    return math.log1p(size) if metric.unit == "relative" else size
