"""The history of each track: what was run again and again, and where a level changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard import charts
from leaderboard.charts import levels
from leaderboard.charts.levels import when
from leaderboard.files import Files
from leaderboard.navigation import frame
from leaderboard.pages import absent, minus, render, size
from leaderboard.site import Site, variant_page
from suite.history import Chronicle, Line, Moment, Series, history
from suite.statistics.steps import FEWEST, MOST, Step
from suite.words import numbered

PAGE = "history.html"
PICTURES = 24
ROWS = 200  # of a table
QUANTITIES = ("gain", "loss", "forgetting", "time", "memory")
NAMES = {"loss": "held-out loss", "time": "training time", "memory": "peak memory"}
MORE_IS_BETTER = {"gain"}


@dataclass(frozen=True)
class Found:
    """One step, in words: the quantity, the last moment before and the first after, and by how much."""

    label: str
    href: str
    task: str
    quantity: str
    before: str
    after: str
    revision: str
    change: str
    interval: str
    better: bool
    sure: bool
    p: float


@dataclass(frozen=True)
class Row:
    """One line of a chronicle: when it ran, and by quantity what became of it."""

    label: str
    href: str
    task: str
    rate: float | None
    moments: int
    first: str
    last: str
    told: tuple[str, ...]
    lost: int


@dataclass(frozen=True)
class View:
    """One chronicle as the page shows it."""

    chronicle: Chronicle
    sentence: str
    steps: tuple[Found, ...]
    rows: tuple[Row, ...]
    pictures: tuple[charts.ChartRef, ...]


def write(files: Files, site: Site) -> None:
    """Write history.html and its pictures."""
    left = PICTURES
    views = []
    for chronicle in history([*site.entries, *site.superseded]):
        views.append(_view(files, chronicle, left))
        left -= len(views[-1].pictures)
    values = {
        "quantities": [_name(one) for one in QUANTITIES],
        "fewest": FEWEST,
        "most": MOST,
        "most_rows": ROWS,
    }
    files.text(PAGE, render("history.html", **frame(site, PAGE), views=views, **values))


def _view(files: Files, chronicle: Chronicle, left: int) -> View:
    found = [
        _found(line, series, number)
        for line in chronicle.lines
        for series in line.series
        for number in range(len(series.steps.steps))
    ]
    found.sort(key=lambda one: (not one.sure, one.after, one.label, one.task, one.quantity))
    return View(
        chronicle=chronicle,
        sentence=sentence(chronicle),
        steps=tuple(found),
        rows=tuple(_row(line) for line in chronicle.lines),
        pictures=_pictures(files, chronicle, left),
    )


def sentence(chronicle: Chronicle) -> str:
    """How much was searched, and what was found."""
    lines = chronicle.lines
    if not lines:
        runs = f"{chronicle.single} {'cell was' if chronicle.single == 1 else 'cells were'}"
        return f"{runs} run at one moment alone, seeds put together: there is nothing to compare yet."
    every = [one for line in lines for one in line.series]
    long = [one for one in every if one.p is not None]
    steps = [one for one in long for _ in one.steps.steps]
    sure = sum(one.sure for one in steps)
    told = f"{numbered(len(every), 'series')} of {_span(lines)}"
    if not long:
        return f"{told}: too few to tell a step from chance, which takes {FEWEST}."
    short = f" ({len(every) - len(long)} with too few)" if len(long) < len(every) else ""
    if not steps:
        return f"{told}{short}: no step found."
    return f"{told}{short}: {numbered(len(steps), 'step')} found, {sure} beyond doubt."


def _span(lines: Sequence[Line]) -> str:
    counts = {len(line.moments) for line in lines}
    low, high = min(counts), max(counts)
    return f"{low} moments" if low == high else f"{low} to {high} moments"


def _row(line: Line) -> Row:
    by_name = {one.quantity: one for one in line.series}
    return Row(
        label=line.label,
        href=variant_page(line.variant),
        task=line.task,
        rate=line.rate,
        moments=len(line.moments),
        first=when(line.moments[0]),
        last=when(line.moments[-1]),
        told=tuple(_told(by_name.get(name)) for name in QUANTITIES),
        lost=line.lost,
    )


def _told(series: Series | None) -> str:
    """'no step found in 20 moments', 'too few (5 of 8)', '1 step'."""
    if series is None:
        return absent()
    count = len(series.values) - series.steps.first
    left = f"; {series.left_out} left out" if series.left_out else ""
    if series.steps.p is None:
        return f"too few: {count} of {FEWEST}{left}"
    if not series.steps.steps:
        return f"no step found in {count} moments{left}"
    sure = "" if series.sure else ", may be chance"
    return f"{numbered(len(series.steps.steps), 'step')} in {count} moments{sure}{left}"


def _found(line: Line, series: Series, number: int) -> Found:
    step, old = series.steps.steps[number], series.steps.levels[number]
    before, after = (line.moments[series.at[at]] for at in (step.at - 1, step.at))
    change, interval = _amount(series.quantity, step, old.value)
    return Found(
        label=line.label,
        href=variant_page(line.variant),
        task=line.task,
        quantity=_name(series.quantity),
        before=when(before),
        after=when(after),
        revision=_revision(before, after),
        change=change,
        interval=interval,
        better=(step.change > 0) == (series.quantity in MORE_IS_BETTER),
        sure=series.sure,
        p=series.p or 0.0,
    )


def _revision(before: Moment, after: Moment) -> str:
    """A change on purpose: the variant's revision went up with the step."""
    old, new = (", ".join(map(str, one.revisions)) for one in (before, after))
    return f"revision {old} became {new}" if old != new else ""


def _amount(quantity: str, step: Step, old: float) -> tuple[str, str]:
    """By how much, and its interval; of times and memory the share of the old level too."""

    def shown(value: float) -> str:
        if quantity == "loss":
            return minus(f"{value:+.3f}")
        if quantity == "memory":
            return f"{'+' if value >= 0 else minus('-')}{size(round(abs(value)))}"
        return minus(f"{value:+.1f}")

    unit = {"loss": " nats", "memory": "", "time": " s"}.get(quantity, " points")
    share = (
        f" ({minus(f'{100 * step.change / old:+.0f}')} %)" if quantity in ("time", "memory") and old else ""
    )
    if step.low is None or step.high is None:
        return f"{shown(step.change)}{unit}{share}", "too few moments for an interval"
    return f"{shown(step.change)}{unit}{share}", f"[{shown(step.low)}, {shown(step.high)}]"


def _name(quantity: str) -> str:
    return NAMES.get(quantity, quantity)


def _pictures(files: Files, chronicle: Chronicle, left: int) -> tuple[charts.ChartRef, ...]:
    """One a task and quantity, as many as are left."""
    found: list[charts.ChartRef] = []
    tasks = list(dict.fromkeys(line.task for line in chronicle.lines))
    for at, task in enumerate(tasks):
        for quantity in QUANTITIES:
            drawn = [
                (line, one)
                for line in chronicle.lines
                for one in line.series
                if line.task == task and one.quantity == quantity
            ]
            if not drawn or len(found) >= left:
                continue
            picture = levels.picture(task, quantity, drawn, _seen(drawn))
            name = f"history-{chronicle.id}-{at}-{quantity}"
            told = (picture.title, picture.sentence, picture.kind)
            assert picture.chart is not None
            found.append(charts.put(files, name, picture.chart, picture.rows, *told))
    return tuple(found)


def _seen(drawn: Sequence[tuple[Line, Series]]) -> str:
    """What a picture shows: who changed level, and when."""
    told = [
        f"{line.label} from {when(line.moments[one.at[step.at]])}" + ("" if one.sure else " (may be chance)")
        for line, one in drawn
        for step in one.steps.steps
    ]
    if not told:
        long = sum(one.p is not None for _, one in drawn)
        return "No step found." if long else f"Too few moments to tell a step: it takes {FEWEST}."
    more = f" and {len(told) - 4} more" if len(told) > 4 else ""
    return f"A change of level: {'; '.join(told[:4])}{more}."
