"""Two variants against each other, for a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from suite.compare import Line, Versus
from suite.words import nats, points, score

UNITS = {"loss": "nats"}
SHOWN_P = 0.001


def view(found: Sequence[Versus]) -> RenderableType:
    """What a terminal of 80 columns shows: a table of the lines, then each of them in words."""
    parts: list[RenderableType] = []
    for one in found:
        parts.append(_table(one))
        parts += [Text(text) for text in (*sentences(one), *flips(one), *one.notes, "")]
    return Group(*parts)


def plain(found: Sequence[Versus]) -> list[dict[str, Any]]:
    """The same as JSON values, and each line's verdict."""
    return [
        {**asdict(one), "lines": [{**asdict(line), "verdict": line.verdict} for line in one.lines]}
        for one in found
    ]


def sentences(one: Versus) -> list[str]:
    """What can be told apart, and what difference would have been seen where nothing can."""
    told = []
    for line in one.lines:
        change, unit = line.comparison.interval, UNITS.get(line.quantity, "points")
        where = f"{line.quantity} {'over tasks' if line.task is None else 'on ' + line.task}"
        if line.verdict == "cannot tell":
            least = _size(line, line.comparison.detectable)
            told.append(
                f"{where}: cannot tell apart; a difference of {least} {unit} or more, looked at alone, would "
                "have been seen in 80 % of repetitions"
            )
        else:
            told.append(f"{where}: {one.b} is {line.verdict} by {_size(line, abs(change.value))} {unit}")
    return told


def flips(one: Versus) -> list[str]:
    """McNemar's exact test of every seed."""
    return [
        f"answers on {line.task}, seed {flip.seed}: right with {one.a} alone {flip.only_a}, "
        f"with {one.b} alone {flip.only_b}; exact McNemar p {_p(flip.p)}"
        for line in one.lines
        for flip in line.flips
    ]


def _table(one: Versus) -> Table:
    found = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=Text(f"{one.b} against {one.a}: {one.track} on {one.base}"),
        caption=Text(_caption(one)),
    )
    for name in ("task", "quantity"):
        found.add_column(name, no_wrap=True)
    for name in (one.a, one.b):
        found.add_column(Text(name), justify="right", overflow="fold")
    for name in ("difference", "p", "p\n(Holm)"):
        found.add_column(name, justify="right", no_wrap=True)
    for line in one.lines:
        change = line.comparison.interval
        found.add_row(
            line.task or "all",
            line.quantity,
            _shown(line, line.a.value),
            _shown(line, line.b.value),
            f"{_signed(line, change.value)} [{_signed(line, change.low)}, {_signed(line, change.high)}]",
            _p(line.comparison.p),
            _p(line.p),
        )
    return found


def _caption(one: Versus) -> str:
    seeds = {line.comparison.interval.seeds for line in one.lines}
    covers = "items alone: of one seed, nothing is known of others" if seeds == {1} else "seeds and items"
    return (
        f"Differences with 95 % intervals over {covers}, paired by item"
        f"{' and seed' if all(line.comparison.paired_seeds for line in one.lines) else ''}.\n"
        f"p (Holm): over the {len(one.lines)} rows. Gain, forgetting: points; loss: test, nats a token."
    )


def _shown(line: Line, value: float) -> str:
    return f"{value:.3f}" if line.quantity in UNITS else points(value)


def _signed(line: Line, value: float) -> str:
    return nats(value) if line.quantity in UNITS else points(value)


def _size(line: Line, value: float) -> str:
    return f"{value:.3f}" if line.quantity in UNITS else score(value)


def _p(value: float) -> str:
    return f"<{SHOWN_P:g}" if value < SHOWN_P else f"{value:.3f}"
