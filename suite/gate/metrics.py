"""What differs from seed to seed: losses, gains, forgetting, memory and times, judged in one family.

Each metric is judged for each variant on each task, and for each variant over all its tasks, where a change
that is too small for any one task can still be seen. Whatever can fail is one family (Holm); improvements are
another, because they alarm and do not fail.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from suite.gate.facts import Facts
from suite.gate.groups import Group
from suite.gate.noise import Difference, difference, moderated, p_above, prior
from suite.gate.report import Row
from suite.gate.rule import Series, Test, Values, judged, on_scale, seed_by_seed
from suite.gate.settings import Metric, Settings
from suite.statistics import holm


def noisy(groups: Sequence[Group], settings: Settings) -> list[Row]:
    """A row for everything that was measured on both sides, or should have been."""
    rows, tests = [], []
    for metric in settings.metrics:
        found: list[Series] = []
        for group in groups:
            answer = _series(group, metric, settings)
            if isinstance(answer, Row):
                rows.append(answer)
            elif answer is not None:
                found.append(answer)
        tests += _tests(found) + _tests(_over_tasks(found))
    return rows + [judged(test, settings) for test in _as_family(tests, settings)]


def _series(group: Group, metric: Metric, settings: Settings) -> Series | Row | None:
    """The values of both sides; a row where they cannot be judged, None where there are none to judge."""
    if group.kind == "trial" or (group.kind == "tuned" and metric.kind != "outcome"):
        return None
    done = [[one for one in side if one.status == "ok"] for side in (group.baseline, group.candidate)]
    old, new = (_by_seed(side, metric.name) for side in done)
    if not done[1] or not (old or new):
        return None
    what = (group.variant, group.task, metric.name)
    if not old:
        return Row(*what, "not judged", "not measured in the baseline") if done[0] else None
    if lacking := sum(metric.name not in one.values for one in done[1]):
        told = f"not measured in {lacking} of {len(done[1])} cells of the candidate, but in the baseline"
        if metric.kind == "cost":
            return Row(*what, "not judged", told)
        return Row(*what, "fail", told, moved=True)
    if why := _incomparable(metric, done[0], done[1], settings):
        return Row(*what, "not judged", why)
    series = Series(group.variant, group.task, metric, group.revisions, old, new)
    return seed_by_seed(series, settings) if metric.counted and old.keys() & new.keys() else series


def _by_seed(side: Sequence[Facts], name: str) -> Values:
    return {one.cell.seed or 0: one.values[name] for one in side if name in one.values}


def _incomparable(
    metric: Metric, old: Sequence[Facts], new: Sequence[Facts], settings: Settings
) -> str | None:
    """Why memory or times of the two sides say nothing about the code; None where they do, or for a metric
    that every machine should agree on."""
    if metric.kind != "cost":
        return None
    timed = not metric.counted
    fields = ("device", "threads", "versions") if timed else ("memory_method", "micro_batch", "checkpointing")
    sides = [[one.made for one in side] for side in (old, new)]
    if not timed and _kinds(old) != _kinds(new):
        return f"other devices: {_kinds(old)} in the baseline, {_kinds(new)} in the candidate"
    for field in fields:
        a, b = ({str(getattr(made, field)) for made in side} for side in sides)
        if a != b or (timed and len(a) > 1):
            told = "" if timed else f": {_some(a)} in the baseline, {_some(b)} in the candidate"
            return f"not the same {field.replace('_', ' ')} everywhere{told}"
    if not timed:
        return None
    loads = [one.load for side in (old, new) for one in side]
    known = [load for load in loads if load is not None]
    if len(known) < len(loads):
        return "the load of the machine is not known"
    if max(known) > min(known) * (1 + settings.load):
        return f"other loads: {min(known):.2f} to {max(known):.2f} seconds on the clock per CPU second"
    return None


def _kinds(side: Sequence[Facts]) -> str:
    return _some({(one.made.device or "unknown").split(" ")[0].split(":")[0] for one in side})


def _some(values: set[str]) -> str:
    return ", ".join(sorted(values))[:60]


def _over_tasks(found: Sequence[Series]) -> list[Series]:
    """The mean over its tasks of each variant, by the seeds that all tasks have."""
    by_variant: dict[str, list[Series]] = defaultdict(list)
    for series in found:
        if series.metric.kind != "cost":
            by_variant[series.variant].append(series)
    means = []
    for parts in by_variant.values():
        old, new = (_mean([getattr(part, side) for part in parts]) for side in ("old", "new"))
        if len(parts) > 1 and old and new:
            means.append(replace(parts[0], task="", old=old, new=new))
    return means


def _mean(parts: Sequence[Values]) -> Values:
    seeds = set.intersection(*(set(part) for part in parts))
    return {seed: math.fsum(part[seed] for part in parts) / len(parts) for seed in sorted(seeds)}


def _tests(found: Sequence[Series]) -> list[Test]:
    """Each series' difference, its noise steadied by the others of the metric that are paired as it is."""
    raw = [_oriented(series) for series in found]
    tests = []
    for series, one in zip(found, raw, strict=True):
        resolution = series.metric.resolution
        common = prior([d for d in raw if d.paired == one.paired], resolution)
        steady = one if one.identical else moderated(one, common, resolution)
        floor = on_scale(series.metric, series.metric.floor)
        tests.append(Test(series, steady, p_above(steady, floor), p_above(_turned(steady), floor)))
    return tests


def _oriented(series: Series) -> Difference:
    found = difference(series.old, series.new)
    return found if series.metric.worse > 0 else _turned(found)


def _turned(d: Difference) -> Difference:
    return replace(d, value=-d.value)


def _as_family(tests: Sequence[Test], settings: Settings) -> list[Test]:
    """The tests with their p adjusted: `worse` over all that can fail, `better` over all that can alarm."""
    blocking = [test for test in tests if not test.difference.identical and not test.declared]
    both = [2 * min(t.worse, t.better, 0.5) if t.two_sided else t.worse for t in blocking]
    alarming = [t for t in tests if not t.difference.identical and (t.declared or not t.two_sided)]
    either = [2 * min(t.worse, t.better, 0.5) if t.two_sided else t.better for t in alarming]
    worse = dict(zip(map(id, blocking), holm(both), strict=True))
    better = dict(zip(map(id, alarming), holm(either), strict=True))
    level = settings.alpha / max(1, len(blocking))
    return [
        replace(
            test,
            worse=worse.get(id(test), 1.0),
            better=better.get(id(test), 1.0),
            level=level / 2 if test.two_sided else level,
        )
        for test in tests
    ]
