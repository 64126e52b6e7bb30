"""Settings as typed: reading "rank=8,alpha=16", their kinds, and what to say of a wrong one."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a word"}
OPENING, CLOSING = "([{", ")]}"


class VariantError(ValueError):
    """A user's mistake about a variant: one line with the value, what was expected, the next step."""


def said(error: BaseException, most: int = 200) -> str:
    """An exception as one line of at most `most` characters: its class and its message."""
    line = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
    return line if len(line) <= most else line[: most - 3] + "..."


def split(text: str) -> list[str]:
    """The comma-separated pieces of `text`, but for commas inside brackets; empty ones are left out."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter in OPENING) - (letter in CLOSING)
        if letter == "," and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return [piece.strip() for piece in pieces if piece.strip()]


def read(variant: str, text: str, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """setting=value pairs as a dictionary, each value read as its setting's kind. Raises VariantError."""
    settings: dict[str, Any] = {}
    for pair in split(text):
        key, equals, value = (piece.strip() for piece in pair.partition("="))
        if not equals:
            raise VariantError(f"{variant}: expected setting=value, got {pair!r}")
        if key in settings:
            raise VariantError(f"{variant}: setting {key!r} is given twice")
        settings[key] = _value(value, _names(kinds.get(key, "str")))
    return settings


def known(variant: str, settings: Iterable[str], names: Sequence[str]) -> None:
    """Raise VariantError for a setting that the variant does not have."""
    for key in settings:
        if key not in names:
            hint = f"nearest is {nearest(key, names)!r} (of {', '.join(names)})" if names else "it has none"
            raise VariantError(f"{variant}: unknown setting {key!r}; {hint}")


def complete(variant: str, settings: Collection[str], needed: Iterable[str]) -> None:
    """Raise VariantError for a setting that has no default and was not given."""
    for name in needed:
        if name not in settings:
            raise VariantError(f"{variant}: setting {name!r} has no default; write {variant}:{name}=...")


def nearest(word: str, known: Sequence[str]) -> str:
    """The known name that is most like `word`."""
    return get_close_matches(word, known, n=1, cutoff=0.0)[0]


def typed(variant: str, name: str, kind: Any, value: Any) -> Any:
    """`value` as `kind`; whole floats become int, so that alpha=16 and alpha=16.0 are one variant.

    Kinds that are not int, float, bool, str or a choice of them are the variant's own business.
    """
    kinds = _names(kind)
    if not set(kinds) <= set(KINDS):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    fits = {
        "int": is_number and isinstance(value, int),
        "float": is_number,
        "bool": isinstance(value, bool),
        "str": isinstance(value, str),
    }
    if not any(fits[one] for one in kinds):
        expected = " or ".join(KINDS[one] for one in kinds)
        raise VariantError(f"{variant}: {name} must be {expected}, got {value!r}")
    if "float" in kinds and fits["float"]:
        return int(value) if float(value).is_integer() else float(value)
    return value


def _names(kind: Any) -> list[str]:
    """The kinds of an annotation: "float | str" and float alike."""
    return [part.strip() for part in getattr(kind, "__name__", str(kind)).split("|")]


def _value(text: str, kinds: Sequence[str]) -> Any:
    """`text` read as one of these kinds; what cannot be read is left for the variant to refuse."""
    if "bool" in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if "int" in kinds and re.fullmatch(r"[+-]?\d{1,18}", text):
        return int(text)
    if "int" in kinds or "float" in kinds:
        try:
            return float(text)
        except ValueError:
            return text
    return text
