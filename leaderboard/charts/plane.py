"""What a variant learns against what it forgets: the estimates, their intervals, and which lie in front."""

from __future__ import annotations

from typing import Any

import altair as alt

from leaderboard.charts import marks
from leaderboard.charts.drawing import Picture, Row
from leaderboard.charts.labels import placed
from leaderboard.charts.series import Series
from leaderboard.charts.words import listed, share
from leaderboard.site import BoardView, RowView
from suite.statistics.fronts import undominated

TITLE = "Learning against forgetting"
HEIGHT = 420
SURE = 0.95  # of being in front


def picture(board: BoardView, series: Series) -> Picture | None:
    """The plane of a board; None where no row has both quantities."""
    shown = [row for row in series.rows if row.place.gain and row.place.forgetting]
    if not shown:
        return None
    front = _front(shown)
    rows = [_row(row, series, row.key in front) for row in shown]
    across, up = (("forgetting", "forgetting_low", "forgetting_high"), ("gain", "gain_low", "gain_high"))
    rows = placed(rows, across, up, HEIGHT)
    return Picture("plane", TITLE, _sentence(shown, front, series), _chart(series, rows), rows)


def _front(shown: list[RowView]) -> list[str]:
    """The ranked rows that no other ranked one beats in both, by gain."""
    return undominated(
        {
            row.key: (row.place.gain.value, -row.place.forgetting.value)
            for row in shown
            if row.place.front is not None and row.place.gain and row.place.forgetting
        }
    )


def _row(row: RowView, series: Series, front: bool) -> Row:
    place = row.place
    assert place.gain and place.forgetting
    return {
        "variant": series.label(row),
        "series": series.group(series.name(row)),
        "rates": marks.rates_word(place.row.kind),
        "gain": place.gain.value,
        "gain_low": place.gain.low,
        "gain_high": place.gain.high,
        "forgetting": place.forgetting.value,
        "forgetting_low": place.forgetting.low,
        "forgetting_high": place.forgetting.high,
        "front": place.front,
        "front_word": share(place.front) if place.front is not None else "not ranked",
        "in_front": front,
        "rank": place.rank,
    }


def _sentence(shown: list[RowView], front: list[str], series: Series) -> str:
    ranked = {row.key: row for row in shown if row.place.front is not None}
    if not ranked:
        told = "No row is ranked, so none is in front."
    else:
        named = [f"{series.label(ranked[key])} ({share(ranked[key].place.front)})" for key in front]
        sure = [series.label(row) for row in ranked.values() if (row.place.front or 0) >= SURE]
        told = f"By the estimates no other variant gains more and forgets less than {listed(named)}; "
        told += "in brackets, how probable that is. "
        told += f"At {share(SURE)} or more stands {listed(sure)}." if sure else f"None reaches {share(SURE)}."
    hollow = " Hollow: at default rates." if any(row.place.row.kind == "default" for row in shown) else ""
    return f"{told} Up is more learned, left is less forgotten; bars are 95 % intervals.{hollow}{series.left}"


def _chart(series: Series, rows: list[Row]) -> dict[str, Any]:
    present = [row["series"] for row in rows]
    free = alt.Scale(zero=False)
    x = alt.X("forgetting:Q", title="forgetting, points", scale=free, axis=alt.Axis(tickCount=8))
    y = alt.Y("gain:Q", title="mean gain, points", scale=free, axis=alt.Axis(tickCount=7))
    tooltip = marks.tips(
        ("variant", "variant"),
        ("gain", "gain", marks.SIGNED),
        ("gain_low", "gain, from", marks.SIGNED),
        ("gain_high", "gain, to", marks.SIGNED),
        ("forgetting", "forgetting", marks.SIGNED),
        ("forgetting_low", "forgetting, from", marks.SIGNED),
        ("forgetting_high", "forgetting, to", marks.SIGNED),
        ("front_word", "in front, probability"),
    )
    base = alt.Chart().encode(x=x, y=y, color=series.colour(present), tooltip=tooltip)
    step = (
        marks.where(alt.Chart(), "in_front", True)
        .mark_line(interpolate="step-after", strokeDash=[4, 4], strokeWidth=1.5)
        .encode(x=x, y=y, order="forgetting:Q")
    )
    layers = [
        step,
        marks.span(base, "forgetting", "x"),
        marks.span(base, "gain", "y"),
        *marks.points(base, series, present),
        *marks.names(x, y),
    ]
    return marks.layered(layers, height=HEIGHT)
