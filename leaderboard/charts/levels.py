"""A quantity by moment, a panel a variant: its values, the levels that they keep, and where these change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from leaderboard.charts import marks
from leaderboard.charts.drawing import Picture, Row, clean
from suite.history import Line, Moment, Series

PANELS = 12
HEIGHT = 120
AXES = {
    "gain": ("gain, points", ".1f", 1.0),
    "loss": ("held-out loss, nats per token", ".3f", 1.0),
    "forgetting": ("forgetting, points", ".1f", 1.0),
    "time": ("training time, seconds", ".1f", 1.0),
    "memory": ("peak memory, MiB", ".1f", 2.0**-20),
}
Drawn = Sequence[tuple[Line, Series]]


def when(moment: Moment) -> str:
    """'2026-03-09 08abab1': the day, and the beginning of the commit."""
    return clean(f"{moment.day} {moment.commit[:7]}".strip())


def picture(task: str, quantity: str, drawn: Drawn, sentence: str) -> Picture:
    """The first PANELS lines of one task."""
    left = f" Of {len(drawn)} variants the first {PANELS} are drawn." if len(drawn) > PANELS else ""
    drawn = drawn[:PANELS]
    names = _names([line for line, _ in drawn])
    moments = sorted({line.moments[at] for line, series in drawn for at in series.at}, key=_time)
    order = list(dict.fromkeys(when(moment) for moment in moments))
    rows = [
        row for name, (line, series) in zip(names, drawn, strict=True) for row in _rows(name, line, series)
    ]
    title = f"{clean(task)}: {AXES[quantity][0].partition(',')[0]} by moment"
    told = f"{sentence} Points are means over seeds, lines the levels, upright lines the steps.{left}"
    return Picture("levels", title, told, _chart(quantity, names, order), rows)


def _time(moment: Moment) -> tuple[str, str]:
    return moment.day, moment.commit


def _names(lines: Sequence[Line]) -> list[str]:
    """A panel's name, with the rate where a variant met several."""
    labels = [line.label for line in lines]
    rates = [clean(f"{one.label[:60]}, rate {one.rate:g}") if one.rate else clean(one.label) for one in lines]
    found = [rates[at] if labels.count(label) > 1 else clean(label) for at, label in enumerate(labels)]
    return [name if found.count(name) == 1 else f"{name[:70]} ({at + 1})" for at, name in enumerate(found)]


def _rows(name: str, line: Line, series: Series) -> list[Row]:
    """A row a value, two a level, one a step."""
    unit = AXES[series.quantity][2]

    def row(kind: str, at: int, **more: Any) -> Row:
        moment = line.moments[series.at[at]]
        told = {"variant": name, "kind": kind, "moment": when(moment), "day": moment.day}
        return {**told, "commit": moment.commit, **more}

    found = [row("value", at, value=unit * value) for at, value in enumerate(series.values)]
    for number, level in enumerate(series.steps.levels):
        for end in (level.first, level.end - 1):
            found.append(row("level", end, value=unit * level.value, level=f"{name} {number}"))
    for step in series.steps.steps:
        found.append(
            row(
                "step",
                step.at,
                change=unit * step.change,
                change_low=None if step.low is None else unit * step.low,
                change_high=None if step.high is None else unit * step.high,
                p=series.p,
                verdict="beyond doubt" if series.sure else "may be chance",
            )
        )
    return found


def _chart(quantity: str, names: Sequence[str], order: Sequence[str]) -> dict[str, Any]:
    title, form, _ = AXES[quantity]
    labels = alt.Axis(labelAngle=-40, labelOverlap=True, labelLimit=130, tickCount=6)
    x = alt.X("moment:O", sort=list(order), title=None, axis=labels, scale=alt.Scale(domain=list(order)))
    y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4))
    base = alt.Chart().encode(x=x)
    points = (
        marks.where(base, "kind", "value")
        .mark_point(size=36, filled=True, opacity=0.75)
        .encode(y=y, tooltip=marks.tips(("variant", "variant"), ("moment", "moment"), ("value", title, form)))
    )
    lines = marks.where(base, "kind", "level").mark_line(strokeWidth=2.5).encode(y=y, detail="level:N")
    steps = (
        marks.where(base, "kind", "step")
        .mark_rule(strokeWidth=2)
        .encode(
            strokeDash=alt.StrokeDash(
                "verdict:N",
                scale=alt.Scale(domain=["beyond doubt", "may be chance"], range=[[1, 0], [4, 4]]),
                legend=alt.Legend(title=None),
            ),
            tooltip=marks.tips(
                ("variant", "variant"),
                ("moment", "first of the new level"),
                ("verdict", "this step"),
                ("change", f"change, {title.partition(', ')[2]}", f"+{form}"),
                ("change_low", "from", f"+{form}"),
                ("change_high", "to", f"+{form}"),
                ("p", "p (Holm)", ".3g"),
            ),
        )
    )
    made = alt.layer(steps, lines, points).properties(height=HEIGHT, width=300)
    facet = alt.Facet("variant:N", title=None, sort=list(names))
    whole = made.facet(facet=facet, columns=2, data=alt.NamedData(name="rows"), spacing=18)
    free = whole.resolve_scale(y="independent").to_dict(validate=False)
    return marks.panels(free, len(names), least=240, spare=80)
