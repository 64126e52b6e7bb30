"""A fact that came out otherwise, and how far numbers may be apart where the machine is another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SCORED, TRAINED = 0.01, 0.25  # relative: of losses without training, and after it


@dataclass(frozen=True)
class Difference:
    """One fact that came out otherwise. `within` is whether that may be where the machine is another."""

    fact: str
    recorded: str
    now: str
    within: bool = False

    def __str__(self) -> str:
        return f"{self.fact}: {self.recorded} recorded, {self.now} now"


def same(old: float | None, new: float | None) -> bool:
    """Equal in bits; not a number equals itself here."""
    return old == new or (old is not None and new is not None and math.isnan(old) and math.isnan(new))


def near(old: Any, new: Any, most: float) -> bool:
    """Whether two numbers are equal, or both finite and no further apart than `most` of the recorded one."""
    if not all(isinstance(one, float | int) for one in (old, new)):
        return False
    return bool(
        old == new or (math.isfinite(old) and math.isfinite(new) and abs(new - old) <= most * abs(old))
    )


def near_all(old: Sequence[float], new: Sequence[float], most: float) -> bool:
    """Whether the distances of two rows of numbers, of one length, add up to at most `most` of the first."""
    apart = sum(abs(a - b) for a, b in zip(old, new, strict=True) if not same(a, b))
    return apart <= most * sum(abs(one) for one in old if math.isfinite(one))


def shown(value: Any) -> str:
    """A value in a few words."""
    text = f"{value:.9g}" if isinstance(value, float) else "none" if value is None else str(value)
    return text if len(text) <= 90 else text[:87] + "..."
