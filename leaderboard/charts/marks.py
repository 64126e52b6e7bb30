"""Pieces that several pictures are made of: filters, intervals, filled and hollow points, panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from leaderboard.charts.series import Series

SIGNED = "+.1f"
HOLLOW = "default"  # the value of `rates` whose points are hollow


def where(chart: alt.Chart, field: str, *values: Any) -> alt.Chart:
    """The chart of the rows whose `field` is one of these: a predicate, never an expression."""
    return chart.transform_filter(alt.FieldOneOfPredicate(oneOf=list(values), field=field))


def tips(*shown: tuple[str, str] | tuple[str, str, str]) -> list[alt.Tooltip]:
    """Tooltips from (field, title) for texts and (field, title, format) for numbers."""
    return [
        alt.Tooltip(f"{field}:Q", title=title, format=form[0])
        if form
        else alt.Tooltip(f"{field}:N", title=title)
        for field, title, *form in shown
    ]


def points(
    base: alt.Chart, series: Series, present: Sequence[str] | None, size: int = 110
) -> list[alt.Chart]:
    """A point a row, in the variant's shape: hollow at default rates."""
    shaped = base.encode(shape=series.shape(present))
    hollow = where(shaped, "rates", HOLLOW)
    under = where(alt.Chart(), "rates", HOLLOW).mark_point(size=size, filled=True, opacity=1, style="card")
    return [
        under.encode(x=base.encoding.x, y=base.encoding.y, shape=series.shape(present)),
        hollow.mark_point(size=size, strokeWidth=2, opacity=1),
        where(shaped, "rates", "tuned", "as run").mark_point(size=size, filled=True, opacity=1),
    ]


def names(x: Any, y: Any) -> list[alt.Chart]:
    """Names beside the points, where `labels.placed` found room; left out where a page is narrow."""
    right, left = (
        where(alt.Chart(name=f"wide_{side}"), "side", side).encode(x=x, y=y, text="variant:N")
        for side in ("right", "left")
    )
    return [
        right.mark_text(align="left", dx=9, dy=-9, style="soft"),
        left.mark_text(align="right", dx=-9, dy=-9, style="soft"),
    ]


def span(base: alt.Chart, field: str, along: str) -> alt.Chart:
    """The interval <field>_low .. <field>_high as a line along 'x' or 'y'."""
    low, high = f"{field}_low:Q", f"{field}_high:Q"
    rule = base.mark_rule(opacity=0.5, strokeWidth=1.75)
    return rule.encode(x=alt.X(low), x2=high) if along == "x" else rule.encode(y=alt.Y(low), y2=high)


def layered(layers: Sequence[alt.Chart], **size: int) -> dict[str, Any]:
    """The charts on top of each other. Altair's own `layer` copies them all, ten times as slow."""
    return {"layer": [one.to_dict(validate=False) for one in layers], **size}


def faceted(
    inner: dict[str, Any], facet: dict[str, alt.Facet | alt.Row | alt.Column] | alt.Facet, spacing: int
) -> dict[str, Any]:
    """A panel each: by one field in as many columns as fit, or by `row` and `column`."""
    parts: dict[str, Any] = facet if isinstance(facet, dict) else {"facet": facet}
    made = alt.Chart().encode(**parts).to_dict(validate=False)["encoding"]
    kept = {"row": made["row"], "column": made["column"]} if isinstance(facet, dict) else made["facet"]
    return {
        "facet": kept,
        "spec": inner,
        "spacing": spacing,
        **({} if isinstance(facet, dict) else {"columns": 3}),
    }


def panels(chart: dict[str, Any], count: int, least: int, spare: int, fixed: bool = False) -> dict[str, Any]:
    """The chart with a note of how its panels fit into a width: see static/charts.js and charts/svg.py.

    `least` is the smallest width of a panel, `spare` what axes and headers take beside them, in pixels;
    `fixed` panels stand in `count` columns, others in as many as there is room for.
    """
    about = {"panels": count, "least": least, "spare": spare, **({"fixed": count} if fixed else {})}
    return {**chart, "usermeta": {"suite": about}}


def rates_word(kind: str | None) -> str:
    """What the field `rates` says of a row: at which learning rates its cells ran."""
    return {"tuned": "tuned", "default": HOLLOW}.get(kind or "", "as run")
