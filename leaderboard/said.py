"""Sentences about rows: how rows are listed, how an interval is told, how far two rows lie apart.

A sentence is a list of texts and rows; a page writes a row as its name with a link.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from leaderboard.pages import points
from leaderboard.site import RowView
from suite.statistics import Interval, Pair

NAMED = 5  # rows that a sentence names one by one

Said = tuple["str | RowView", ...]
Pairs = Mapping[frozenset[str], Pair]  # by the labels of the two


def pairs_of(pairs: Iterable[Pair]) -> dict[frozenset[str], Pair]:
    """The pairs by who they are of."""
    return {frozenset((pair.a, pair.b)): pair for pair in pairs}


def listed(rows: Sequence[RowView]) -> list[str | RowView]:
    """'a, b and c'; of many the first ones and how many more."""
    shown: list[str | RowView] = []
    some = rows if len(rows) <= NAMED else rows[: NAMED - 1]
    for at, row in enumerate(some):
        last = at == len(some) - 1 and len(some) == len(rows)
        shown += [" and " if last else ", ", row] if at else [row]
    if len(some) < len(rows):
        shown.append(f" and {len(rows) - len(some)} more")
    return shown


def interval(found: Interval | None) -> str:
    """'+4.2 [+1.0, +7.4]' with real minus signs."""
    if found is None:
        return points(None)
    return f"{points(found.value)} [{points(found.low)}, {points(found.high)}]"


def gain_of(row: RowView) -> Interval:
    """The mean gain of a row that has a rank, and so a gain."""
    assert row.place.gain is not None, f"{row.label} is ranked without a gain"
    return row.place.gain


def difference(pairs: Pairs, a: RowView, b: RowView) -> Interval | None:
    """b - a, whichever way the two were compared."""
    pair = pairs.get(frozenset((a.label, b.label)))
    return None if pair is None else turned(pair, b)


def turned(pair: Pair, b: RowView) -> Interval:
    """How far `b` lies from the other of a pair."""
    found = pair.comparison.interval
    if pair.b == b.label:
        return found
    return Interval(-found.value, -found.high, -found.low, found.se, found.df, found.seeds, found.items)


def beats(pairs: Pairs, a: RowView, b: RowView) -> bool:
    """Whether a is better than b beyond doubt."""
    pair = pairs.get(frozenset((a.label, b.label)))
    return pair is not None and pair.verdict == ("better" if pair.b == a.label else "worse")
