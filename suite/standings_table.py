"""Standings for a terminal, as Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from suite.gate.markdown import code, text
from suite.standings import Place, Standings
from suite.statistics import Comparison, Interval
from suite.words import ABSENT, count, outcome, points, rate, score

TIES = 5  # told in a terminal; all of them are in the JSON
Columns = list[tuple[str, Callable[[Place], str]]]
Show = Callable[[str], str]


def tables(found: Sequence[Standings]) -> RenderableType:
    """What a terminal of 80 columns shows: ranks with the means over tasks, then each task, then the ties."""
    parts: list[RenderableType] = []
    for one in found:
        board = one.board
        title = f"{board.track} on {board.base.name}, {_seeds(board.seeds)}"
        parts.append(_table(one, title, [("gain", _gain), ("forgetting", _forgetting), ("regret", _regret)]))
        parts.append(_table(one, "gain by task", [(task, _of_task(task)) for task in _tasks(one)]))
        by_task: Columns = [(task, _rate_of(task)) for task in _tasks(one)]
        parts.append(_table(one, "learning rate by task", [*by_task, ("trials", _trials), ("front", _front)]))
        parts += [Text(line) for line in notes(one, TIES)]
    return Group(*parts)


def markdown(found: Sequence[Standings]) -> str:
    """One Markdown table a board, with its notes. Names may come from anywhere: they are escaped."""
    return "\n\n".join(_markdown(one) for one in found)


def _markdown(one: Standings) -> str:
    tasks = _tasks(one)
    columns: Columns = [
        ("rank", _rank),
        ("variant", lambda place: code(place.row.label)),
        ("mean gain", _gain),
        *((text(task), _of_task(task)) for task in tasks),
        ("forgetting", _forgetting),
        ("regret", _regret),
        ("front", _front),
        (f"rate ({', '.join(map(text, tasks))})", _rates),
        ("trained", lambda place: count(place.row.trainable_parameters)),
        ("trials", _trials),
    ]
    lines = [
        f"{code(one.board.track)} on {code(one.board.base.name)}, {_seeds(one.board.seeds)}:",
        "",
        f"| {' | '.join(name for name, _ in columns)} |",
        f"|{' --- |' * len(columns)}",
        *(f"| {' | '.join(show(place) for _, show in columns)} |" for place in one.places),
        "",
        *(f"- {line}" for line in notes(one, None, code, text)),
    ]
    return "\n".join(lines)


def plain(found: Sequence[Standings]) -> list[dict[str, Any]]:
    """The same as JSON values."""
    return [
        {
            "board": one.board.id,
            "track": one.board.track,
            "base": one.board.base.name,
            "seeds": one.board.seeds,
            "reference": one.reference,
            "tasks": list(one.tasks),
            "faults": list(one.faults),
            "rows": [_plain(place) for place in one.places],
            "pairs": [asdict(pair) for pair in one.pairs],
        }
        for one in found
    ]


def notes(one: Standings, most: int | None, name: Show = str, said: Show = str) -> list[str]:
    """What a reader of the ranks should know: of ties, of edges, of what the intervals cover.

    `name` writes names of variants and tasks, `said` errors; at most `most` ties are told one by one.
    """
    seeds = one.board.seeds
    covers = "seeds and items" if seeds > 1 else "items alone, with one seed nothing is known of others"
    lines = [
        f"Points, in brackets 95 % intervals over {covers}. Rows that share a rank cannot be told apart by "
        "mean gain (paired by item and seed, Holm over all pairs, 5 %): a rank is one more than the number "
        "of rows that are better beyond doubt, so a noisy row may share a rank that its mean hides."
    ]
    if any(place.front is not None for place in one.places):
        lines.append("Front: the probability that no other row gains as much and forgets less.")
    if len(one.tasks) < len(_tasks(one)):
        tasks = ", ".join(map(name, one.tasks)) or "no task"
        lines.append(f"Ranks and means are over {tasks}; other tasks have one row.")
    kinds = {place.row.kind for place in one.places}
    if None in kinds and len(kinds) > 1:
        lines.append("Rows whose rate was not searched for are not ranked beside those where it was.")
    lines += [f"{name(label)} has {number} of {seeds} seeds." for label, number in _fewer(one)]
    tried = sorted({_tried(place) for place in one.places if place.row.kind == "tuned"})
    if len(tried) > 1:
        lines.append(f"The variants had unequal numbers of trials: {', '.join(map(str, tried))}.")
    lines += [f"Not counted: {said(fault)}" for fault in one.faults]
    ties = one.ties
    for pair in ties[:most]:
        difference = points(pair.comparison.interval.value)
        lines.append(
            f"{name(pair.b)} - {name(pair.a)}: {difference}, cannot tell; with this budget a difference of "
            f"{pair.visible:.1f} is seen in 80 % of repetitions."
        )
    if most is not None and len(ties) > most:
        lines.append(f"{len(ties) - most} more pairs cannot be told apart.")
    for place in one.places:
        if place.row.kind == "tuned" and place.row.edges:
            ends = sorted(place.row.edges.items())
            where = ", ".join(f"{name(task)} ({edge} end)" for task, edge in ends)
            lines.append(f"{name(place.row.label)}: the best rate lies at the edge of all tried on {where}.")
    return lines


def _fewer(one: Standings) -> list[tuple[str, int]]:
    """The rows whose gain is over fewer seeds than others' of the board."""
    found = [(place.row.label, place.gain.seeds) for place in one.places if place.gain]
    return [(label, number) for label, number in found if number < one.board.seeds]


def _tried(place: Place) -> int:
    """Trials of the searches, but for those beyond the edge of a grid."""
    return sum(place.row.trials.values()) - place.row.added


def _table(one: Standings, title: str, columns: Columns) -> Table:
    found = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=Text(title), title_justify="left")
    found.add_column("rank", justify="right")
    found.add_column("variant", overflow="fold")
    for name, _ in columns:
        found.add_column(Text(name), justify="right", overflow="fold")
    for place in one.places:
        found.add_row(_rank(place), Text(place.row.label), *(Text(show(place)) for _, show in columns))
    return found


def _tasks(one: Standings) -> list[str]:
    return [task for task in one.board.recipes if task not in one.board.unscored]


def _rank(place: Place) -> str:
    return ABSENT if place.rank is None else str(place.rank)


def _gain(place: Place) -> str:
    """The mean gain; where no base is known, the mean score."""
    if place.gain is None and place.row.mean_gain is None and place.row.mean_score is not None:
        return f"scores {score(place.row.mean_score)}"
    return _interval(place.gain)


def _forgetting(place: Place) -> str:
    return _interval(place.forgetting)


def _regret(place: Place) -> str:
    return ABSENT if place.regret is None else _interval(place.regret.interval)


def _front(place: Place) -> str:
    """The probability of being on the learning-forgetting front."""
    return ABSENT if place.front is None else f"{place.front:.2f}"


def _of_task(task: str) -> Callable[[Place], str]:
    return lambda place: _interval(place.gains.get(task))


def _rate_of(task: str) -> Callable[[Place], str]:
    return lambda place: _edged(place, task)


def _rates(place: Place) -> str:
    return ", ".join(_edged(place, task) for task in place.gains)


def _edged(place: Place, task: str) -> str:
    """The rate on a task, marked where it lies on the edge of what was tried."""
    mark = "*" if place.row.kind == "tuned" and task in place.row.edges else ""
    return rate(place.row.learning_rates.get(task)) + mark


def _trials(place: Place) -> str:
    return outcome(place.row.trials) if place.row.trials else outcome(place.row.statuses)


def _seeds(number: int) -> str:
    return "one seed" if number == 1 else f"{number} seeds"


def _interval(found: Interval | None) -> str:
    """'+4.2 [+1.0, +7.4]'."""
    if found is None:
        return ABSENT
    return f"{points(found.value)} [{points(found.low)}, {points(found.high)}]"


def _plain(place: Place) -> dict[str, Any]:
    row = place.row
    return {
        "rank": place.rank,
        "variant": row.variant,
        "label": row.label,
        "kind": row.kind,
        "settings": row.settings,
        "learning_rates": row.learning_rates,
        "edges": row.edges,
        "trials": row.trials,
        "gain": _asdict(place.gain),
        "gains": {task: _asdict(found) for task, found in place.gains.items()},
        "forgetting": _asdict(place.forgetting),
        "regret": _asdict(place.regret),
        "front": place.front,
        "trainable_parameters": row.trainable_parameters,
        "train_seconds": row.train_seconds,
        "records": list(row.records),
    }


def _asdict(found: Interval | Comparison | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)
