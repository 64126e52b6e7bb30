"""The numbers and settings of a cell as JSON values, and what is remembered of those that cells share."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from leaderboard.files import Json, as_json
from suite.record import EvaluationSettings, Recipe

KEPT = 1_000  # of each kind, before all are forgotten
One = TypeVar("One")
Of = TypeVar("Of")


def number(value: float | None) -> float | str | None:
    """A number alone: itself, or its name where JSON has no word for it."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def texts(values: dict[str, Any]) -> list[list[str]]:
    """Names and values as a reader sees them, whatever they are: a browser must not round a long number."""
    return [
        [str(name), value if isinstance(value, str) else json.dumps(value)] for name, value in values.items()
    ]


def settings(part: Recipe | EvaluationSettings) -> Json:
    """The texts of what many cells share."""
    key = part.model_dump_json()
    if (found := _shared.get(key)) is None:
        found = Json(as_json(texts(part.model_dump(mode="json"))))
        _keep(_shared, key, found)
    return found


def series(values: Sequence[float]) -> Json:
    """A list of numbers, to six digits."""
    return numbers(values, ["%.6g"] * len(values))


def numbers(values: Sequence[float | None], form: Sequence[str]) -> Json:
    """A list of numbers in this form, null where JSON has no word for one."""
    text = f"[{','.join(form)}]"
    known = [one for one in values if one is not None]
    if len(known) == len(values) and math.isfinite(sum(known)):  # which is quicker
        return Json(text % tuple(known))
    return Json(
        re.sub(r"-?(inf|nan)", "null", text % tuple(math.nan if one is None else one for one in values))
    )


def finite(values: Sequence[float | None]) -> list[float | None]:
    """The same numbers, None where JSON has no word for one."""
    return [value if value is not None and math.isfinite(value) else None for value in values]


def digits(value: float | None) -> float | None:
    """A number to six digits; None where JSON has no word for it."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None


_shared: dict[str, Json] = {}  # what many cells have in common, by its content
_known: dict[tuple[int, type], tuple[Any, Any]] = {}  # what was made of an object, with the object


def remembered(one: One | None, make: Callable[[One], Of]) -> Of | None:
    """What is made of this very object, which the cells of one task share; None of None."""
    if one is None:
        return None
    if (found := _known.get((id(one), type(one)))) is None:
        found = one, make(one)
        _keep(_known, (id(one), type(one)), found)
    return found[1]


def _keep(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) >= KEPT:
        known.clear()
    known[key] = value
