"""Scores of others, one run each: the share that was right, with Wilson's interval, best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from leaderboard.charts import marks
from leaderboard.charts.drawing import Picture, Row, clean
from suite.outside_scores import Reported, Run, title_of

MOST = 80  # runs of a picture
FIRST, BEHIND = "rank 1: none is better beyond doubt", "a lower rank"
TITLE = "Scores with what the choice of items alone leaves open"


def picture(found: Reported) -> Picture | None:
    """None where nothing is ranked: without a number of items there is no interval."""
    if found.ranking is None:
        return None
    rows = _rows([run for run in found.runs if run.share])
    return Picture("shares", TITLE, "", _chart([row["name"] for row in rows]), rows)


def _rows(runs: Sequence[Run]) -> list[Row]:
    names: dict[str, int] = {}
    rows = []
    for run in runs[:MOST]:
        assert run.share is not None and run.score is not None
        name = clean(title_of(run.record))
        names[name] = names.get(name, 0) + 1
        cost, source = run.record.cost, run.record.source
        rows.append(
            {
                "name": name if names[name] == 1 else f"{name[:70]} ({names[name]})",
                "score": 100 * run.score,
                "score_low": 100 * run.share.low,
                "score_high": 100 * run.share.high,
                "right": run.share.right,
                "items": run.share.items,
                "rank": run.rank,
                "ties": run.ties,
                "group": FIRST if run.rank == 1 else BEHIND,
                "learning_rate": run.record.cell.learning_rate,
                "trainable_parameters": run.record.trainable_parameters,
                "peak_memory_bytes": cost.peak_memory_bytes if cost else None,
                "train_seconds": cost.train_wall_s if cost else None,
                "file": source.file if source else None,
                "commit": source.commit if source else None,
            }
        )
    return rows


def _chart(order: Sequence[str]) -> dict[str, Any]:
    tooltip = marks.tips(
        ("name", "run"),
        ("score", "score", ".1f"),
        ("score_low", "from", ".1f"),
        ("score_high", "to", ".1f"),
        ("right", "items right", "d"),
        ("items", "of", "d"),
        ("rank", "rank", "d"),
        ("ties", "cannot be told from", "d"),
    )
    scale = alt.Scale(domain=[FIRST, BEHIND])
    legend = alt.Legend(title=None, symbolOpacity=1, labelLimit=260)
    base = alt.Chart().encode(
        x=alt.X("score:Q", title="score, points", axis=alt.Axis(orient="top")),
        y=alt.Y(
            "name:N",
            sort=list(order),
            title=None,
            axis=alt.Axis(labelLimit=260, grid=True, domain=False, ticks=False),
        ),
        tooltip=tooltip,
        color=alt.Color("group:N", scale=scale, legend=legend),
    )
    shaped = base.encode(shape=alt.Shape("group:N", scale=scale, legend=legend))
    points = shaped.mark_point(size=60, filled=True, opacity=1)
    made = alt.layer(marks.span(base, "score", "x"), points).properties(height=17 * len(order))
    return made.to_dict(validate=False)
