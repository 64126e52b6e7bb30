"""The loss-rate curves of a board's rows, found among all records of the site: trials stand in no row."""

from __future__ import annotations

from dataclasses import dataclass

from leaderboard.charts.series import Series
from leaderboard.site import BoardView, Site
from suite.rates import Curve, curves
from suite.record import TaskRef
from suite.summary import task_labels


@dataclass(frozen=True)
class Searched:
    """One curve, and how its variant and its task are called on the board."""

    variant: str
    task: str
    curve: Curve

    @property
    def documented(self) -> float | None:
        """The rate that the track documents for the variant, where a search says it."""
        return next((one.search.default for one in self.curve.records if one.search), None)


class Curves:
    """All curves of a site, by the records that they are made of."""

    def __init__(self, site: Site) -> None:
        self._by_record: dict[str, Curve] = {}
        for curve in curves(entry.record for entry in site.entries):
            self._by_record |= {record.id: curve for record in curve.records}

    def of(self, board: BoardView, series: Series) -> list[Searched]:
        """The curves of the rows that are drawn, with two rates or more, by row and task; one each."""
        tasks = tasks_of(board)
        found: dict[tuple[str, str], Searched] = {}
        for row in series.rows:
            for entry in row.entries:
                curve = self._by_record.get(entry.record.id)
                if curve is not None and len(curve.rates) > 1:
                    one = Searched(series.name(row), tasks[entry.record.cell.task], curve)
                    found.setdefault((one.variant, one.task), one)
        return list(found.values())


def tasks_of(board: BoardView) -> dict[TaskRef, str]:
    """How the tasks of a board's cells are called on it."""
    records = [entry.record for row in board.rows for entry in row.entries]
    labels = task_labels(records)
    return {record.cell.task: labels[record.id] for record in records}
