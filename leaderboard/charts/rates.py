"""Validation loss against learning rate: a panel a variant and task, all with the same axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt

from leaderboard.charts import marks
from leaderboard.charts.axes import around, log_ticks
from leaderboard.charts.drawing import Picture, Row, clean
from leaderboard.charts.searched import Searched
from leaderboard.charts.series import Series
from leaderboard.charts.words import counted, left_over, listed
from suite.optimum import Optimum, optimum
from suite.words import rate

TITLE = "Loss against learning rate"
VARIANTS = 8
TASKS = 4
HEIGHT = 92
TOP, BOTTOM = 5, HEIGHT - 5  # px, where cells that diverged and the documented rate stand
CROSS = "M-1,-1L1,1M1,-1L-1,1"


def picture(searches: Sequence[Searched], series: Series) -> Picture | None:
    """The small multiples of a board; None where no variant was trained at two rates or more."""
    names = list(dict.fromkeys(one.variant for one in searches))
    tasks = sorted({one.task for one in searches})
    shown = [one for one in searches if one.variant in names[:VARIANTS] and one.task in tasks[:TASKS]]
    optima = {id(one): optimum(one.curve) for one in shown}
    rows = [row for one in shown for row in _rows(one, optima[id(one)], series)]
    losses = [row["loss"] for row in rows if row["loss"] is not None]
    if not losses:
        return None
    left = left_over(names, VARIANTS, "variants") + left_over(tasks, TASKS, "tasks")
    sentence = f"{_sentence(shown, [optima[id(one)] for one in shown], series)}{left}"
    chart = _chart(rows, losses, names[:VARIANTS], [clean(task) for task in tasks[:TASKS]], series)
    return Picture("rates", TITLE, sentence, chart, rows)


def _rows(one: Searched, found: Optimum | None, series: Series) -> Iterator[Row]:
    curve = one.curve
    shared = {"variant": one.variant, "series": series.group(one.variant), "task": clean(one.task)}

    def row(what: str, at: float, loss: float | None, **more: Any) -> Row:
        empty = {"seed": None, "low": None, "high": None}
        return {**shared, "what": what, "rate": at, "loss": loss, **empty, **more}

    for i, at in enumerate(curve.rates):
        for j, seed in enumerate(curve.seeds):
            loss = float(curve.losses[i, j])
            if math.isinf(loss):
                yield row("diverged", at, None, seed=seed)
            elif not math.isnan(loss) and loss > 0:
                yield row("seed", at, loss, seed=seed)
        mean = float(curve.means[i])
        if math.isfinite(mean) and mean > 0:
            yield row("mean", at, mean)
    if one.documented is not None:
        yield row("documented", one.documented, None)
    if found is not None:
        yield row("optimum", found.rate, None, low=found.low, high=found.high)


def _sentence(shown: Sequence[Searched], optima: Sequence[Optimum | None], series: Series) -> str:
    both = [(one, found) for one, found in zip(shown, optima, strict=True) if found is not None]
    inside = [(one, found) for one, found in both if found.edge is None]
    edges = [f"{one.variant} on {one.task}" for one, found in both if found.edge is not None]
    known = [
        (one.documented, found) for one, found in both if one.documented is not None and found.low is not None
    ]
    held = sum((found.low or 0) <= at <= (found.high or math.inf) for at, found in known)
    diverged = sum(int(math.isinf(loss)) for one in shown for loss in one.curve.losses.flat)
    told = f"Searches whose lowest loss lies inside what was tried: {counted(len(inside), len(shown))}"
    told += f"; not so {_listed(edges)}. " if edges else ". "
    if known:
        told += f"The documented rate lies within the optimum's 95 % interval in {held} of {len(known)}. "
    if inside:
        rates = [found.rate for _, found in inside]
        told += (
            f"Optima lie between {rate(float(f'{min(rates):.2g}'))} and {rate(float(f'{max(rates):.2g}'))}. "
        )
    told += f"{diverged} cells diverged (crosses at the top). " if diverged > 1 else ""
    told += "One cell diverged (the cross at the top). " if diverged == 1 else ""
    return (
        f"{told}Small points are seeds, the line their mean, the band the interval of the optimum, "
        "the tick below it the documented rate."
    )


def _listed(names: Sequence[str]) -> str:
    return listed([clean(name) for name in names], most=4)


def _chart(
    rows: Sequence[Row], losses: Sequence[float], names: Sequence[str], tasks: Sequence[str], series: Series
) -> dict[str, Any]:
    across, up = around([row["rate"] for row in rows]), around(losses)
    x = alt.X(
        "rate:Q",
        title="rate (log)",
        scale=alt.Scale(type="log", domain=across, nice=False),
        axis=alt.Axis(values=log_ticks(*across, most=3), format="~g", labelFlush=False),
    )
    y = alt.Y(
        "loss:Q",
        title=None,
        scale=alt.Scale(type="log", domain=up, nice=False),
        axis=alt.Axis(values=log_ticks(*up, most=4), format="~g"),
    )
    at = [("variant", "variant"), ("task", "task"), ("rate", "rate", "~g")]
    loss = [("loss", "loss, nats per token", ".4f")]
    base = alt.Chart().encode(x=x, color=series.colour(None))
    ends = [("low", "95 % from", ".3~g"), ("high", "to", ".3~g")]
    layers = [
        marks.where(base, "what", "optimum")
        .mark_rect(opacity=0.18)
        .encode(x=alt.X("low:Q"), x2="high:Q", tooltip=marks.tips(*at, *ends)),
        marks.where(base, "what", "optimum")
        .mark_rule(strokeWidth=1.5)
        .encode(tooltip=marks.tips(*at, *ends)),
        marks.where(base, "what", "mean").mark_line(strokeWidth=2).encode(y=y),
        marks.where(base, "what", "seed")
        .mark_point(filled=True, size=16, opacity=0.55)
        .encode(y=y, tooltip=marks.tips(*at, ("seed", "seed"), *loss)),
        marks.where(base, "what", "mean")
        .mark_point(filled=True, size=34, opacity=1)
        .encode(y=y, tooltip=marks.tips(*at, *loss)),
        marks.where(alt.Chart(), "what", "diverged")
        .mark_point(shape=CROSS, size=50, strokeWidth=2, style="wrong")
        .encode(x=x, y=alt.value(TOP), tooltip=marks.tips(*at, ("seed", "seed"), ("what", "ended"))),
        marks.where(alt.Chart(), "what", "documented")
        .mark_tick(orient="vertical", size=12, thickness=3, style="ink")
        .encode(x=x, y=alt.value(BOTTOM), tooltip=marks.tips(*at, ("what", "this is"))),
    ]
    inner = marks.layered(layers, height=HEIGHT, width=200)
    side = alt.Header(labelAngle=-90, labelOrient="left", labelPadding=4, labelLimit=HEIGHT + 10)
    facet = {
        "row": alt.Row(
            "variant:N", sort=list(names), title="validation loss, nats per token (log)", header=side
        ),
        "column": alt.Column("task:N", sort=list(tasks), title=None),
    }
    whole = marks.faceted(inner, facet, spacing=10)
    return marks.panels(whole, len(tasks), least=90, spare=70, fixed=True)
