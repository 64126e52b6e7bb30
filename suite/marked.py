"""Lists of items that are right or wrong, with names and outcomes beside them.

A store of 10,000 cells has millions of outcomes, of a few thousand items. What looks at all of them looks at
the names, which many lists share, and at one byte an item: to look up each item in memory takes much longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import getitem

from suite.record import Item

LONGEST_NAME = 500  # characters
RIGHT, WRONG = b"1"[0], b"0"[0]
OUTCOMES = {1.0: RIGHT, 0.0: WRONG}
_PLACES = bytes.maketrans(b"01", b"\0\1")


class Marked(list[Item]):
    """Items without responses, right (1.0) or wrong (0.0), as `Table.items` makes them; not to be changed.

    `ids` are their names, all different and not too long; `outcomes` are b"1" for right and b"0" for wrong.
    """

    __slots__ = ("ids", "outcomes")
    ids: tuple[str, ...]
    outcomes: bytes


class Table:
    """The items of one list, as they are when wrong and when right."""

    def __init__(self, wrong: Sequence[Item], right: Sequence[Item]) -> None:
        self.ids = tuple(one.id for one in wrong)
        self._pairs = list(zip(wrong, right, strict=True))

    def items(self, outcomes: bytes) -> Marked:
        """The list with these outcomes."""
        found = Marked(map(getitem, self._pairs, outcomes.translate(_PLACES)))
        found.ids, found.outcomes = self.ids, outcomes
        return found


def fit(ids: Sequence[str]) -> bool:
    """Whether a table may be made of items of these names."""
    return bool(ids) and len(set(ids)) == len(ids) and len(max(ids, key=len)) <= LONGEST_NAME


def names(items: Sequence[Item]) -> tuple[str, ...]:
    """The names of items."""
    return items.ids if isinstance(items, Marked) else tuple([one.id for one in items])
