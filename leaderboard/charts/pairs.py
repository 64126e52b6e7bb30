"""Every pair of ranked rows: how much more the one gains than the other, and whether the data can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import altair as alt

from leaderboard.charts import marks
from leaderboard.charts.drawing import Picture, Row
from leaderboard.charts.series import Series
from leaderboard.charts.words import listed
from leaderboard.pages import points
from leaderboard.site import BoardView
from suite.statistics import Pair

TITLE = "Who is really better"
NUMBERS = 10  # rows up to which there is room for a number in a cell
SIGNS = {
    "better": "\N{BLACK UP-POINTING TRIANGLE}",
    "worse": "\N{BLACK DOWN-POINTING TRIANGLE}",
    "cannot tell": "=",
}
TURNED = {"better": "worse", "worse": "better", "cannot tell": "cannot tell"}


def picture(board: BoardView, series: Series) -> Picture | None:
    """The matrix of paired differences; None with fewer than two ranked rows."""
    names = {row.label: series.label(row) for row in series.rows if row.place.rank is not None}
    pairs = [pair for pair in board.standings.pairs if pair.a in names and pair.b in names]
    if not pairs:
        return None
    rows = [one for pair in pairs for one in _both(pair, names, with_number=len(names) <= NUMBERS)]
    order = list(dict.fromkeys(names.values()))
    return Picture("pairs", TITLE, _sentence(pairs, names, series), _chart(order), rows)


def _both(pair: Pair, names: dict[str, str], with_number: bool) -> list[Row]:
    """The pair seen from b, and from a."""
    found = pair.comparison.interval
    sides = [
        (pair.b, pair.a, found.value, found.low, found.high, pair.verdict),
        (pair.a, pair.b, -found.value, -found.high, -found.low, TURNED[pair.verdict]),
    ]
    return [
        {
            "row": names[row],
            "column": names[column],
            "difference": value,
            "difference_low": low,
            "difference_high": high,
            "p": pair.p,
            "detectable": pair.visible,
            "verdict": verdict,
            "sign": SIGNS[verdict],
            "shown": points(value) if with_number else "",
        }
        for row, column, value, low, high, verdict in sides
    ]


def _sentence(pairs: Sequence[Pair], names: dict[str, str], series: Series) -> str:
    apart = [pair for pair in pairs if pair.verdict != "cannot tell"]
    told = f"Of {len(pairs)} pairs {len(apart)} can be told apart"
    told = "The one pair can be told apart" if len(pairs) == 1 and apart else told
    told = "The one pair cannot be told apart" if len(pairs) == 1 and not apart else told
    beats = Counter(pair.b if pair.verdict == "better" else pair.a for pair in apart)
    if beats:
        most = max(beats.values())
        winners = [names[label] for label in names if beats[label] == most]
        told += f"; most often better: {listed(winners)} ({most} of {len(names) - 1})"
    ties = [pair for pair in pairs if pair.verdict == "cannot tell"]
    if ties:
        closest = max(pair.visible for pair in ties)
        told += f"; the others would have to differ by up to {closest:.1f} points to be seen"
    return (
        f"{told}. A cell is the row's gain minus the column's, same items and seeds: "
        f"{SIGNS['better']} row better, {SIGNS['worse']} row worse, {SIGNS['cannot tell']} cannot tell "
        f"(Holm, 5 %).{series.left}"
    )


def _chart(order: Sequence[str]) -> dict[str, Any]:
    few = len(order) <= NUMBERS
    look: dict[str, Any] = {"ticks": False, "domain": False, "grid": False, "labelPadding": 6}
    turned = 0 if len(order) <= 4 else -45 if few else -90
    top = alt.Axis(orient="top", labelAngle=turned, labelLimit=110, labelOverlap="greedy", **look)
    x = alt.X("column:N", sort=list(order), title="minus", axis=top)
    y = alt.Y("row:N", sort=list(order), title=None, axis=alt.Axis(**look))
    tooltip = marks.tips(
        ("row", "row"),
        ("column", "column"),
        ("verdict", "the row is"),
        ("difference", "difference, points", marks.SIGNED),
        ("difference_low", "from", marks.SIGNED),
        ("difference_high", "to", marks.SIGNED),
        ("p", "p (Holm)", ".3g"),
        ("detectable", "least difference seen 4 times in 5", ".1f"),
    )
    base = alt.Chart().encode(x=x, y=y, tooltip=tooltip)
    styles = {"better": "better", "worse": "worse", "cannot tell": "tie"}
    layers: list[alt.Chart] = [
        marks.where(base, "verdict", verdict).mark_rect(style=style, cornerRadius=3)
        for verdict, style in styles.items()
    ]
    layers.append(
        base.mark_text(style="ink", dy=-8 if few else 0, fontSize=12 if few else 10).encode(text="sign:N")
    )
    if few:
        layers.append(base.mark_text(style="ink", dy=8, fontSize=11).encode(text="shown:N"))
    step = 46 if few else 22
    return marks.layered(layers, height=step * len(order))
