"""What a row of a board forgot of each general skill, with its interval: the mean over the ranked tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from suite import statistics
from suite.errors import UserError
from suite.record import Record
from suite.statistics import Interval
from suite.statistics.kept import Samples
from suite.summary import task_labels


def by_skill(
    rows: Mapping[str, Sequence[Record]],
    skills: Iterable[str],
    tasks: Sequence[str],
    samples: Samples | None = None,
) -> dict[str, dict[str, Interval]]:
    """Row -> skill -> forgetting in points (positive is worse), its tasks weighing the same.

    A row has a skill where it was measured by finished cells on every task of `tasks`, and its outcomes are
    known item by item; without that no interval is known, and the skill is missing. `samples` are those that
    others have read of these records.
    """
    samples = samples or Samples()
    labels = task_labels(record for records in rows.values() for record in records)
    found: dict[str, dict[str, Interval]] = {}
    for name, records in rows.items():
        cells = {task: [one for one in records if labels[one.id] == task and _done(one)] for task in tasks}
        if cells and all(cells.values()):
            known = {skill: _interval(samples, cells, skill) for skill in skills}
            found[name] = {skill: one for skill, one in known.items() if one is not None}
    return found


def _done(record: Record) -> bool:
    return record.status == "ok" and record.read


def _interval(samples: Samples, cells: Mapping[str, Sequence[Record]], skill: str) -> Interval | None:
    try:
        return statistics.over_tasks({task: samples.skill(skill, ones) for task, ones in cells.items()})
    except UserError:
        return None
