"""Templates -> pages: escaping is always on, and nothing runs or styles a page but our own files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from leaderboard.text import HIDDEN
from suite import words

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'"
)
STATIC = Path(__file__).parent / "static"
_VISIBLE: dict[int, str] = {
    code: chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}" for code in HIDDEN
}
_SIZES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """One page as text. Characters that are no text (controls, overrides of direction) are made visible."""
    return _environment().get_template(template).render(policy=POLICY, **values).translate(_VISIBLE)


def minus(text: str) -> str:
    """The same with a real minus sign, as wide as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")


def points(value: float | None) -> str:
    """A difference in points with its sign; a dash that is not read as minus where there is none."""
    return absent() if value is None else minus(words.points(value))


def size(count: int | None) -> str:
    """Bytes in the unit that a reader compares by: KiB, MiB, GiB."""
    if count is None:
        return absent()
    number, unit = words.scaled(count, _SIZES)
    return f"{number} {unit or 'B'}"


def absent() -> str:
    """What stands for 'not measured'."""
    return "\N{EN DASH}"


def _or_absent(show: Any) -> Any:
    return lambda value: absent() if value is None else show(value)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "points": points,
        "score": _or_absent(words.score),
        "count": _or_absent(words.count),
        "rate": _or_absent(words.rate),
        "duration": _or_absent(words.duration),
        "outcome": words.outcome,
        "size": size,
        "breakable": lambda name: Markup(str(escape(name)).replace("_", "_<wbr>")),
    }
    return environment
