"""Logarithmic axes: how far they reach, and which rates, losses and costs are written on them."""

from __future__ import annotations

import math
from collections.abc import Sequence

STEPS = ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))  # of a decade, the finest first


def around(values: Sequence[float]) -> list[float]:
    """Both ends of a log axis that holds these positive values with room on both sides."""
    low, high = min(values), max(values)
    room = max((high / low) ** 0.08, 1.15)
    return [float(f"{low / room:.3g}"), float(f"{high * room:.3g}")]


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between two positive ends, `most` at most: many of each decade where there is room."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if high < 2 * low:
        return _even(low, high, most)
    inside: list[float] = []
    for steps in STEPS:
        found = [float(f"{step}e{decade}") for decade in range(first, last + 1) for step in steps]
        inside = [value for value in found if low <= value <= high]
        if len(inside) <= most:
            return inside or _even(low, high, most)
    return inside[:: math.ceil(len(inside) / most)]


def _even(low: float, high: float, most: int) -> list[float]:
    """Evenly spaced round numbers, where a decade's own are too far apart."""
    for decade in range(math.floor(math.log10(high - low)) - 1, math.ceil(math.log10(high - low)) + 1):
        for step in (1, 2, 5):
            size = step * 10.0**decade
            found = range(math.ceil(low / size), math.floor(high / size) + 1)
            if len(found) <= most:
                return [float(f"{at * size:.6g}") for at in found]
    return []
