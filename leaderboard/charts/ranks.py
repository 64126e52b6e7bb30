"""Of how many directions each weight change consists: a panel a variant, layers across, modules down."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from leaderboard.charts import marks
from leaderboard.charts.axes import log_ticks
from leaderboard.charts.drawing import Picture, Row, clean
from leaderboard.charts.series import Series, is_default
from leaderboard.charts.words import left_over, listed
from leaderboard.site import BoardView, RowView
from suite.record import DeltaRank

TITLE = "Rank of each weight change"
VARIANTS = 8
LAYERS = 100
KINDS = 12
NUMBERS = 8  # layers up to which a cell has room for its number
HIGH = 0.65  # of the colours' way from which on a number is written in the colour of the card
NONE = "No record of this board says of what rank its weight changes are, so there is nothing to draw."
_LAYER = re.compile(r"(?:^|\.)(\d+)\.")
Place = tuple[int, str]  # layer, kind of module


def picture(board: BoardView, series: Series) -> Picture:
    """The heat maps of a board; without a picture where no record has ranks."""
    found: dict[str, dict[Place, list[DeltaRank]]] = {}
    for row in series.rows:
        if not is_default(row) and (ranks := _places(row)):
            found[series.name(row)] = ranks
    if not found:
        return Picture("ranks", TITLE, NONE)
    names = list(found)
    rows = [row for name in names[:VARIANTS] for row in _rows(name, found[name])]
    kinds = list(dict.fromkeys(row["module"] for row in rows))[:KINDS]
    rows = [row for row in rows if row["module"] in kinds]
    most = math.log(max(2.0, *(row["ninety"] for row in rows)))
    rows = [{**row, "high": math.log(max(row["ninety"], 1)) > HIGH * most} for row in rows]
    without = len({series.name(row) for row in series.rows if not is_default(row)}) - len(names)
    more = f" Without ranks in their records: {without} more." if without else ""
    outside = " Weights outside of layers are not drawn." if any(map(_outside, series.rows)) else ""
    sentence = f"{_sentence(rows)}{outside}{left_over(names, VARIANTS, 'variants')}{more}"
    return Picture("ranks", TITLE, sentence, _chart(rows, names[:VARIANTS], kinds), rows)


def place(name: str) -> Place | None:
    """(layer, module) of a weight's name: the first number in it, and what follows; None without a number."""
    match = _LAYER.search(name)
    if match is None or len(match[1]) > 4:
        return None
    parts = name[match.end() :].removesuffix(".weight").split(".")
    return int(match[1]), clean(parts[-1] if parts[-1] else name)


def _places(row: RowView) -> dict[Place, list[DeltaRank]]:
    """All ranks of a row, over tasks and seeds."""
    found: dict[Place, list[DeltaRank]] = defaultdict(list)
    for entry in row.entries:
        effect = entry.record.effect
        for name, rank in (effect.ranks if effect else {}).items():
            at = place(name)
            if at is not None and at[0] < LAYERS:
                found[at].append(rank)
    return found


def _outside(row: RowView) -> bool:
    """Whether a row has ranks of weights that belong to no layer, such as embeddings."""
    effects = [entry.record.effect for entry in row.entries]
    return any(place(name) is None for effect in effects if effect for name in effect.ranks)


def _rows(name: str, places: Mapping[Place, Sequence[DeltaRank]]) -> list[Row]:
    return [
        {
            "variant": name,
            "layer": layer,
            "module": module,
            "ninety": _mean([one.ninety for one in ranks]),
            "stable": _mean([one.stable for one in ranks]),
            "numeric": _mean([one.numeric for one in ranks]),
            "full": max(one.full for one in ranks),
            "cells": len(ranks),
        }
        for (layer, module), ranks in places.items()
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _sentence(rows: Sequence[Row]) -> str:
    by_variant: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        by_variant[row["variant"]].append(row["ninety"])
    means = {name: _mean(values) for name, values in by_variant.items()}
    told = listed(
        [f"{name} {value:.1f}" for name, value in sorted(means.items(), key=lambda one: one[1])], most=9
    )
    full = sorted({row["full"] for row in rows})
    of = f"{full[0]}" if len(full) == 1 else f"{full[0]} to {full[-1]}"
    return (
        f"Directions that hold 90 % of a weight change (its squared norm), mean over weights: {told}; "
        f"there could be {of}. A cell is the mean over tasks and seeds."
    )


def _chart(rows: Sequence[Row], names: Sequence[str], kinds: Sequence[str]) -> dict[str, Any]:
    layers = sorted({row["layer"] for row in rows})
    values = [max(row["ninety"], 1) for row in rows]
    ends = [1, max(2.0, *values)]
    bare = alt.Axis(ticks=False, domain=False, grid=False, labelAngle=0, labelOverlap=True)
    colour = alt.Color(
        "ninety:Q",
        title="directions (log)",
        scale=alt.Scale(type="log", domain=ends, range="heatmap", clamp=True, nice=False),
        legend=alt.Legend(gradientLength=160, values=log_ticks(*ends), format="~g"),
    )
    tooltip = marks.tips(
        ("variant", "variant"),
        ("layer", "layer", "d"),
        ("module", "module"),
        ("ninety", "directions of 90 %", ".1f"),
        ("stable", "stable rank", ".2f"),
        ("numeric", "numeric rank", ".1f"),
        ("full", "at most", "d"),
        ("cells", "cells", "d"),
    )
    base = alt.Chart().encode(
        x=alt.X("layer:O", title="layer", axis=bare),
        y=alt.Y("module:N", title=None, sort=list(kinds), axis=bare),
        tooltip=tooltip,
    )
    made = [base.mark_rect(cornerRadius=2).encode(color=colour)]
    if len(layers) <= NUMBERS:
        number = base.encode(text=alt.Text("ninety:Q", format=".0f"))
        pale = marks.where(number, "high", False).mark_text(fontSize=11, style="ink")
        dark = marks.where(number, "high", True).mark_text(fontSize=11, style="card")
        made += [pale, dark]
    inner = marks.layered(made, height=20 * len(kinds), width=200)
    whole = marks.faceted(inner, alt.Facet("variant:N", title=None, sort=list(names)), spacing=18)
    return marks.panels(whole, len(names), least=150, spare=100)
