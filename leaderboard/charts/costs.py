"""The gain against what it cost: trainable parameters, peak memory, time; only what may be compared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from leaderboard.charts import marks
from leaderboard.charts.axes import around, log_ticks
from leaderboard.charts.drawing import Picture, Row, clean
from leaderboard.charts.labels import placed
from leaderboard.charts.series import Series
from leaderboard.charts.words import listed
from leaderboard.site import BoardView, RowCost, RowView
from suite import words
from suite.statistics.fronts import undominated

HEIGHT = 320
APART = 0.014  # of the axis: how far rows of one number are drawn from each other
MIB = 2**20


@dataclass(frozen=True)
class Quantity:
    """One cost: where it is found, how it is told, and which ways of measuring it a row has met."""

    kind: str
    title: str
    axis: str
    value: Callable[[RowCost], float | None]
    told: Callable[[float], str]
    ways: Callable[[RowCost], tuple[str, ...]]
    way: str


QUANTITIES = (
    Quantity(
        "parameters",
        "Gain against trainable parameters",
        "trainable parameters",
        lambda cost: cost.trainable,
        lambda value: words.count(round(value)),
        lambda cost: (),
        "",
    ),
    Quantity(
        "memory",
        "Gain against peak memory",
        "peak memory of training, MiB",
        lambda cost: None if cost.peak_memory_bytes is None else cost.peak_memory_bytes / MIB,
        lambda value: f"{value:,.3g} MiB",
        lambda cost: cost.memory_methods,
        "way of counting memory",
    ),
    Quantity(
        "time",
        "Gain against time of training",
        "mean training time of a cell, seconds",
        lambda cost: cost.train_s,
        words.duration,
        lambda cost: cost.devices,
        "device",
    ),
)


def pictures(board: BoardView, series: Series) -> list[Picture]:
    """One a cost. A cost that was measured in several ways is not drawn, and the sentence says why."""
    gained = [row for row in series.rows if row.place.gain]
    found = [_picture(quantity, gained, series) for quantity in QUANTITIES]
    return [picture for picture in found if picture is not None]


def _picture(quantity: Quantity, gained: Sequence[RowView], series: Series) -> Picture | None:
    known = [(row, value) for row in gained if (value := quantity.value(row.cost)) is not None and value > 0]
    if not known:
        return None
    ways = sorted({clean(way) for row, _ in known for way in quantity.ways(row.cost)})
    if len(ways) > 1:
        why = f"Not drawn: these rows were measured with more than one {quantity.way} ({listed(ways)}), "
        return Picture(quantity.kind, quantity.title, f"{why}so their numbers cannot be compared.")
    rows = beside([_row(row, value, series) for row, value in known])
    moved = (
        " Rows of one number stand beside each other."
        if any(r["drawn_at"] != r["cost"] for r in rows)
        else ""
    )
    rows = placed(rows, ("drawn_at",), ("gain", "gain_low", "gain_high"), HEIGHT, log=True)
    measured = f" All with one {quantity.way}: {ways[0]}." if ways else ""
    missing = len(gained) - len(known)
    without = f" {missing} more without a number." if missing else ""
    sentence = f"{_sentence(quantity, known, series)}{measured}{without}{moved}{series.left}"
    return Picture(quantity.kind, quantity.title, sentence, _chart(quantity, rows, series), rows)


def _sentence(quantity: Quantity, known: Sequence[tuple[RowView, float]], series: Series) -> str:
    low_row, low = min(known, key=lambda one: one[1])
    high_row, high = max(known, key=lambda one: one[1])
    told = f"From {quantity.told(low)} ({series.label(low_row)}) to {quantity.told(high)} "
    told += f"({series.label(high_row)})" if high > low else "for all"
    ranked = {row.key: (row, value) for row, value in known if row.place.rank is not None}
    points = {key: (row.place.gain.value, -value) for key, (row, value) in ranked.items() if row.place.gain}
    if points:
        front = [series.label(ranked[key][0]) for key in undominated(points)]
        told += f"; by the estimates no other variant gains more for less than {listed(front)}"
    return f"{told}. Bars are 95 % intervals of the mean gain."


def _row(row: RowView, value: float, series: Series) -> Row:
    gain = row.place.gain
    assert gain
    return {
        "variant": series.label(row),
        "series": series.group(series.name(row)),
        "rates": marks.rates_word(row.place.row.kind),
        "cost": value,
        "gain": gain.value,
        "gain_low": gain.low,
        "gain_high": gain.high,
    }


def beside(rows: Sequence[Row]) -> list[Row]:
    """The rows with `drawn_at`: the cost, or a little off it where several have the very same."""
    costs = [row["cost"] for row in rows]
    low, high = around(costs)
    step = APART * math.log(high / low)
    seen: Counter[float] = Counter()
    found = []
    for row in rows:
        cost = row["cost"]
        offset = seen[cost] - (costs.count(cost) - 1) / 2
        seen[cost] += 1
        found.append({**row, "drawn_at": cost * math.exp(offset * step) if offset else cost})
    return found


def _chart(quantity: Quantity, rows: Sequence[Row], series: Series) -> dict[str, Any]:
    present = [row["series"] for row in rows]
    ends = around([row["drawn_at"] for row in rows])
    scale = alt.Scale(type="log", domain=ends, nice=False)
    axis = alt.Axis(
        values=log_ticks(ends[0], ends[1]), format="~s" if quantity.kind == "parameters" else "~g"
    )
    x = alt.X("drawn_at:Q", title=f"{quantity.axis} (log)", scale=scale, axis=axis)
    y = alt.Y("gain:Q", title="mean gain, points", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    tooltip = marks.tips(
        ("variant", "variant"),
        ("cost", quantity.axis, ",.4~g"),
        ("gain", "gain", marks.SIGNED),
        ("gain_low", "from", marks.SIGNED),
        ("gain_high", "to", marks.SIGNED),
    )
    base = alt.Chart().encode(x=x, y=y, color=series.colour(present), tooltip=tooltip)
    layers = [
        marks.span(base, "gain", "y"),
        *marks.points(base, series, present),
        *marks.names(x, y),
    ]
    return marks.layered(layers, height=HEIGHT)
