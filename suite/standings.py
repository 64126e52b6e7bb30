"""A board with what its numbers can support: intervals, ranks with ties, regret; and the sentences on ties.

Rows are the tuned cells of each variant where its rate was searched for, and the only cells otherwise. A row
is ranked if each task of the board was measured with some seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from suite import statistics
from suite.record import Record
from suite.statistics import Comparison, Interval, Pair, Sample
from suite.summary import Board, SummaryRow, boards, task_labels

WHOLE = 0.99  # of a model's numbers: who trains as many trains the model itself

Samples = Mapping[str, Mapping[str, Sample]]


@dataclass(frozen=True)
class Place:
    """One row. Gains, forgetting and regret are points, with 95 % intervals; None where not measured.

    `rank` is shared by rows that cannot be told apart by gain, None for rows that are not ranked. `regret` is
    the gain of full fine-tuning at its best minus this one's, None for itself and where it was not run.
    """

    row: SummaryRow
    rank: int | None
    gains: Mapping[str, Interval | None]
    gain: Interval | None
    forgetting: Interval | None
    regret: Comparison | None


@dataclass(frozen=True)
class Standings:
    """The rows of a board by rank, those that are not ranked after them; pairs are of ranked rows.

    `reference` is the row that regret is measured from.
    """

    board: Board
    places: tuple[Place, ...]
    pairs: tuple[Pair, ...]
    reference: str | None

    @property
    def ties(self) -> tuple[Pair, ...]:
        """The pairs that cannot be told apart, the least noticeable difference first."""
        tied = [pair for pair in self.pairs if pair.verdict == "cannot tell"]
        return tuple(sorted(tied, key=lambda pair: (pair.comparison.detectable, pair.a, pair.b)))


def standings(records: Iterable[Record]) -> list[Standings]:
    """The standings of every board of these records."""
    known = {record.id: record for record in records}
    return [_standings(board, known) for board in boards(known.values())]


def _standings(board: Board, known: Mapping[str, Record]) -> Standings:
    scored = [task for task in board.recipes if task not in board.unscored]
    labels = task_labels(known[name] for row in board.rows for name in row.records)
    cells = {row.label: _by_task([known[name] for name in row.records], labels) for row in board.rows}
    gains: dict[str, dict[str, Sample]] = {}
    for row in board.rows:
        measured = {task: ones for task in scored if (ones := cells[row.label].get(task))}
        gains[row.label] = {task: statistics.gain(ones) for task, ones in measured.items()}
    ranked = [
        row.label for row in board.rows if row.kind != "default" and len(gains[row.label]) == len(scored)
    ]
    known_gains = bool(ranked) and bool(scored) and board.gains_known
    ranking = statistics.ranks({label: gains[label] for label in ranked}) if known_gains else None
    reference = _reference(board, ranked) if ranking else None
    regrets = statistics.regret({label: gains[label] for label in ranked}, reference) if reference else {}
    rank = {each.variant: each.rank for each in ranking.standings} if ranking else {}
    places = [
        Place(
            row=row,
            rank=rank.get(row.label),
            gains={task: _interval(gains[row.label].get(task)) for task in scored},
            gain=statistics.over_tasks(gains[row.label])
            if len(gains[row.label]) == len(scored) and scored
            else None,
            forgetting=_forgetting(board, cells[row.label]),
            regret=regrets.get(row.label),
        )
        for row in board.rows
    ]
    places.sort(key=lambda place: (place.rank is None, place.rank or 0))
    return Standings(board, tuple(places), ranking.pairs if ranking else (), reference)


def _by_task(cells: Iterable[Record], labels: Mapping[str, str]) -> dict[str, list[Record]]:
    """The finished cells by task, read on test both before and after."""
    found: dict[str, list[Record]] = {}
    for record in cells:
        if record.status == "ok" and record.read and record.gain is not None and _has_items(record):
            found.setdefault(labels[record.id], []).append(record)
    return found


def _has_items(record: Record) -> bool:
    """Whether the outcome of each item is known: what others report is often the mean alone."""
    target = record.after and record.after.target.get(record.cell.evaluation.target[0])
    return bool(target and target.items)


def _forgetting(board: Board, cells: Mapping[str, list[Record]]) -> Interval | None:
    tasks = [task for task in board.recipes if cells.get(task)]
    if not tasks or not board.skills or len(tasks) < len(board.recipes) - len(board.unscored):
        return None
    return statistics.over_tasks({task: statistics.forgetting(cells[task]) for task in tasks})


def _interval(sample: Sample | None) -> Interval | None:
    return statistics.interval(sample) if sample is not None else None


def _reference(board: Board, ranked: list[str]) -> str | None:
    """The row that trains the whole model, if there is one."""
    whole = [
        row.label
        for row in board.rows
        if row.label in ranked
        and row.trainable_parameters is not None
        and row.total_parameters
        and row.trainable_parameters >= WHOLE * row.total_parameters
    ]
    return whole[0] if len(whole) == 1 else None
