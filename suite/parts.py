"""Which cells stand in one row of a board: a variant's, tuned, default, or at one rate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from suite.keys import content_key
from suite.record import Record, TaskRef
from suite.tuning import Choice, choose, searches

Kind = Literal["tuned", "default"]


def task_key(task: TaskRef) -> str:
    """What tells one task from another."""
    return content_key(task)


@dataclass(frozen=True)
class Part:
    """The cells of one row; of a searched one also its kind, the trials of its searches, and who won.

    Where nobody won a search, its tuned row holds the cells that went wrong, and no score.
    """

    cells: Sequence[Record]
    kind: Kind | None = None
    trials: Sequence[Record] = ()
    choices: Mapping[str, Choice] = field(default_factory=dict)


def parts(members: Sequence[Record]) -> list[Part]:
    """The cells of each row: by variant, and tuned or default, or by rate where a task met several."""
    by_variant: dict[str, list[Record]] = defaultdict(list)
    for record in members:
        by_variant[content_key(record.cell.variant)].append(record)
    parts: list[Part] = []
    for cells in by_variant.values():
        parts += _searched([record for record in cells if record.search])
        parts += [Part(part) for part in _by_rate([record for record in cells if not record.search])]
    return parts


def _searched(cells: Sequence[Record]) -> list[Part]:
    """The rows of a variant whose rates were searched for."""
    tuned: list[Record] = []
    default: list[Record] = []
    choices = {}
    for records in searches(cells).values():
        choice = choices[task_key(records[0].cell.task)] = choose(records)
        wrong = [one for one in records if one.status != "ok"] if choice.rate is None else []
        tuned += wrong or [one for one in _at(records, choice.rate) if one.cell.seed in choice.seeds]
        default += [one for one in _at(records, choice.default)]
    trials = [one for one in cells if one.search and one.search.role != "default"]
    parts = [Part(tuned, "tuned", trials, choices)] if tuned else []
    if default and not {one.id for one in default} <= {one.id for one in tuned}:
        parts.append(Part(default, "default", trials, choices))
    return parts


def _at(records: Sequence[Record], rate: float | None) -> list[Record]:
    return [record for record in records if record.cell.learning_rate == rate]


def _by_rate(cells: Sequence[Record]) -> list[list[Record]]:
    """All in one, or one part a rate where a task met several."""
    met = {(task_key(record.cell.task), record.cell.learning_rate) for record in cells}
    if len(met) == len({task for task, _ in met}):
        return [list(cells)] if cells else []
    by_rate: dict[float | None, list[Record]] = defaultdict(list)
    for record in cells:
        by_rate[record.cell.learning_rate].append(record)
    return list(by_rate.values())
