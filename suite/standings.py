"""A board with what its numbers can support: intervals, ranks with ties, regret; and the sentences on ties.

Rows are the tuned cells of each variant where its rate was searched for; beside such rows, cells whose rate
was not searched for are shown and not ranked, as the budget of tuning was not the same. Tasks that a single
row was measured on play no part in ranks. A row is ranked if it was measured on all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from suite import statistics
from suite.errors import UserError
from suite.record import Record
from suite.statistics import Comparison, Interval, Pair, Sample
from suite.summary import Board, SummaryRow, boards, task_labels

WHOLE = 0.99  # of a model's numbers: who trains as many trains the model itself


@dataclass(frozen=True)
class Place:
    """One row. Gains, forgetting and regret are points, with 95 % intervals; None where not measured.

    `rank` is shared by rows that cannot be told apart by gain, None for rows that are not ranked. `regret` is
    the gain of full fine-tuning at its best minus this one's, None for itself and where it was not run.
    `front` is the probability that no ranked row gains as much and forgets less.
    """

    row: SummaryRow
    rank: int | None
    gains: Mapping[str, Interval | None]
    gain: Interval | None
    forgetting: Interval | None
    regret: Comparison | None
    front: float | None


@dataclass(frozen=True)
class Standings:
    """The rows of a board by mean gain, those that are not ranked after them; pairs are of ranked rows.

    `reference` is the row that regret is measured from, `tasks` are those that ranks and means are over, and
    `faults` say what could not be counted, and why.
    """

    board: Board
    places: tuple[Place, ...]
    pairs: tuple[Pair, ...]
    reference: str | None
    tasks: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def ties(self) -> tuple[Pair, ...]:
        """The pairs that cannot be told apart, the least noticeable difference first."""
        tied = [pair for pair in self.pairs if pair.verdict == "cannot tell"]
        return tuple(sorted(tied, key=lambda pair: (pair.visible, pair.a, pair.b)))


def standings(records: Iterable[Record]) -> list[Standings]:
    """The standings of every board of these records."""
    known = {record.id: record for record in records}
    return [_standings(board, known) for board in boards(known.values())]


def _standings(board: Board, known: Mapping[str, Record]) -> Standings:
    scored = [task for task in board.recipes if task not in board.unscored]
    labels = task_labels(known[name] for row in board.rows for name in row.records)
    cells = {row.label: _by_task([known[name] for name in row.records], labels) for row in board.rows}
    faults: list[str] = []
    gains = {row.label: _gains(row, cells[row.label], scored, faults) for row in board.rows}
    kinds = {row.kind for row in board.rows}
    rivals = [row for row in board.rows if row.kind == ("tuned" if "tuned" in kinds else None)]
    tasks = _shared(scored, [gains[row.label] for row in rivals])
    ranked = {
        row.label: {task: gains[row.label][task] for task in tasks}
        for row in rivals
        if tasks and all(task in gains[row.label] for task in tasks)
    }
    ranked = _pairable(_repeated(ranked, faults), faults)
    ranking = statistics.ranks(ranked) if ranked else None
    rank = {each.variant: each.rank for each in ranking.standings} if ranking else {}
    reference = _reference(rivals, ranked)
    regrets = statistics.regret(ranked, reference) if reference else {}
    forgets = {row.label: _forgets(board, tasks, cells[row.label], faults) for row in board.rows}
    whole = {label: forgets[label] for label in ranked if forgets[label]}
    fronts = statistics.pareto({label: ranked[label] for label in whole}, whole) if whole else {}
    places = [
        Place(
            row=row,
            rank=rank.get(row.label),
            gains={task: _interval(gains[row.label].get(task)) for task in scored},
            gain=statistics.over_tasks({task: gains[row.label][task] for task in tasks})
            if tasks and all(task in gains[row.label] for task in tasks)
            else None,
            forgetting=statistics.over_tasks(forgets[row.label]) if forgets[row.label] else None,
            regret=regrets.get(row.label),
            front=fronts.get(row.label),
        )
        for row in board.rows
    ]
    places.sort(key=lambda place: (place.rank is None, -place.gain.value if place.gain else 0.0))
    pairs = ranking.pairs if ranking else ()
    return Standings(board, tuple(places), pairs, reference, tuple(tasks), tuple(dict.fromkeys(faults)))


def _gains(
    row: SummaryRow, cells: Mapping[str, list[Record]], tasks: Iterable[str], faults: list[str]
) -> dict[str, Sample]:
    """The gains of a row by task; what cannot be a sample is told in `faults`."""
    found: dict[str, Sample] = {}
    for task in tasks:
        if ones := cells.get(task):
            try:
                sample = statistics.gain(ones)
                statistics.interval(sample)
                found[task] = sample
            except UserError as error:
                faults.append(f"{row.label} on {task}: {error}")
    return found


def _shared(tasks: Iterable[str], gains: Sequence[Mapping[str, Sample]]) -> list[str]:
    """The tasks that are ranked by: those of half of the rows, and of two where there are two."""
    rows = len([one for one in gains if one])
    least = max(min(2, rows), (rows + 1) // 2)
    return [task for task in tasks if least and sum(task in one for one in gains) >= least]


def _repeated(
    ranked: Mapping[str, Mapping[str, Sample]], faults: list[str]
) -> dict[str, Mapping[str, Sample]]:
    """The rows of two seeds or more on every task, where any has: one seed says nothing of others."""
    once = {
        label: sorted(task for task, sample in samples.items() if len(sample.seeds) < 2)
        for label, samples in ranked.items()
    }
    if all(once.values()):
        return dict(ranked)
    for label, tasks in once.items():
        if tasks:
            faults.append(f"{label} is not ranked: one finished seed on {', '.join(tasks)}, others have more")
    return {label: samples for label, samples in ranked.items() if not once[label]}


def _pairable(
    ranked: Mapping[str, Mapping[str, Sample]], faults: list[str]
) -> dict[str, Mapping[str, Sample]]:
    """The rows that were asked more than half of the items that most rows were: any two share some."""
    left = dict(ranked)
    for task in next(iter(ranked.values()), {}):
        asked = {label: frozenset(samples[task].items) for label, samples in left.items()}
        usual = max(asked.values(), key=list(asked.values()).count, default=frozenset())
        for label, items in asked.items():
            if 2 * len(items & usual) <= len(usual):
                faults.append(f"{label} is not ranked: on {task} it was asked other items than most rows")
                del left[label]
    return left


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


def _forgets(
    board: Board, tasks: Sequence[str], cells: Mapping[str, list[Record]], faults: list[str]
) -> dict[str, Sample]:
    """What was forgotten, by the tasks that are ranked by; nothing where one of them is missing."""
    if not board.skills or not all(cells.get(task) for task in tasks):
        return {}
    try:
        return {task: statistics.forgetting(cells[task]) for task in tasks}
    except UserError as error:
        faults.append(str(error))
        return {}


def _interval(sample: Sample | None) -> Interval | None:
    return statistics.interval(sample) if sample is not None else None


def _reference(rows: Iterable[SummaryRow], ranked: Iterable[str]) -> str | None:
    """The row that trains the whole model, if there is one."""
    known = set(ranked)
    whole = [
        row.label
        for row in rows
        if row.label in known
        and row.trainable_parameters is not None
        and row.total_parameters
        and row.trainable_parameters >= WHOLE * row.total_parameters
    ]
    return whole[0] if len(whole) == 1 else None
