"""What the rows of a board did, each asked once however many rows they are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from suite import statistics
from suite.comparable import check, representatives
from suite.errors import UserError
from suite.record import Record
from suite.statistics import Interval, Sample
from suite.statistics.kept import Samples
from suite.statistics.many import Many
from suite.summary import Board, SummaryRow, task_labels

T = TypeVar("T")
SCORE = "score"  # after training: what flips are counted in


class Rows:
    """The cells of a board's rows by label, and what is read of them; `labels` are those to be compared.

    `by_task` has the finished cells alone. Quantities are those of `suite.statistics.kept`.
    """

    def __init__(
        self, board: Board, known: Mapping[str, Record], rows: Iterable[SummaryRow], samples: Samples
    ) -> None:
        names = task_labels(known[one] for row in board.rows for one in row.records)
        self.labels = [row.label for row in rows]
        self.cells = {row.label: [known[one] for one in row.records] for row in board.rows}
        self.by_task = {label: _by_task(cells, names) for label, cells in self.cells.items()}
        self._read = samples
        self._samples: dict[tuple[str, str, str], Sample | UserError] = {}
        self._intervals: dict[tuple[str, str, tuple[str, ...]], Interval] = {}
        self._many: dict[str, Many] = {}
        self._few: dict[str, list[Record] | UserError] = {}
        self._agree: bool | None = None

    def sample(self, label: str, quantity: str, task: str) -> Sample:
        """What a row did on a task. UserError where its cells are no sample."""
        key = label, quantity, task
        if key not in self._samples:
            try:
                self._samples[key] = self._read.of(quantity, self.by_task[label][task])
            except UserError as error:
                self._samples[key] = error
        return _or_raise(self._samples[key])

    def interval(self, label: str, quantity: str, tasks: Sequence[str]) -> Interval:
        """The mean over tasks of what a row did. UserError where there is none."""
        key = label, quantity, tuple(tasks)
        if key not in self._intervals:
            samples = {task: self.sample(label, quantity, task) for task in tasks}
            self._intervals[key] = statistics.over_tasks(samples)
        return self._intervals[key]

    def many(self, quantity: str) -> Many:
        """The samples of all rows, of those tasks where there is one."""
        if quantity not in self._many:
            samples: dict[str, dict[str, Sample]] = {label: {} for label in self.labels}
            for label, of in samples.items():
                for task in self.by_task[label]:
                    with suppress(UserError):  # told where the pair is asked for
                        of[task] = self.sample(label, quantity, task)
            self._many[quantity] = Many(samples)
        return self._many[quantity]

    def check(self, a: str, b: str) -> None:
        """Raise UserError unless the two may be compared: where all rows agree, any two of them do."""
        few = [*self._judged(a), *self._judged(b)]
        if self._agree is None:
            self._agree = self._all_agree()
        if not (self._agree and a in self.labels and b in self.labels):
            check(few)

    def _all_agree(self) -> bool:
        try:
            check([record for label in self.labels for record in self._judged(label)])
        except UserError:
            return False
        return True

    def _judged(self, label: str) -> list[Record]:
        """The few cells that a row is judged by. UserError where its cells do not agree with each other."""
        if label not in self._few:
            try:
                check(self.cells[label])
                self._few[label] = representatives(self.cells[label])
            except UserError as error:
                self._few[label] = error
        return _or_raise(self._few[label])


def _or_raise(found: T | UserError) -> T:
    if isinstance(found, UserError):
        raise UserError(str(found))
    return found


def _by_task(cells: Iterable[Record], labels: Mapping[str, str]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in cells:
        if record.status == "ok" and record.read:
            found.setdefault(labels[record.id], []).append(record)
    return found
