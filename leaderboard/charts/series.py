"""Which row has which colour, the same in every picture of a board, and what is left out of large boards.

A series is a variant as its board names it: its tuned row and its row at default rates share the colour. The
first eight by rank (and the one that regret is measured from) have colours; all others are one grey.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import altair as alt

from leaderboard.charts.drawing import clean
from leaderboard.charts.theme import COLOURED
from leaderboard.site import BoardView, RowView
from suite.summary import DEFAULT

ROWS = 24  # rows of a picture at most: the best-ranked
OTHERS = "others"


@dataclass(frozen=True)
class Series:
    """`names` by the key of a row; `coloured` in the order of the colours; `rows` are those shown."""

    names: dict[str, str]
    coloured: tuple[str, ...]
    rows: tuple[RowView, ...]
    left_out: int

    def name(self, row: RowView) -> str:
        """How the variant of a row is called."""
        return self.names[row.key]

    def label(self, row: RowView) -> str:
        """The same for the row: at default rates it says so."""
        return self.name(row) + (DEFAULT if is_default(row) else "")

    def group(self, name: str) -> str:
        """The name in the legend: its own, or that of the grey ones."""
        return name if name in self.coloured else OTHERS

    @property
    def order(self) -> list[str]:
        """The labels from top to bottom: by rank, a default row below its variant's tuned one."""
        first = {name: at for at, name in reversed(list(enumerate(self.name(row) for row in self.rows)))}
        rows = sorted(enumerate(self.rows), key=lambda one: (first[self.name(one[1])], one[0]))
        return list(dict.fromkeys(self.label(row) for _, row in rows))

    @property
    def left(self) -> str:
        """What the sentence says of rows that are not drawn."""
        if not self.left_out:
            return ""
        return f" Of {len(self.rows) + self.left_out} rows the {len(self.rows)} best-ranked are drawn."

    @property
    def grey(self) -> bool:
        """Whether there are more variants than colours."""
        return len(self.coloured) < len(set(self.names.values()))

    def scale(self) -> alt.Scale:
        """All groups in their order: a picture that lacks one gives its colour to no other."""
        return alt.Scale(domain=[*self.coloured, *([OTHERS] if self.grey else [])])

    def legend(self, present: Iterable[str], **settings: Any) -> alt.Legend:
        """A legend of those that are drawn."""
        drawn = {self.group(name) for name in present}
        return alt.Legend(
            title=None,
            symbolOpacity=1,
            values=[n for n in (*self.coloured, OTHERS) if n in drawn],
            **settings,
        )

    def colour(self, present: Iterable[str] | None) -> alt.Color:
        """The colour by the field `series`; without a legend where `present` is None."""
        return alt.Color("series:N", scale=self.scale(), legend=self.legend(present) if present else None)

    def shape(self, present: Iterable[str] | None) -> alt.Shape:
        """The shape, likewise."""
        return alt.Shape("series:N", scale=self.scale(), legend=self.legend(present) if present else None)


def is_default(row: RowView) -> bool:
    """Whether the row is at default rates beside a tuned one: shown, and hollow."""
    return row.place.row.kind == "default"


def series(board: BoardView) -> Series:
    """The names and colours of a board's rows."""
    labels = {
        row.key: row.label.removesuffix(DEFAULT) if is_default(row) else row.label for row in board.rows
    }
    drawn: dict[str, str] = {}
    for label in dict.fromkeys(labels.values()):
        short, n = clean(label), 1
        while short in drawn.values() or short == OTHERS:
            n += 1
            short = clean(f"{clean(label)[:70]} ({n})")
        drawn[label] = short
    names = {key: drawn[label] for key, label in labels.items()}
    order = list(dict.fromkeys(names[row.key] for row in board.rows))
    coloured = order[:COLOURED]
    whole = next((names[r.key] for r in board.rows if r.label == board.standings.reference), None)
    if whole is not None and whole not in coloured:
        coloured = [*coloured[:-1], whole]
    shown = board.rows[:ROWS]
    return Series(names, tuple(coloured), shown, len(board.rows) - len(shown))
