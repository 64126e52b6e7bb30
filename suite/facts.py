"""Foreign JSON made safe to keep and to show: scalar facts by place, plain settings, printable text."""

from __future__ import annotations

import math
from typing import Any

from suite.origin import Scalar

_LARGEST = 2**63


def facts(content: Any) -> dict[str, Scalar]:
    """Every scalar of a JSON value by its place, a JSON pointer (RFC 6901): {'/a/0/b': 1}.

    Word for word, but a number that JSON or 64 bits cannot hold becomes text.
    """
    found: dict[str, Scalar] = {}
    waiting: list[tuple[str, Any]] = [("", content)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict):
            inner = [(f"{place}/{_escaped(name)}", one) for name, one in value.items()]
        elif isinstance(value, list):
            inner = [(f"{place}/{i}", one) for i, one in enumerate(value)]
        else:
            found[place] = scalar(value)
            continue
        waiting += reversed(inner)
    return found


def scalar(value: Scalar) -> Scalar:
    """A JSON scalar as it is; NaN, infinities and integers of more than 64 bits as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return str(value)
    return value


def plain(value: Any) -> Any:
    """A JSON value as a setting: its text printable, lists of names sorted (peft keeps them as sets)."""
    if isinstance(value, dict):
        return {visible(name): plain(one) for name, one in value.items()}
    if isinstance(value, list):
        items = [plain(one) for one in value]
        return sorted(items) if all(isinstance(one, str) for one in items) else items
    return visible(value) if isinstance(value, str) else scalar(value)


def visible(text: str) -> str:
    r"""`text` with what cannot be printed escaped: a newline becomes \n, a terminal's escape \x1b."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable(text: str, most: int) -> str:
    """`text` as one printable line of at most `most` characters."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 3] + "..."


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
