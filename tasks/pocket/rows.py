"""Every data set of the pocket world as rows in the columns of the hub's data set of that shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from tasks.pocket import corpus, facts, functions, instruct, pairs, routines, sums

GENERAL = {"validation": 200, "test": 320}
TARGET = {"train": 4000, "validation": 200, "test": 250}


def _facts(split: str, count: int) -> list[dict[str, Any]]:
    return facts.items(split)


def _pages(split: str, count: int) -> list[dict[str, Any]]:
    return [{"page": page} for page in corpus.held_out(split, count // 4)]


_SOURCES: dict[str, tuple[dict[str, int], Callable[[str, int], list[dict[str, Any]]]]] = {
    "hellaswag": (GENERAL, routines.items),
    "arc": (GENERAL, _facts),
    "winogrande": (GENERAL, pairs.items),
    "text": (GENERAL, _pages),
    "math": (TARGET, sums.problems),
    "code": (TARGET, functions.problems),
    "instruct": (TARGET, instruct.problems),
}


@cache
def _rows(name: str, split: str) -> tuple[dict[str, Any], ...]:
    counts, make = _SOURCES[name]
    return tuple(make(split, counts[split]))


def rows(name: str, split: str) -> list[dict[str, Any]]:
    """Rows of one split, in a fixed order.

    `name` is hellaswag, arc, winogrande, text (splits validation, test) or math, code, instruct
    (train, validation, test). Raises KeyError for anything else.
    """
    return list(_rows(name, split))
