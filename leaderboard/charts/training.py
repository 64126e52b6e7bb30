"""Training loss step by step: each seed faint, the mean over seeds in front, a panel a task."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt

from leaderboard.charts import marks
from leaderboard.charts.axes import around, log_ticks
from leaderboard.charts.drawing import Picture, Row, clean
from leaderboard.charts.searched import tasks_of
from leaderboard.charts.series import Series, is_default
from leaderboard.charts.words import left_over, listed
from leaderboard.site import BoardView, Entry

TITLE = "Training curves"
TASKS = 4
SEEDS = 3  # faint lines of a variant
POINTS = 40  # of a line
Line = list[tuple[int, float]]


def picture(board: BoardView, series: Series) -> Picture | None:
    """The curves of the rows that have a colour, not at default rates; None where no record has one."""
    names = tasks_of(board)
    several: set[str] = set()
    lines: dict[tuple[str, str], dict[int, Line]] = defaultdict(dict)
    for row in series.rows:
        if is_default(row) or series.name(row) not in series.coloured:
            continue
        for entry in row.entries:
            if len({phase for phase, _, _ in entry.curve}) > 1:
                several.add(series.name(row))
            if line := joined(entry):
                at = series.name(row), names[entry.record.cell.task]
                lines[at][entry.record.cell.seed or 0] = line
    tasks = sorted({task for _, task in lines})
    kept = {at: seeds for at, seeds in lines.items() if at[1] in tasks[:TASKS]}
    rows = [row for at, seeds in kept.items() for row in _rows(at, seeds)]
    if not rows:
        return None
    phased = sorted({variant for variant, _ in kept} & several)
    phases = f" {listed(phased)}: in phases, drawn one after the other." if phased else ""
    only = " Only variants with a colour of their own are drawn." if series.grey else ""
    sentence = f"{_sentence(kept)}{phases}{only}{left_over(tasks, TASKS, 'tasks')}"
    chart = _chart(rows, [clean(task) for task in tasks[:TASKS]], series)
    return Picture("curves", TITLE, sentence, chart, rows)


def joined(entry: Entry) -> Line:
    """(step, loss) over all phases, each counted on from the last; without what no log axis can show."""
    found: Line = []
    start, last, phase = 0, 0, None
    for at, step, loss in sorted(entry.curve, key=lambda point: point[:2]):
        if at != phase:
            start, phase = (last + 1 if phase is not None else 0), at
        last = start + step
        if math.isfinite(loss) and loss > 0:
            found.append((last, loss))
    return found


def _thin(line: Line) -> Line:
    last = len(line) - 1
    if last < POINTS:
        return line
    return [line[i * last // (POINTS - 1)] for i in range(POINTS)]


def _mean(seeds: Sequence[Line]) -> Line:
    """Over the seeds, where all have a point."""
    sums: dict[int, list[float]] = defaultdict(list)
    for line in seeds:
        for step, loss in line:
            sums[step].append(loss)
    return [(step, math.fsum(v) / len(v)) for step, v in sorted(sums.items()) if len(v) == len(seeds)]


def _rows(at: tuple[str, str], seeds: dict[int, Line]) -> Iterator[Row]:
    variant, task = at
    shared = {"task": clean(task), "series": variant}
    for seed in sorted(seeds)[:SEEDS] if len(seeds) > 1 else []:
        for step, loss in _thin(seeds[seed]):
            yield {**shared, "what": "seed", "seed": seed, "step": step, "loss": loss}
    for step, loss in _thin(_mean(list(seeds.values()))):
        yield {**shared, "what": "mean", "seed": None, "step": step, "loss": loss}


def _sentence(kept: dict[tuple[str, str], dict[int, Line]]) -> str:
    told = []
    for task in sorted({task for _, task in kept}):
        ends = {}
        for (variant, name), seeds in kept.items():
            if name == task:
                last = [loss for line in seeds.values() for _, loss in line[-max(1, len(line) // 10) :]]
                ends[variant] = math.fsum(last) / len(last)
        low, high = min(ends, key=lambda name: ends[name]), max(ends, key=lambda name: ends[name])
        told.append(
            f"{clean(task)}: from {ends[low]:.2f} ({low}) to {ends[high]:.2f} ({high})"
            if len(ends) > 1
            else f"{clean(task)}: {ends[low]:.2f} ({low})"
        )
    seeds = {len(lines) for lines in kept.values()}
    many = f"{min(seeds)} to {max(seeds)}" if len(seeds) > 1 else str(max(seeds))
    faint = "each seed faint" if max(seeds) <= SEEDS else f"{SEEDS} of the seeds faint"
    over = f"The line is the mean over {many} seeds, {faint}." if max(seeds) > 1 else "One seed each."
    return (
        f"Loss over the last tenth of training: {'; '.join(told)}. {over} "
        "A point is the loss of one batch, nats per token."
    )


def _chart(rows: Sequence[Row], tasks: Sequence[str], series: Series) -> dict[str, Any]:
    present = [row["series"] for row in rows]
    up = around([row["loss"] for row in rows])
    y = alt.Y(
        "loss:Q",
        title="training loss (log)",
        scale=alt.Scale(type="log", domain=up, nice=False),
        axis=alt.Axis(values=log_ticks(up[0], up[1]), format="~g"),
    )
    x = alt.X("step:Q", title="step", axis=alt.Axis(tickCount=4))
    tooltip = marks.tips(
        ("series", "variant"), ("task", "task"), ("step", "step", "d"), ("loss", "loss", ".3f")
    )
    base = alt.Chart().encode(x=x, y=y, color=series.colour(present))
    layers = [
        marks.where(base, "what", "seed").mark_line(strokeWidth=1, opacity=0.22).encode(detail="seed:N"),
        marks.where(base, "what", "mean").mark_line(strokeWidth=2),
        marks.where(base, "what", "mean").mark_point(filled=True, size=90, opacity=0).encode(tooltip=tooltip),
    ]
    inner = marks.layered(layers, height=260, width=200)
    whole = marks.faceted(inner, alt.Facet("task:N", title=None, sort=list(tasks)), spacing=16)
    return marks.panels(whole, len(tasks), least=200, spare=60)
