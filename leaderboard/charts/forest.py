"""Estimates with intervals, a panel each: the gain on every task, what was forgotten of every skill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from leaderboard.charts import marks
from leaderboard.charts.drawing import Picture, Row, clean
from leaderboard.charts.series import Series
from leaderboard.charts.words import counted, left_over
from leaderboard.pages import points
from leaderboard.samples import samples
from leaderboard.site import BoardView, RowView
from suite.skills import by_skill
from suite.statistics import Interval

PANELS = 6
HEIGHT = 22  # px of a row
Found = Sequence[tuple[RowView, Interval]]


def gains(board: BoardView, series: Series) -> Picture | None:
    """The gain on each task; None where none is known."""
    tasks = sorted({task for row in series.rows for task, gain in row.place.gains.items() if gain})
    found = {
        task: [(row, gain) for row in series.rows if (gain := row.place.gains.get(task)) is not None]
        for task in tasks[:PANELS]
    }
    told = " ".join(_clear(task, ones, series) for task, ones in found.items())
    sentence = (
        f"{told} Right of the line is a gain; bars are 95 % intervals.{left_over(tasks, PANELS, 'tasks')}"
    )
    return _picture("gains", "Gain on each task", "gain, points", found, series, sentence)


def skills(board: BoardView, series: Series) -> Picture | None:
    """What was forgotten of each general skill; None where none was measured."""
    records = {row.key: [entry.record for entry in row.entries] for row in series.rows}
    whole = board.standings
    intervals = by_skill(records, whole.board.skills, whole.tasks, samples(board))
    known = sorted({skill for skills in intervals.values() for skill in skills})
    found = {
        skill: [
            (row, one) for row in series.rows if (one := intervals.get(row.key, {}).get(skill)) is not None
        ]
        for skill in known[:PANELS]
    }
    told = " ".join(_lost(skill, ones, series) for skill, ones in found.items())
    sentence = (
        f"{told} Right of the line is forgotten, mean over tasks; bars are 95 % intervals."
        f"{left_over(known, PANELS, 'skills')}"
    )
    return _picture(
        "skills", "Forgetting of each general skill", "forgetting, points", found, series, sentence
    )


def _clear(task: str, found: Found, series: Series) -> str:
    """'math: 5 of 6 have a gain whose interval lies above zero, most by estimate fullft (+8.3).'"""
    sure = [row for row, one in found if one.low > 0]
    row, one = max(found, key=lambda pair: pair[1].value)
    told = f"most by estimate {series.label(row)} ({points(one.value)})"
    return (
        f"{clean(task)}: {counted(len(sure), len(found))} have a gain whose interval lies above zero, {told}."
    )


def _lost(skill: str, found: Found, series: Series) -> str:
    """'arc: 5 of 6 have a forgetting whose interval lies above zero, least by estimate lora (+2.0).'"""
    sure = [row for row, one in found if one.low > 0]
    row, one = min(found, key=lambda pair: pair[1].value)
    told = f"least by estimate {series.label(row)} ({points(one.value)})"
    above = f"{counted(len(sure), len(found))} have a forgetting whose interval lies above zero"
    return f"{clean(skill)}: {above}, {told}."


def _picture(
    kind: str, title: str, axis: str, found: Mapping[str, Found], series: Series, sentence: str
) -> Picture | None:
    rows = [_row(panel, row, one, series) for panel, ones in found.items() for row, one in ones]
    if not rows:
        return None
    hollow = " Hollow: at default rates." if any(row["rates"] == marks.HOLLOW for row in rows) else ""
    chart = _chart(axis, rows, [clean(panel) for panel in found], series)
    return Picture(kind, title, f"{sentence}{hollow}{series.left}", chart, rows)


def _row(panel: str, row: RowView, one: Interval, series: Series) -> Row:
    return {
        "panel": clean(panel),
        "variant": series.label(row),
        "series": series.group(series.name(row)),
        "rates": marks.rates_word(row.place.row.kind),
        "value": one.value,
        "value_low": one.low,
        "value_high": one.high,
        "seeds": one.seeds,
        "items": one.items,
    }


def _chart(axis: str, rows: Sequence[Row], order: Sequence[str], series: Series) -> dict[str, Any]:
    drawn = {row["variant"] for row in rows}
    labels = [label for label in series.order if label in drawn]
    tooltip = marks.tips(
        ("panel", "on"),
        ("variant", "variant"),
        ("value", axis, marks.SIGNED),
        ("value_low", "from", marks.SIGNED),
        ("value_high", "to", marks.SIGNED),
        ("seeds", "seeds", "d"),
        ("items", "items", "d"),
    )
    base = alt.Chart().encode(
        x=alt.X("value:Q", title=axis, axis=alt.Axis(tickCount=4)),
        y=alt.Y("variant:N", title=None, sort=labels, axis=alt.Axis(grid=True, domain=False, ticks=False)),
        color=series.colour(None),
        tooltip=tooltip,
    )
    zero = alt.Chart().mark_rule(strokeWidth=1.5).encode(x=alt.datum(0))
    layers = [zero, marks.span(base, "value", "x"), *marks.points(base, series, None, size=70)]
    inner = marks.layered(layers, height=HEIGHT * len(labels), width=200)
    whole = marks.faceted(inner, alt.Facet("panel:N", title=None, sort=list(order)), spacing=18)
    return marks.panels(whole, len(order), least=150, spare=130)
