"""Which rows cannot be told from the best of a column: the numbers of a column that look alike.

The mean gain goes by the ranks (Holm over all pairs), other columns by `suite.statistics.leading`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from leaderboard.samples import samples as kept
from leaderboard.site import BoardView, RowView
from suite.errors import UserError
from suite.record import Record
from suite.statistics import Sample
from suite.statistics.leading import Beside as Beside
from suite.statistics.leading import beside_best as beside_best
from suite.summary import task_labels


def by_rank(board: BoardView) -> Beside | None:
    """The same for the mean gain, as the ranks have it: by Holm over all pairs."""
    ranked = board.ranked
    if len(ranked) < 2:
        return None
    best = max(ranked, key=lambda row: row.place.gain.value if row.place.gain else float("-inf")).label
    near = {
        pair.b if pair.a == best else pair.a
        for pair in board.standings.pairs
        if best in (pair.a, pair.b) and pair.verdict == "cannot tell"
    }
    return Beside(best, frozenset(near))


def gains(board: BoardView) -> dict[str, dict[str, Sample]]:
    """The gains of the ranked rows: row -> task -> sample."""
    return _samples(board, board.ranked, lambda row: row.place.gains.keys(), "gain")


def forgetting(board: BoardView, rows: Iterable[RowView]) -> dict[str, dict[str, Sample]]:
    """What rows forgot, by the tasks that are ranked by; rows where it is not known are left out."""
    known = [row for row in rows if row.place.forgetting]
    return _samples(board, known, lambda row: board.standings.tasks, "forgetting")


def _samples(
    board: BoardView,
    rows: Iterable[RowView],
    tasks: Callable[[RowView], Iterable[str]],
    quantity: str,
) -> dict[str, dict[str, Sample]]:
    labels = task_labels(entry.record for row in board.rows for entry in row.entries)
    known = kept(board)
    found: dict[str, dict[str, Sample]] = {}
    for row in rows:
        cells: dict[str, list[Record]] = {}
        for entry in row.entries:
            if entry.record.status == "ok" and entry.record.gain is not None:
                cells.setdefault(labels[entry.record.id], []).append(entry.record)
        try:
            found[row.label] = {task: known.of(quantity, cells[task]) for task in tasks(row) if task in cells}
        except UserError:
            continue  # the standings tell why
    return found
