"""The mistakes that a user can make: each is one line naming the value, what was expected, the next step."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """A user's mistake about the plan. The command line prints it as one line and exits with code 2."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name that looks most like `word` (empty if nothing is known)."""
    matches = get_close_matches(word, list(known), n=1, cutoff=0.0)
    return matches[0] if matches else ""


def one_line(error: BaseException, most: int = 300) -> str:
    """An exception as one line of at most `most` characters: its class, and its message without newlines."""
    text = " ".join(str(error).split())
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return line if len(line) <= most else line[: most - 3] + "..."
