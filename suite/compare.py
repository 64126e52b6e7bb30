"""Two variants of a store against each other: all quantities, paired by item and seed, one family."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from suite import statistics
from suite.comparable import check
from suite.compare_rows import SCORE, Rows
from suite.errors import UserError, nearest
from suite.record import Record
from suite.statistics import Comparison, Interval, Sample
from suite.statistics.kept import Samples
from suite.statistics.noise import Noise, noises
from suite.summary import DEFAULT, Board, SummaryRow, boards

QUANTITIES = ("gain", "forgetting", "loss")


@dataclass(frozen=True)
class Flips:
    """Items that only one of the two got right under one seed, and McNemar's exact p for it."""

    seed: int
    only_a: int
    only_b: int
    p: float


@dataclass(frozen=True)
class Line:
    """One quantity on one task (None: mean over tasks): both intervals, b - a, Holm's p over all lines."""

    task: str | None
    quantity: str
    a: Interval
    b: Interval
    comparison: Comparison
    p: float
    flips: tuple[Flips, ...]

    @property
    def verdict(self) -> str:
        """What b is beside a: 'better', 'worse' or 'cannot tell'."""
        if self.p >= statistics.LEVEL:
            return "cannot tell"
        return "better" if (self.comparison.interval.value > 0) == (self.quantity == "gain") else "worse"


@dataclass(frozen=True)
class Versus:
    """Two rows of one board, line by line; `notes` say what could not be compared, and why."""

    track: str
    base: str
    a: str
    b: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def versus(records: Sequence[Record], a: str, b: str, task: str | None = None) -> list[Versus]:
    """b against a, named as the table names them, on every board that has both.

    Where a learning rate was searched for, the cells at the rates that won, and after them the cells at the
    documented rates. UserError where a name is not known, where the two were not trained and evaluated
    alike, or where nothing can be compared.
    """
    every = boards(records)
    known = {record.id: record for record in records}
    if a == b:
        raise UserError(f"{a!r} against itself; give two variants of {_names(every)}")
    shared = []
    for board in every:
        first, second = _row(board, a), _row(board, b)
        if first and second:
            shared.append((board, first, second))
    if not shared:
        members = [
            [one for board in every if (row := _row(board, name)) for one in row.records] for name in (a, b)
        ]
        for name, found in zip((a, b), members, strict=True):
            if not found:
                raise UserError(f"no variant {name!r} in these records; {_meant(name, every)}")
        check([known[one] for found in members for one in found])
        raise UserError(f"{a!r} and {b!r} stand on different boards and cannot be compared")
    found = []
    for board, first, second in shared:
        found.append(_versus(board, first, second, known, task))
        defaults = _row(board, a + DEFAULT), _row(board, b + DEFAULT)
        if any(defaults):
            found.append(_versus(board, defaults[0] or first, defaults[1] or second, known, task))
    return found


def _row(board: Board, name: str) -> SummaryRow | None:
    """The row of this name; 'lora:rank=8' is 'lora rank=8'."""
    typed = {name, name.replace(":", " ").replace(",", " ")}
    return next((row for row in board.rows if row.label in typed), None)


def _names(every: Iterable[Board]) -> str:
    return ", ".join(sorted({row.label for board in every for row in board.rows})) or "none"


def _meant(name: str, every: Sequence[Board]) -> str:
    labels = sorted({row.label for board in every for row in board.rows})
    return f"did you mean {nearest(name, labels)!r}? (of {', '.join(labels)})" if labels else "there are none"


def _versus(
    board: Board, a: SummaryRow, b: SummaryRow, known: Mapping[str, Record], task: str | None
) -> Versus:
    return Pairs(board, known, (a, b)).between(a, b, task)


class Pairs:
    """The comparisons of a board's rows (all, if none are given) with each other; samples are read once.

    `known` are the records of the board by id, `samples` what others have read of them. Quickest where one
    row is asked for with all after it, then the next: those that are alike are compared together.
    """

    def __init__(
        self,
        board: Board,
        known: Mapping[str, Record],
        rows: Sequence[SummaryRow] | None = None,
        samples: Samples | None = None,
    ) -> None:
        self.board = board
        self._rows = Rows(board, known, board.rows if rows is None else rows, samples or Samples())
        self._first = ""  # the row whose comparisons are in `_found`
        self._found: dict[tuple[str, tuple[str, ...]], dict[str, Comparison]] = {}

    def sample(self, row: SummaryRow, quantity: str, task: str) -> Sample:
        """What a row did on a task. UserError where its cells are no sample."""
        return self._rows.sample(row.label, quantity, task)

    def noise(
        self, a: SummaryRow, others: Sequence[SummaryRow], quantity: str, tasks: Sequence[str]
    ) -> list[Noise]:
        """What the noise of each of `others` - a is made of, the mean over tasks. UserError as `between`."""
        return noises(self._rows.many(quantity), [(a.label, b.label) for b in others], tasks)

    def between(self, a: SummaryRow, b: SummaryRow, task: str | None = None) -> Versus:
        """b against a. UserError where they were not trained and scored alike, or nothing can be compared."""
        cells = [self._rows.cells[row.label] for row in (a, b)]
        self._rows.check(a.label, b.label)
        notes = [_unfinished(row, ones) for row, ones in zip((a, b), cells, strict=True)]
        sides = self._rows.by_task[a.label], self._rows.by_task[b.label]
        tasks = [one for one in self.board.recipes if all(one in side for side in sides)]
        if task is not None:
            if task not in tasks:
                raise UserError(
                    f"no task {task!r} that both have finished cells of; it has {', '.join(tasks) or 'none'}"
                )
            tasks = [task]
        drafts = [line for quantity in QUANTITIES for line in self._lines(a, b, quantity, tasks, notes)]
        if not drafts:
            told = "; ".join(note for note in notes if note) or "no task in common"
            raise UserError(f"nothing to compare of {a.label!r} and {b.label!r}: {told}")
        board, told = self.board, tuple(filter(None, notes))
        return Versus(board.track, board.base.name, a.label, b.label, _as_family(drafts), told)

    def _lines(
        self, a: SummaryRow, b: SummaryRow, quantity: str, tasks: Sequence[str], notes: list[str]
    ) -> Iterator[Line]:
        """One line a task, and their mean; what cannot be compared is told in `notes`."""
        done: list[str] = []
        for each in tasks:
            try:
                a_is, b_is = (self._rows.interval(row.label, quantity, [each]) for row in (a, b))
                compared = self._compared(a, b, quantity, [each])
            except UserError as error:
                notes.append(f"no {quantity} on {each}: {error}")
                continue
            done.append(each)
            flips = self._flips(a, b, each) if quantity == "gain" else ()
            yield Line(each, quantity, a_is, b_is, compared, compared.p, flips)
        if len(done) > 1:
            compared = self._compared(a, b, quantity, done)
            a_is, b_is = (self._rows.interval(row.label, quantity, done) for row in (a, b))
            yield Line(None, quantity, a_is, b_is, compared, compared.p, ())

    def _compared(self, a: SummaryRow, b: SummaryRow, quantity: str, tasks: Sequence[str]) -> Comparison:
        """b - a, the mean over tasks, found together with those of all rows after `a`."""
        if a.label != self._first:
            self._first, self._found = a.label, {}
        key = quantity, tuple(tasks)
        if key not in self._found:
            many = self._rows.many(quantity)
            after = self._rows.labels[self._rows.labels.index(a.label) + 1 :]
            alike = [label for label in after if many.alike(a.label, label, tasks)]
            told = many.compare([(a.label, label) for label in alike], tasks)
            self._found[key] = dict(zip(alike, told, strict=True))
        if (found := self._found[key].get(b.label)) is not None:
            return found
        sides = ({task: self.sample(row, quantity, task) for task in tasks} for row in (a, b))
        return statistics.compare_over_tasks(*sides)

    def _flips(self, a: SummaryRow, b: SummaryRow, task: str) -> tuple[Flips, ...]:
        """McNemar's test of the answers after training, for each seed that both have."""
        one, other = (self.sample(row, SCORE, task) for row in (a, b))
        both = set(other.seeds)
        seeds = [seed for seed in one.seeds if seed in both]
        if one.items is not other.items:
            known = set(other.items)
            items = [item for item in one.items if item in known]
            one, other = one.of(seeds, items), other.of(seeds, items)
        x, y = one.of(seeds, one.items).values, other.of(seeds, other.items).values
        binary = np.all(((x == 0) | (x == 100)) & ((y == 0) | (y == 100)), axis=1).tolist()
        counts = zip(seeds, (x > y).sum(axis=1).tolist(), (y > x).sum(axis=1).tolist(), binary, strict=True)
        return tuple(Flips(seed, a, b, statistics.flipped(a, b)) for seed, a, b, whole in counts if whole)


def _as_family(drafts: Sequence[Line]) -> tuple[Line, ...]:
    """The lines with Holm's p over all of them."""
    adjusted = statistics.holm([line.comparison.p for line in drafts])
    return tuple(
        Line(line.task, line.quantity, line.a, line.b, line.comparison, p, line.flips)
        for line, p in zip(drafts, adjusted, strict=True)
    )


def _unfinished(row: SummaryRow, cells: Sequence[Record]) -> str:
    lost = [record for record in cells if record.status != "ok" or not record.read]
    told = ", ".join(sorted({record.status if record.read else "test not read" for record in lost}))
    return f"{len(lost)} of {len(cells)} cells of {row.label} are left out: {told}" if lost else ""
