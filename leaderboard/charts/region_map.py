"""The low-regret map of one task: verdicts by rank and size, or intervals where there is one size alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt

from leaderboard.charts import marks
from leaderboard.charts.drawing import Picture, Row, clean
from suite.regions import Family, Point, Quantity, Size
from suite.words import numbered

MOST = 60  # rows of a picture
SIGNS = {
    "within noise": "\N{ALMOST EQUAL TO}",
    "behind": "\N{BLACK DOWN-POINTING TRIANGLE}",
    "ahead": "\N{BLACK UP-POINTING TRIANGLE}",
    "cannot tell": "?",
    "no full fine-tuning there": "\N{EN DASH}",
}
STYLES = {"within noise": "better", "behind": "worse", "ahead": "better"}


def picture(task: str, families: Sequence[Family]) -> Picture:
    """By held-out loss, or by gain where no point has losses."""
    points = [point for family in families for point in family.points]
    quantity: Quantity = (
        "gain" if all(point.regrets["loss"].comparison is None for point in points) else "loss"
    )
    texts = size_texts({point.size for point in points})
    rows = [_row(family, point, quantity, texts) for family in families for point in family.points]
    order = list(dict.fromkeys(row["variant"] for row in rows))
    left = f" Of {len(order)} rows the first {MOST} are drawn." if len(order) > MOST else ""
    rows = [row for row in rows if row["variant"] in order[:MOST]]
    title = f"{clean(task)}: {'held-out loss' if quantity == 'loss' else 'gain'} against full fine-tuning"
    told = _sentence(task, points, quantity) + left
    columns = [texts[size] for size in sorted(texts, key=_order)]
    order = order[:MOST]
    known = any(row["regret"] is not None for row in rows)
    alone = len(columns) == 1 and known
    chart = _intervals(order, quantity) if alone else _grid(order, columns, quantity)
    return Picture("region", title, told, chart, rows)


def rank_text(rank: float | None, alpha: float | None) -> str:
    """'rank 16, alpha 32'; 'no rank' of a variant without one."""
    told = "no rank" if rank is None else f"rank {rank:g}"
    return told if alpha is None else f"{told}, alpha {alpha:g}"


def size_texts(sizes: Iterable[Size]) -> dict[Size, str]:
    """'200 steps of 8' by size, with what else tells it from the others."""
    known = sorted(sizes, key=_order)
    found = {}
    for size in known:
        parts = [f"{size.steps} steps of {size.batch_size}"]
        for name in ("examples", "tokens"):
            count = getattr(size, name)
            if count is not None:
                parts.append(f"first {count:,} {name}")
            elif any(getattr(one, name) is not None for one in known):
                parts.append(f"all {name}")
        if len({one.track for one in known}) > 1:
            parts.append(clean(size.track))
        found[size] = ", ".join(parts)
    return found


def _order(size: Size) -> tuple[int, int, int, int, str]:
    return size.examples or 0, size.tokens or 0, size.steps, size.batch_size, size.track


def _row(family: Family, point: Point, quantity: Quantity, texts: dict[Size, str]) -> Row:
    regret = point.regrets[quantity]
    found = regret.comparison.interval if regret.comparison else None
    return {
        "task": clean(family.task),
        "variant": clean(f"{family.label[:50]}, {rank_text(point.rank, point.alpha)}"),
        "name": family.label,
        "rank": point.rank,
        "alpha": point.alpha,
        "size": texts[point.size],
        "steps": point.size.steps,
        "batch_size": point.size.batch_size,
        "examples": point.size.examples,
        "tokens": point.size.tokens,
        "verdict": regret.verdict,
        "sign": SIGNS[regret.verdict],
        "regret": found.value if found else None,
        "regret_low": found.low if found else None,
        "regret_high": found.high if found else None,
        "margin": regret.margin,
        "p": regret.p,
        "seeds": found.seeds if found else None,
        "rate": point.best.rate,
        "rates_tried": point.best.tried,
        "rate_full": point.reference.rate if point.reference else None,
        "why": regret.why,
    }


def _sentence(task: str, points: Sequence[Point], quantity: Quantity) -> str:
    verdicts = [point.regrets[quantity].verdict for point in points]
    parts = [f"{verdicts.count(word)} {word}" for word in SIGNS if word in verdicts]
    told = f"{clean(task)}, {'held-out loss' if quantity == 'loss' else 'gain'}: {', '.join(parts)}"
    sizes = {point.size for point in points}
    if len(points) > 1:
        ranks = {point.rank for point in points}
        told += f", of {len(points)} points ({numbered(len(ranks), 'rank')}, {numbered(len(sizes), 'size')})"
    if len(sizes) == 1:
        return f"{told}. Right of the line is behind full fine-tuning; bars are 95 % intervals."
    return f"{told}. A cell is one point against full fine-tuning of its size; nothing is said in between."


def _tips(quantity: Quantity) -> list[alt.Tooltip]:
    unit, form = ("nats", "+.3f") if quantity == "loss" else ("points", marks.SIGNED)
    return marks.tips(
        ("variant", "variant"),
        ("size", "size"),
        ("verdict", "verdict"),
        ("regret", f"regret, {unit}", form),
        ("regret_low", "from", form),
        ("regret_high", "to", form),
        ("margin", "too much would be", form),
        ("p", "p (Holm)", ".3g"),
        ("rate", "rate", ".3g"),
        ("rate_full", "full fine-tuning's", ".3g"),
    )


def _grid(order: Sequence[str], sizes: Sequence[str], quantity: Quantity) -> dict[str, Any]:
    bare = {"ticks": False, "domain": False, "labelPadding": 6, "grid": False}
    x_axis = alt.Axis(**bare, orient="top", labelAngle=0 if len(sizes) <= 2 else -30, labelLimit=150)
    base = alt.Chart().encode(
        x=alt.X("size:N", sort=list(sizes), title=None, axis=x_axis),
        y=alt.Y("variant:N", sort=list(order), title=None, axis=alt.Axis(**bare, labelLimit=240)),
        tooltip=_tips(quantity),
    )
    layers = [
        marks.where(base, "verdict", word).mark_rect(style=STYLES.get(word, "tie"), cornerRadius=3)
        for word in SIGNS
    ]
    layers.append(base.mark_text(style="ink", fontSize=11, dy=-7).encode(text="sign:N"))
    words = base.mark_text(style="ink", fontSize=11, dy=8).encode(text="verdict:N")
    layers.append(words.properties(name="wide_words"))
    return alt.layer(*layers).properties(height=38 * len(order)).to_dict(validate=False)


def _intervals(order: Sequence[str], quantity: Quantity) -> dict[str, Any]:
    unit = "nats" if quantity == "loss" else "points"
    axis = alt.Axis(labelLimit=240, grid=True, domain=False, ticks=False)
    base = alt.Chart().encode(
        x=alt.X("regret:Q", title=f"behind full fine-tuning, {unit}"),
        y=alt.Y("variant:N", sort=list(order), title=None, axis=axis),
        tooltip=_tips(quantity),
    )
    zero = alt.Chart().mark_rule(strokeWidth=1.5).encode(x=alt.datum(0))
    words = base.mark_text(style="soft", align="left", dx=10, dy=-9, fontSize=11)
    layers = [zero, marks.span(base, "regret", "x"), base.mark_point(size=80, filled=True, opacity=1)]
    layers.append(words.encode(text="verdict:N").properties(name="wide_words"))
    return alt.layer(*layers).properties(height=34 * len(order)).to_dict(validate=False)
