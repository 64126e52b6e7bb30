"""Two variants of a store against each other: all quantities, paired by item and seed, one family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from suite import statistics
from suite.comparable import check
from suite.errors import UserError, nearest
from suite.record import Record
from suite.statistics import Comparison, Interval, Sample
from suite.summary import DEFAULT, Board, SummaryRow, boards, task_labels

QUANTITIES: Mapping[str, Callable[[Iterable[Record]], Sample]] = {
    "gain": statistics.gain,
    "forgetting": statistics.forgetting,
    "loss": statistics.log_loss,
}


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
    cells = [[known[one] for one in row.records] for row in (a, b)]
    check([*cells[0], *cells[1]])
    notes = [_unfinished(row, ones) for row, ones in zip((a, b), cells, strict=True)]
    labels = task_labels(known[one] for row in board.rows for one in row.records)
    by_task = [_by_task(ones, labels) for ones in cells]
    tasks = [one for one in board.recipes if all(one in side for side in by_task)]
    if task is not None:
        if task not in tasks:
            raise UserError(
                f"no task {task!r} that both have finished cells of; it has {', '.join(tasks) or 'none'}"
            )
        tasks = [task]
    drafts: list[Line] = []
    for quantity, read in QUANTITIES.items():
        sides: tuple[dict[str, Sample], dict[str, Sample]] = ({}, {})
        for each in tasks:
            try:
                found = [read(side[each]) for side in by_task]
                compared = statistics.compare(*found)
            except UserError as error:
                notes.append(f"no {quantity} on {each}: {error}")
                continue
            sides[0][each], sides[1][each] = found
            flips = _flips([side[each] for side in by_task]) if quantity == "gain" else ()
            a_is, b_is = (statistics.interval(one) for one in found)
            drafts.append(Line(each, quantity, a_is, b_is, compared, compared.p, flips))
        if len(sides[0]) > 1:
            compared = statistics.compare_over_tasks(*sides)
            a_is, b_is = (statistics.over_tasks(side) for side in sides)
            drafts.append(Line(None, quantity, a_is, b_is, compared, compared.p, ()))
    if not drafts:
        told = "; ".join(note for note in notes if note) or "no task in common"
        raise UserError(f"nothing to compare of {a.label!r} and {b.label!r}: {told}")
    return Versus(
        board.track, board.base.name, a.label, b.label, _as_family(drafts), tuple(filter(None, notes))
    )


def _as_family(drafts: Sequence[Line]) -> tuple[Line, ...]:
    """The lines with Holm's p over all of them."""
    adjusted = statistics.holm([line.comparison.p for line in drafts])
    return tuple(
        Line(line.task, line.quantity, line.a, line.b, line.comparison, p, line.flips)
        for line, p in zip(drafts, adjusted, strict=True)
    )


def _by_task(cells: Iterable[Record], labels: Mapping[str, str]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in cells:
        if record.status == "ok" and record.read:
            found.setdefault(labels[record.id], []).append(record)
    return found


def _unfinished(row: SummaryRow, cells: Sequence[Record]) -> str:
    lost = [record for record in cells if record.status != "ok" or not record.read]
    told = ", ".join(sorted({record.status if record.read else "test not read" for record in lost}))
    return f"{len(lost)} of {len(cells)} cells of {row.label} are left out: {told}" if lost else ""


def _flips(sides: Sequence[Sequence[Record]]) -> tuple[Flips, ...]:
    """McNemar's test of the answers after training, for each seed that both have."""
    a, b = (statistics.score(side) for side in sides)
    seeds = [seed for seed in a.seeds if seed in b.seeds]
    items = [item for item in a.items if item in set(b.items)]
    a, b = a.of(seeds, items), b.of(seeds, items)
    found = []
    for seed, one, other in zip(seeds, a.values / 100, b.values / 100, strict=True):
        if set(one) | set(other) <= {0.0, 1.0}:
            only_a, only_b = int((one > other).sum()), int((other > one).sum())
            found.append(Flips(seed, only_a, only_b, statistics.mcnemar(one, other)))
    return tuple(found)
