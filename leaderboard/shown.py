"""What stands in the cells of a board's table, as text, as sort keys and as a bar.

A cell keeps its numbers unrounded (`keys`: the value, and its interval's ends where it has one), so that the
browser sorts and saves what was measured, not what was rounded for reading.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.best import Beside
from leaderboard.pages import absent, points
from leaderboard.site import RowView
from suite.refs import rank_of
from suite.standings import Place
from suite.statistics import Interval
from suite.words import count, outcome, rate

LONGEST = 160  # characters of settings
WIDTH = 78  # pixels of an interval bar
SIZES = ((0.001, "<0.1"), (0.01, "0.1-1"), (0.1, "1-10"), (math.inf, ">10"))  # % of the model
Show = Callable[[RowView], "Cell"]


@dataclass(frozen=True)
class Cell:
    """One cell: what it says, its numbers unless the text is one of them, and what stands small below.

    `mark` is "best" for the best of its column, "near" for what cannot be told from it.
    """

    text: str
    keys: str = ""
    small: str = ""
    mark: str = ""
    warn: bool = False


@dataclass(frozen=True)
class Scale:
    """Where values lie on the bars of a column: `low` at the left end, `high` at the right."""

    low: float
    high: float

    @classmethod
    def of(cls, found: Sequence[Interval], zero: bool = True) -> Scale:
        """Holds all of these intervals, and zero if it should."""
        ends = [end for one in found for end in (one.low, one.high)] + [0.0] * (zero or not found)
        return cls(min(ends), max(ends))

    def path(self, found: Interval) -> str:
        """A line from end to end of an interval, and a tick at its value; table.js draws the same."""
        low, value, high = (round(self._at(one)) for one in (found.low, found.value, found.high))
        return f"M{low} 4H{high}M{value} 0v8"

    @property
    def ends(self) -> str:
        """Both ends, for a browser."""
        return f"{_short(self.low)} {_short(self.high)}"

    def _at(self, value: float) -> float:
        return 1 + (WIDTH - 2) * (value - self.low) / ((self.high - self.low) or 1.0)


def with_interval(
    read: Callable[[Place], Interval | None],
    beside: Beside | None,
    seeds: int,
    otherwise: Callable[[RowView], float | None],
) -> Show:
    """Cells with intervals; where outcomes of single items are not known, the mean alone.

    `seeds` is how many the board has: a cell of fewer says so.
    """

    def show(row: RowView) -> Cell:
        found = read(row.place)
        if found is None:
            return plain(otherwise(row), points, "no interval")
        mark = ""
        if beside and row.place.rank is not None:
            mark = "best" if row.label == beside.best else "near" if row.label in beside.near else ""
        return Cell(
            text=points(found.value),
            keys=" ".join(_short(one) for one in (found.value, found.low, found.high)),
            small=f"[{points(found.low)}, {points(found.high)}]"
            + f"\n{found.seeds} of {seeds} seeds" * (found.seeds < seeds),
            mark=mark,
        )

    return show


def number(read: Callable[[RowView], float | None], show: Callable[[Any], str]) -> Show:
    """Cells of one number; nothing where it is not known."""
    return lambda row: plain(read(row), show)


def plain(value: float | None, show: Callable[[Any], str], small: str = "") -> Cell:
    """One number, or the dash that stands for 'not measured'."""
    if value is None or not math.isfinite(value):
        return Cell(absent())
    text, key = show(value), _short(value)
    return Cell(text, "" if text == key else key, small)


def rank(row: RowView) -> Cell:
    """The rank; of a row without one, why it has none."""
    if row.place.rank is not None:
        return Cell(str(row.place.rank))
    return Cell(absent(), small="default rate" if row.place.row.kind == "default" else "not ranked")


def learning_rate(row: RowView) -> Cell:
    """The rate, or the span over the tasks; marked where a search ended at the edge of what was tried."""
    found = row.place.row.learning_rates
    known = [one for one in found.values() if one is not None]
    if not known:
        return Cell(absent())
    edges = row.place.row.edges if row.place.row.kind == "tuned" else {}
    ends = [(end, [task for task, at in edges.items() if at == end]) for end in sorted(set(edges.values()))]
    told = [f"{end} edge" + f": {', '.join(sorted(at))}" * (len(at) < len(found)) for end, at in ends]
    low, high = min(known), max(known)
    small = [f"to {rate(high)}"] * (low != high)
    return Cell(rate(low), f"{_short(low)} {_short(high)}", ", ".join([*small, *told]), warn=bool(edges))


def trained(row: RowView) -> Cell:
    """How many parameters train, and which share of the model that is."""
    trainable, total = row.cost.trainable, row.cost.total
    share = f"{100 * trainable / total:.3g} %" if trainable is not None and total else ""
    return plain(trainable, count, share)


def cells(row: RowView) -> Cell:
    """How the cells of a row ended."""
    found = row.place.row
    trials = f"{outcome(found.trials)} in trials" if found.trials else ""
    return Cell(outcome(found.statuses), "", trials, warn=set(found.statuses) != {"ok"})


def setting(row: RowView) -> Cell:
    """The adapter rank."""
    return plain(rank_of(row.place.row.settings), str)


def settings(row: RowView) -> Cell:
    """The plain settings of a method; of very long ones the beginning."""
    every = row.place.row.settings.items()
    told = ", ".join(f"{name} {value}" for name, value in every if not isinstance(value, dict))
    return Cell(told if len(told) <= LONGEST else f"{told[:LONGEST]}...") if told else Cell(absent())


def adapter_rank(row: RowView) -> str:
    """The rank among the settings, '' where there is none."""
    found = rank_of(row.place.row.settings)
    return "" if found is None else str(found)


def size_class(row: RowView) -> str:
    """Which share of the model trains: a key of SIZES, '' where it is not known."""
    if not row.cost.trainable or not row.cost.total:
        return ""
    share = row.cost.trainable / row.cost.total
    return next(name for most, name in SIZES if share < most)


def _short(value: float) -> str:
    """As a browser reads numbers: whole ones as they are, others with five significant digits."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.5g}" if math.isfinite(value) else ""
