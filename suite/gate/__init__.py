"""The gate: two sets of records -> pass, fail or inconclusive, with a reason for every row.

The rule of a noisy row, where d is how much worse the candidate is, `floor` and `limit` are the metric's, and
p is of "d is at most the floor", adjusted by Holm over everything that can fail:

- fail: p < alpha.
- inconclusive: better by more than the floor, by the same test (an alarm, unless improvements are allowed);
  or neither does the interval of d end below the limit, nor would a worsening of the limit have been found
  with the stated power; or nothing is known of the noise.
- pass: everything else, and whatever is identical.

What does not depend on the seed is compared exactly, and one difference is enough. A side that lacks cells or
measurements does not pass for it: see `suite.gate.complete`.
"""

from __future__ import annotations

from collections.abc import Sequence

from suite.gate.complete import founded, left_out, lost
from suite.gate.exact import base, exact, status
from suite.gate.facts import Facts, facts
from suite.gate.groups import Group, match
from suite.gate.metrics import noisy
from suite.gate.report import Report as Report
from suite.gate.report import Row as Row
from suite.gate.report import Verdict as Verdict
from suite.gate.settings import Settings as Settings
from suite.record import Record

ORDER = (
    "status",
    "lost cells",
    "baseline",
    "base",
    "data shown",
    "rate chosen",
    "trainable parameters",
    "total parameters",
    "adapted modules",
    "steps and rates",
    "tokens of a seed",
    "seeds",
    "weights moved",
)


def judge(
    baseline: Sequence[Record] | Sequence[Facts],
    candidate: Sequence[Record] | Sequence[Facts],
    settings: Settings | None = None,
) -> Report:
    """Every group of the baseline against the candidate's. Raises UserError where they cannot be compared."""
    settings = settings or Settings()
    old, new = (_read(side) for side in (baseline, candidate))
    matched = match(old, new)
    groups = [group for group in matched.groups if group.baseline]
    measured = noisy(groups, settings)
    rows = [
        *(status(group, settings) for group in groups),
        *base(groups, settings),
        *(row for group in groups for row in exact(group)),
        *lost(groups),
        *founded(matched.groups, measured, settings),
        *measured,
    ]
    notes = _notes([*matched.notes, *left_out(groups)], old, new)
    return Report(tuple(sorted(rows, key=lambda row: _place(row, settings))), notes)


def _read(side: Sequence[Record] | Sequence[Facts]) -> list[Facts]:
    read = [one for one in side if isinstance(one, Facts)]
    return read or facts([one for one in side if isinstance(one, Record)])


def _place(row: Row, settings: Settings) -> tuple[str, str, int, str]:
    """By variant and task, the untouched base and the means over tasks first; within them by metric."""
    order = [*ORDER, *(metric.name for metric in settings.metrics)]
    return row.variant, row.task, order.index(row.metric) if row.metric in order else len(order), row.metric


def _notes(found: Sequence[str], old: Sequence[Facts], new: Sequence[Facts]) -> tuple[str, ...]:
    """What differs between the sides and is not judged: machines, packages, code, attention kernels."""
    notes = list(found)
    for name in ("device", "threads", "commit", "attention"):
        a, b = (sorted({str(getattr(one.made, name)) for one in side}) for side in (old, new))
        if a != b:
            notes.append(f"{name}: {', '.join(a)} in the baseline, {', '.join(b)} in the candidate")
    packages = sorted({package for one in (*old, *new) for package in one.made.versions})
    for package in packages:
        a, b = (sorted({one.made.versions.get(package, "none") for one in side}) for side in (old, new))
        if a != b:
            notes.append(f"{package}: {', '.join(a)} in the baseline, {', '.join(b)} in the candidate")
    return tuple(notes)


__all__ = ["Group", "Report", "Row", "Settings", "Verdict", "judge"]
