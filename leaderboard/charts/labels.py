"""Names beside points: on the side where there is room, and none where they would cover something.

Room is judged at the width of an SVG; a page that is narrower than a tablet shows no names beside points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from leaderboard.charts.drawing import Row
from leaderboard.charts.theme import WIDTH

LETTER = 6.6  # px, of a letter at 12 px
HALF = 7  # px, of a line of text or of a point
AWAY = 9  # px, from the point to its name
Box = tuple[float, float, float, float]


def placed(
    rows: Sequence[Row], x: Sequence[str], y: Sequence[str], height: int, log: bool = False
) -> list[Row]:
    """The rows with `side`: 'right', 'left' or '' for no name. The first of `x` and `y` is the point's field,
    all of them span the axes. Earlier rows get their names first.
    """
    across = _scaled(rows, x, WIDTH - 60, log)
    down = [height - value for value in _scaled(rows, y, height, False)]
    taken = [_box(*point, HALF) for point in zip(across, down, strict=True)]
    found = []
    for row, at, line in zip(rows, across, down, strict=True):
        side = _side(str(row["variant"]), at, line, taken)
        found.append({**row, "side": side})
    return found


def _side(name: str, at: float, line: float, taken: list[Box]) -> str:
    """Where the name goes; what it covers is taken from then on."""
    wide = LETTER * len(name)
    for side, low in (("right", at + AWAY), ("left", at - AWAY - wide)):
        box = (low, line - AWAY - HALF, low + wide, line - AWAY + HALF)
        if low >= 0 and low + wide <= WIDTH - 40 and not any(_meet(box, other) for other in taken):
            taken.append(box)
            return side
    return ""


def _scaled(rows: Sequence[Row], fields: Sequence[str], size: float, log: bool) -> list[float]:
    """Where each row's point lies on an axis of `size` pixels."""
    turned = math.log if log else float
    values = [turned(row[field]) for row in rows for field in fields]
    low, high = min(values), max(values)
    return [size * (turned(row[fields[0]]) - low) / ((high - low) or 1.0) for row in rows]


def _box(x: float, y: float, half: float) -> Box:
    return x - half, y - half, x + half, y + half


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
