"""What else to choose by between rows that gain the same: forgetting, parameters, memory, time.

Memory compares within one way of counting it, times on one device: else it is said that it cannot be said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboard.best import Beside
from leaderboard.pages import size
from leaderboard.said import Pairs, Said, beats, gain_of, interval, listed
from leaderboard.site import BoardView, RowView
from suite.words import count, duration

CLOSE = 0.25  # of a time: what else a machine does moves it by more than methods of one kind differ


@dataclass(frozen=True)
class Pick:
    """What decides between rows that gain the same: a question, the answer, and how far it holds."""

    question: str
    said: Said
    note: Said


def without_the_whole(board: BoardView, best: RowView, pairs: Pairs) -> list[Pick]:
    """Where the best trains the whole model: the best of those that do not."""
    rest = [row for row in board.ranked if row.label != board.standings.reference]
    if best.label != board.standings.reference or not rest:
        return []
    rest.sort(key=lambda row: (-gain_of(row).value, row.label))
    first, others = rest[0], rest[1:]
    near = [row for row in others if not beats(pairs, first, row)]
    note: Said = ("not told from ", *listed(near)) if near else ("beyond doubt",) if others else ()
    return [Pick("Without training the whole model", (first, f" {interval(gain_of(first))}"), note)]


def picks(tied: Sequence[RowView], forgetting: Beside | None) -> list[Pick]:
    """What else to choose by, within the tie; of a single winner, what it costs."""
    alone = len(tied) == 1
    return [
        *_forgets(tied, forgetting),
        _least("Trains" if alone else "Trains fewest", tied, lambda row: row.cost.trainable, _share),
        _one_way(
            "Peak memory" if alone else "Needs least memory",
            tied,
            lambda row: row.cost.peak_memory_bytes,
            lambda row: row.cost.memory_methods,
            "counted in {} ways",
            lambda row: size(row.cost.peak_memory_bytes),
        ),
        _one_way(
            "Time of a cell" if alone else "Trains fastest",
            tied,
            lambda row: row.cost.train_s,
            lambda row: row.cost.devices,
            "ran on {} devices",
            lambda row: duration(row.cost.train_s),
            close=CLOSE,
        ),
    ]


def _forgets(tied: Sequence[RowView], forgetting: Beside | None) -> list[Pick]:
    """Who forgets least; nothing where it was not measured."""
    lost = [(row.place.forgetting.value, row) for row in tied if row.place.forgetting]
    if not lost:
        return []
    least = min(lost, key=lambda one: (one[0], one[1].label))[1]
    said = f"{interval(least.place.forgetting)} points lost"
    if len(tied) == 1:
        return [Pick("Forgets", (said,), ())]
    near = [row for _, row in lost if forgetting and row is not least and row.label in forgetting.near]
    note: Said = ("not told from ", *listed(near)) if near else ("beyond doubt",) if forgetting else ()
    if len(lost) < len(tied):
        note = (f"known of {len(lost)} of {len(tied)}",)
    return [Pick("Forgets least", (least, f" {said}"), note)]


def _one_way(
    question: str,
    rows: Sequence[RowView],
    value: Callable[[RowView], float | None],
    ways: Callable[[RowView], tuple[str, ...]],
    unlike: str,
    show: Callable[[RowView], str],
    close: float = 0.0,
) -> Pick:
    """The least of what was measured in one way; that it cannot be said where it was not, or for less than
    `close` of it."""
    every = sorted({way for row in rows for way in ways(row)})
    if len(every) > 1:
        return Pick(question, ("cannot be said",), (unlike.format(len(every)),))
    known = {row.label: found for row in rows if (found := value(row)) is not None}
    if len(rows) > 1 and len(known) == len(rows):
        if not all(ways(row) for row in rows):
            return Pick(question, ("cannot be said",), ("some do not say how it was measured",))
        ordered = sorted(rows, key=lambda row: (known[row.label], row.label))
        if known[ordered[1].label] < (1 + close) * known[ordered[0].label]:
            ends = f"{show(ordered[0])} to {show(ordered[-1])}"
            return Pick(question, ("too close to say",), (f"{ends}, on a machine that may be shared",))
    return _least(question, rows, value, show)


def _least(
    question: str,
    rows: Sequence[RowView],
    value: Callable[[RowView], float | None],
    show: Callable[[RowView], str],
) -> Pick:
    known = {row.label: found for row in rows if (found := value(row)) is not None}
    if len(known) < len(rows):
        missing = f" of {len(rows) - len(known)} of {len(rows)}" if known else ""
        return Pick(question, ("cannot be said",), (f"not measured{missing}",))
    if len(rows) == 1:
        return Pick(question, (show(rows[0]),), ())
    lowest = min(known.values())
    first = [row for row in rows if known[row.label] == lowest]
    return Pick(question, (*listed(first), f" {show(first[0])}"), ())


def _share(row: RowView) -> str:
    trainable, total = row.cost.trainable, row.cost.total
    return count(trainable) + (f" ({100 * trainable / total:.3g} %)" if trainable and total else "")
