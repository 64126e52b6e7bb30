"""The samples of a board, read once for all pages and pictures that compare its rows."""

from __future__ import annotations

import weakref

from leaderboard.site import BoardView
from suite.standings import Standings
from suite.statistics.kept import Samples

_known: dict[int, tuple[weakref.ref[Standings], Samples]] = {}


def samples(board: BoardView) -> Samples:
    """Those of this board, kept as long as its standings are."""
    standings = board.standings
    at = id(standings)
    found = _known.get(at)
    if found is None or found[0]() is not standings:
        found = _known[at] = (
            weakref.ref(standings, lambda gone: _forget(at, gone)),
            Samples(),
        )
    return found[1]


def _forget(at: int, gone: weakref.ref[Standings]) -> None:
    if at in _known and _known[at][0] is gone:
        del _known[at]
