"""Changes as a reader sees them in the gate's answers."""

from __future__ import annotations

import math

from suite.gate.report import Report, Row
from suite.gate.settings import Metric

MOST_OF_LINE = 500  # characters
VERDICTS = {
    "pass": "nothing got worse by more than is tolerated",
    "fail": "something got worse, or is not what it was",
    "inconclusive": "it cannot be told, or something moved that should be looked at",
}


def plain(text: object) -> str:
    """Text as one line of printable characters: names and errors may come from anywhere."""
    return "".join(c if c.isprintable() else " " for c in " ".join(str(text).split()))


def shortened(text: str) -> str:
    """One line of an error; what it names may be of any length."""
    line = plain(text)
    return line if len(line) <= MOST_OF_LINE else f"{line[:MOST_OF_LINE]}..."


def headline(report: Report) -> str:
    """What was judged and how it came out, in a sentence."""
    counts = ", ".join(f"{n} {verdict}" for verdict, n in report.counts.items())
    groups = {(row.variant, row.task) for row in report.rows if row.variant and row.task}
    return f"{VERDICTS[report.verdict]} (checks: {counts}; {len(groups)} pairs of variant and task)"


def told(report: Report) -> list[Row]:
    """The rows that a reader has to see: failed, then undecided, then what moved and passes."""
    order = ("fail", "inconclusive")
    moved = [row for row in report.rows if row.moved and row.verdict not in order]
    return [*report.with_verdict("fail"), *report.with_verdict("inconclusive"), *moved]


def value(row: Row, number: float | None) -> str:
    """One side's value."""
    if number is None:
        return "-"
    if row.metric == "peak memory" or row.metric == "adapter size":
        return f"{number / 2**20:.1f} MiB"
    return f"{number:,}" if float(number).is_integer() and abs(number) >= 1e4 else f"{number:.4g}"


def effect(row: Row) -> str:
    """The difference with its interval, in the row's unit."""
    if row.effect is None:
        return "-"
    if row.unit not in ("relative", "points"):
        return f"{row.effect:+,.4g}" if row.effect else "0"
    factor, unit = (100, " %") if row.unit == "relative" else (1, " pt")
    shown = f"{factor * row.effect:+.2f}{unit}" if abs(row.effect) < 1e3 else f"{row.effect:+.1e}x"
    if row.interval is None or row.interval[0] == row.interval[1]:
        return shown
    low, high = (f"{factor * end:+.2f}" if abs(end) < 1e3 else "inf" for end in row.interval)
    return f"{shown} ({low} to {high})"


def amount(metric: Metric, size: float | None) -> str:
    """A size of a change: '4.1 %', '2.5 points'."""
    if size is None or math.isinf(size) or size > 1e6:
        return "no change at all"
    return f"{100 * size:.2g} %" if metric.unit == "relative" else f"{size:.2g} points"


def change(metric: Metric, worsening: float) -> str:
    """A difference, on the metric's own scale and with positive worse: '4.1 % higher'."""
    if worsening == 0:
        return "no change"
    effect = metric.worse * worsening
    if metric.unit == "relative":
        effect = math.expm1(min(effect, 700.0))
    return f"{amount(metric, abs(effect))} {'higher' if effect > 0 else 'lower'}"


def span(metric: Metric, ends: tuple[float, ...] | None) -> str:
    """An interval: '-0.8 to +4.1 %'."""
    if ends is None:
        return "no interval"
    factor, unit = (100, " %") if metric.unit == "relative" else (1, " points")
    low, high = (f"{factor * end:+.2g}" if abs(factor * end) < 1e4 else f"{end:+.1e}" for end in ends)
    return f"{low} to {high}{unit}"
