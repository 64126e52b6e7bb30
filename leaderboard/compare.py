"""compare.html: any two rows of a board, by the paired comparison of `suite compare`.

    data/compare/index.js              boards, their rows, and the evaluation that scores each task
    data/compare/<board>/<row>.js      this row against every row below it on the board

Every number comes from `suite.compare` and `suite.statistics`; the page only shows them, either way round.
Pairs grow with the square of the rows: of a board with more than `MOST` rows the first ones are compared, and
the page says so; `suite compare A B` has the others.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from leaderboard.files import Files, slug
from leaderboard.navigation import frame
from leaderboard.pages import render
from leaderboard.samples import samples
from leaderboard.site import BoardView, RowView, Site
from suite.compare import Line, Pairs, Versus
from suite.errors import UserError
from suite.statistics import Interval
from suite.statistics.noise import Noise

PAGE = "compare.html"
MOST = 30  # rows of a board that are compared with each other: 435 pairs
DIGITS = 6


def write(files: Files, site: Site) -> None:
    """Write the page, the index, and the comparisons of every row with those below it."""
    index = []
    for board in site.boards:
        if not (rows := compared(board)):
            continue
        known = {entry.record.id: entry.record for row in board.rows for entry in row.entries}
        read = Pairs(board.standings.board, known, [row.place.row for row in rows], samples(board))
        for at, row in enumerate(rows[:-1]):
            files.data(f"compare/{board.id}/{row.key}", pairs(row, rows[at + 1 :], read))
        index.append(
            {
                "id": board.id,
                "title": board.title,
                "href": board.href,
                "rows": [
                    [row.key, row.label, f"{row.href}#{board.id}-{row.key}", row.place.rank] for row in rows
                ],
                "more": len(board.rows) - len(rows),
                "evaluations": _evaluations(board),
            }
        )
    files.data("compare/index", index)
    files.text(PAGE, render(PAGE, **frame(site, PAGE), any=bool(index)))


def compared(board: BoardView) -> tuple[RowView, ...]:
    """The rows of a board that the page compares with each other; none where they are not from here."""
    return board.rows[:MOST] if len(board.rows) > 1 and not board.external else ()


def pairs(a: RowView, others: Sequence[RowView], read: Pairs) -> dict[str, Any]:
    """By key of b: what it is beside `a`, or why the two cannot be compared."""
    found: dict[str, Any] = {}
    ties: dict[tuple[str, tuple[str, ...]], list[tuple[RowView, dict[str, Any]]]] = defaultdict(list)
    for b in others:
        try:
            one = read.between(a.place.row, b.place.row)
        except UserError as error:
            found[b.key] = {"fault": str(error)}
            continue
        lines = [_line(line) for line in one.lines]
        found[b.key] = {"lines": lines, "notes": list(one.notes)}
        for line, shown in zip(one.lines, lines, strict=True):
            if line.verdict == "cannot tell":
                tasks = (line.task,) if line.task is not None else _tasks(one, line.quantity)
                ties[line.quantity, tasks].append((b, shown))
    for (quantity, tasks), ones in ties.items():
        told = read.noise(a.place.row, [b.place.row for b, _ in ones], quantity, tasks)
        for (_, shown), noise in zip(ones, told, strict=True):
            shown["noise"] = _noise(noise)
    return found


def _noise(found: Noise) -> dict[str, Any]:
    """What the noise of a tie is made of."""
    return {
        "items": _digits(found.items),
        "seeds": None if found.seeds is None else _digits(found.seeds),
        "answers": None if found.answers is None else _digits(found.answers),
        "more_seeds": found.more_seeds,
        "more_items": found.more_items,
    }


def _tasks(one: Versus, quantity: str) -> tuple[str, ...]:
    """The tasks that a mean of a quantity is over."""
    return tuple([line.task for line in one.lines if line.task is not None and line.quantity == quantity])


def _line(line: Line) -> dict[str, Any]:
    compared = line.comparison
    return {
        "task": line.task,
        "quantity": line.quantity,
        "a": _ends(line.a),
        "b": _ends(line.b),
        "change": _ends(compared.interval),
        "p": _digits(compared.p),
        "holm": _digits(line.p),
        "verdict": line.verdict,
        "detectable": _digits(compared.detectable),
        "seeds": compared.interval.seeds,
        "items": compared.interval.items,
        "paired": compared.paired_seeds,
        "flips": [[one.seed, one.only_a, one.only_b, _digits(one.p)] for one in line.flips],
        "noise": None,
    }


def _ends(found: Interval) -> list[float | None]:
    return [_digits(found.value), _digits(found.low), _digits(found.high)]


def _digits(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _evaluations(board: BoardView) -> dict[str, str]:
    """Task -> the name that its first target evaluation has in links."""
    found = {}
    for row in board.rows:
        for entry in row.entries:
            cell = entry.record.cell
            if cell.evaluation.target:
                found.setdefault(board.task(entry.record), slug(cell.evaluation.target[0]))
    return found
