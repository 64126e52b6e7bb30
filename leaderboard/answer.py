"""Which method to use, and how sure that is: sentences made from the standings by rules, never by names.

The rows on rank 1 are those that no other is better than beyond doubt. A noisy row can be among them with a
far lower mean: it is told as not ruled out, not as one of those to choose from. A row is `open` in this sense
if its mean lies below that of a row that is behind beyond doubt, or if it lies below the interval of the
highest mean while its own interval is NOISY times as wide.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Literal

from leaderboard.best import Beside
from leaderboard.picks import Pick, picks, without_the_whole
from leaderboard.said import (
    NAMED,
    Pairs,
    Said,
    beats,
    difference,
    gain_of,
    interval,
    listed,
    pairs_of,
)
from leaderboard.site import BoardView, RowView
from suite.statistics import Interval
from suite.words import numbered, score

NOISY = 2.0  # times as wide an interval as the best one's: a rule of showing, no test

Verdict = Literal["one", "tied", "alone", "scores", "none"]
Tier = Literal["best", "tied", "open"]


@dataclass(frozen=True)
class Tiers:
    """The ranked rows by what may be said of them, each by mean gain; `tied` begins with `best`."""

    best: RowView | None
    tied: tuple[RowView, ...]
    open: tuple[RowView, ...]
    behind: tuple[RowView, ...]


@dataclass(frozen=True)
class Line:
    """A row on rank 1: its mean gain, and how far it lies from the highest mean (None for that one)."""

    row: RowView
    tier: Tier
    gain: Interval
    difference: Interval | None


@dataclass(frozen=True)
class Answer:
    """The answer card. `sure` says how much the budget can tell, `budget` what it was."""

    verdict: Verdict
    headline: Said
    lines: tuple[Line, ...]
    sure: tuple[Said, ...]
    behind: Said
    picks: tuple[Pick, ...]
    budget: tuple[str, ...]


def tiers(board: BoardView) -> Tiers:
    """The rows that are tied for the best, not ruled out, and behind."""
    ranked = sorted(board.ranked, key=lambda row: (-gain_of(row).value, row.label))
    first = [row for row in ranked if row.place.rank == 1]
    behind = tuple(row for row in ranked if row.place.rank != 1)
    if not first:
        return Tiers(None, (), (), behind)
    best, top = first[0], gain_of(first[0])
    highest = max((gain_of(row).value for row in behind), default=float("-inf"))

    def is_open(row: RowView) -> bool:
        gain = gain_of(row)
        noisy = gain.high - gain.low >= NOISY * (top.high - top.low)
        return row is not best and (gain.value < highest or (noisy and gain.value < top.low))

    return Tiers(
        best,
        tuple(row for row in first if not is_open(row)),
        tuple(row for row in first if is_open(row)),
        behind,
    )


def answer(board: BoardView, found: Tiers, forgetting: Beside | None) -> Answer:
    """The card of a board. `forgetting` compares the tied rows by what they forget."""
    if found.best is None:
        return _without_ranks(board)
    best = found.best
    pairs = pairs_of(board.standings.pairs)

    def lines(tier: Tier, rows: Iterable[RowView]) -> list[Line]:
        return [Line(row, tier, gain_of(row), difference(pairs, best, row)) for row in rows]

    return Answer(
        verdict="alone" if len(board.ranked) == 1 else "one" if len(found.tied) == 1 else "tied",
        headline=_headline(board, found, pairs),
        lines=(*lines("best", [best]), *lines("tied", found.tied[1:]), *lines("open", found.open)),
        sure=tuple(_sure(board, found, pairs)),
        behind=_behind(found, pairs),
        picks=(*without_the_whole(board, best, pairs), *picks(found.tied, forgetting)),
        budget=budget(board),
    )


def _without_ranks(board: BoardView) -> Answer:
    """A board where no row has outcomes item by item of every task."""
    scored = [row for row in board.rows if row.place.row.mean_score is not None]
    if board.standings.board.scores_only and scored:
        top = max(scored, key=lambda row: row.place.row.mean_score or 0.0)
        said: Said = (
            "Not to be told from these records. ",
            top,
            f" has the highest mean score, {score(top.place.row.mean_score)}, but they hold no outcome of "
            "single items, so no interval or test says which differences are real.",
        )
        return Answer("scores", said, (), (), (), (), budget(board))
    why = "no method has finished cells with outcomes item by item on every task yet"
    return Answer("none", (f"Not to be told from these records: {why}.",), (), (), (), (), budget(board))


def _headline(board: BoardView, found: Tiers, pairs: Pairs) -> Said:
    best, others = found.best, found.tied[1:]
    assert best is not None
    if len(board.ranked) == 1:
        only = f" is the only method with a gain on every task, {interval(gain_of(best))}: "
        return best, only, "nothing to compare it with."
    if not found.behind and not found.open:
        some = "either method" if len(others) == 1 else f"any of the {len(found.tied)} methods"
        rest = "the other" if len(others) == 1 else "the others"
        return f"The data cannot tell {some} from {rest}. Best guess: ", best, "."
    if others:
        return best, " is the best guess, but the data cannot tell it from ", *listed(others), "."
    near = [row for row in found.behind if not beats(pairs, best, row)]
    if near:
        why = "" if found.open else " it alone is behind nobody, though"
        return best, f" is the best guess:{why} it cannot be told from ", *listed([*near, *found.open]), "."
    if found.open:
        return best, " gained most. Beside it only results too noisy to tell are not ruled out."
    return best, f": it gained more than every other {'ranked ' * bool(unranked(board))}method, beyond doubt."


def _sure(board: BoardView, found: Tiers, pairs: Pairs) -> list[Said]:
    """How much the budget could see at all."""
    assert found.best is not None
    said: list[Said] = []
    if pairs:
        apart = sum(pair.verdict != "cannot tell" for pair in pairs.values())
        risk = "(at most 5 % risk of any wrong claim)"
        said.append((f"{apart} of {numbered(len(pairs), 'pair')} of methods told apart {risk}.",))
        sizes = sorted(pair.visible for pair in pairs.values())
        span = f" ({sizes[0]:.1f} to {sizes[-1]:.1f}, by pair)" if len(sizes) > 1 else ""
        said.append(
            (f"This budget sees a difference of {median(sizes):.1f} points in 8 of 10 repetitions{span}.",)
        )
    if len(found.tied) > 1 and len(pairs) > 1:
        best, near = found.best, found.tied[1]
        pair = pairs[frozenset((best.label, near.label))]
        apart = interval(difference(pairs, best, near))
        seen = f": {apart}. From {pair.visible:.1f} on it would be seen."
        said.append((near, " beside ", best, seen))
    if missing := unranked(board):
        said.append(("Not ranked, and not in this answer: ", *listed(missing), "."))
    for row in found.tied:
        ends = row.place.row.statuses
        if lost := sum(ends.values()) - ends.get("ok", 0):
            said.append(
                (f"{lost} of {sum(ends.values())} runs of ", row, " did not finish; its gain is of the rest.")
            )
    if gain_of(found.best).low <= 0:
        said.append(("Not sure whether ", found.best, " gains anything: its interval reaches zero."))
    if board.standings.board.seeds == 1:
        said.append(("One seed: the intervals cover the test items alone, other seeds may differ.",))
    return said


def _behind(found: Tiers, pairs: Pairs) -> Said:
    """Who is behind beyond doubt, and by how much: behind the best, or else behind whom."""
    said: list[str | RowView] = []
    for row in found.behind[:NAMED]:
        better = next(
            other for other in (*found.tied, *found.open, *found.behind) if beats(pairs, other, row)
        )
        said += [", "] if said else []
        said += [row, f" ({interval(difference(pairs, better, row))}"]
        said += [")"] if better is found.best else [" to ", better, ")"]
    if len(found.behind) > NAMED:
        said.append(f" and {len(found.behind) - NAMED} more")
    return tuple(said)


def unranked(board: BoardView) -> list[RowView]:
    """The rows without a rank that are not a ranked method's own cells at documented rates."""
    return [row for row in board.rows if row.place.rank is None and row.place.row.kind != "default"]


def budget(board: BoardView) -> tuple[str, ...]:
    """What the answer rests on: tasks, seeds, items, and how many rates were tried."""
    whole = board.standings
    tasks = whole.tasks or tuple(whole.board.recipes)
    parts = [f"{numbered(len(tasks), 'task')} ({', '.join(tasks)})", numbered(whole.board.seeds, "seed")]
    items = {task: max((one.items for one in _gains(board, task)), default=0) for task in tasks}
    if all(items.values()):
        same = len(set(items.values())) == 1
        parts.append(
            f"{items[tasks[0]]:,} test items{' each' * (len(tasks) > 1)}"
            if same
            else f"{', '.join(f'{n:,} items of {task}' for task, n in items.items())}"
        )
    searched = {
        len(entry.record.search.rates) for row in board.ranked for entry in row.entries if entry.record.search
    }
    if searched:
        tried = " to ".join(map(str, sorted({min(searched), max(searched)})))
        parts.append(f"{tried} learning rates tried of each method, chosen on validation")
    elif not board.external:
        parts.append("learning rates not searched for")
    return tuple(parts)


def _gains(board: BoardView, task: str) -> Iterable[Interval]:
    return (found for row in board.rows if (found := row.place.gains.get(task)))
