"""What changed from one revision of a variant to the next: the same settings on the same board, compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leaderboard.site import BoardView, RowView
from suite.compare import Line, versus
from suite.errors import UserError
from suite.record import Record
from suite.seeds import digest
from suite.statistics import Interval
from suite.summary import boards as summarised


@dataclass(frozen=True)
class Revised:
    """One revision on one board: who it is, and what it is beside the revision before it.

    `lines` are of the gain, by task and over them; empty for the first one, and where `fault` says why.
    """

    board: BoardView
    row: RowView
    revision: int | None
    gains: dict[str, Interval | None]
    commits: tuple[str, ...]
    first: str
    last: str
    lines: tuple[Line, ...]
    fault: str


def revisions(boards: Iterable[BoardView], records: Sequence[Record]) -> list[list[Revised]]:
    """Groups of rows that differ in the revision alone, oldest first; only groups of two or more."""
    mine = {record.id for record in records}
    found = []
    for board in boards:
        groups: dict[str, list[RowView]] = defaultdict(list)
        for view in board.rows:
            row = view.place.row
            if row.records and row.records[0] in mine:
                groups[digest([row.kind, row.settings, _rates(row.kind, view)])].append(view)
        for rows in groups.values():
            if len({view.place.row.revision for view in rows}) > 1:
                rows.sort(key=lambda view: view.place.row.revision or 0)
                found.append(
                    [
                        _revised(board, row, before)
                        for before, row in zip([None, *rows[:-1]], rows, strict=True)
                    ]
                )
    return found


def _rates(kind: str | None, view: RowView) -> list[float | None]:
    """The rates of a row that nobody searched, which tell it from others; a tuned row finds its own."""
    return [] if kind else list(view.place.row.learning_rates.values())


def _revised(board: BoardView, view: RowView, before: RowView | None) -> Revised:
    records = [entry.record for entry in view.entries]
    made = sorted(record.provenance.created[:10] for record in records if record.provenance.created)
    lines, fault = _change(before, view) if before else ((), "")
    return Revised(
        board=board,
        row=view,
        revision=view.place.row.revision,
        gains=dict(view.place.gains),
        commits=tuple(sorted({one.provenance.commit[:10] for one in records if one.provenance.commit})),
        first=made[0] if made else "",
        last=made[-1] if made else "",
        lines=lines,
        fault=fault,
    )


def _change(before: RowView, after: RowView) -> tuple[tuple[Line, ...], str]:
    """The lines of the gain of `after` against `before`, or why there are none."""
    records = [entry.record for view in (before, after) for entry in view.entries]
    try:
        labels = {}
        for row in (row for board in summarised(records) for row in board.rows):
            labels.setdefault(row.revision, row.label)
        a, b = (labels[view.place.row.revision] for view in (before, after))
        lines = [line for one in versus(records, a, b)[:1] for line in one.lines if line.quantity == "gain"]
        return tuple(lines), ""
    except UserError as error:
        return (), str(error)
