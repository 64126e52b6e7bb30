"""The columns of a board's table, in order: what each is called, what it means, how a row's cell is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from leaderboard import shown
from leaderboard.best import Beside
from leaderboard.pages import minus, size
from leaderboard.shown import Cell, Scale, Show, number, plain, with_interval
from leaderboard.site import BoardView, RowView
from suite.words import duration, score

UP = "ascending"  # what is good when low is sorted lowest first


@dataclass(frozen=True)
class Column:
    """One column. `first` is the direction that a first click sorts in, `scale` that of its bars.

    `task` is the task it is about; columns that are not `usual` are shown when asked for.

    `kind`: "n" a number, "c" one with its interval, "s" several that are saved as shown, "t" text.
    """

    key: str
    title: str
    kind: str
    hint: str
    show: Show
    first: str = "descending"
    usual: bool = True
    task: str | None = None
    scale: Scale | None = None


def columns(board: BoardView, beside: Mapping[str, Beside | None]) -> list[Column]:
    """The columns of a board. `beside` says by a column's key what cannot be told from its best."""
    return [*_ranks(board, beside), *_tasks(board, beside), *_losses(board, beside), *_costs(board), *_more()]


def _scale(board: BoardView) -> Scale:
    """All gains share one."""
    return Scale.of([one for row in board.rows for one in (row.place.gain, *row.place.gains.values()) if one])


def _ranks(board: BoardView, beside: Mapping[str, Beside | None]) -> list[Column]:
    found: list[Column] = []
    if board.ranked:
        hint = "1 + how many are better beyond doubt"
        found.append(Column("rank", "Rank", "n", hint, shown.rank, UP))
    if board.standings.board.scores_only:
        show = number(lambda row: row.place.row.mean_score, score)
        return [*found, Column("score", "Mean score", "n", "points after training, over the tasks", show)]
    show = with_interval(
        lambda place: place.gain,
        beside.get("gain"),
        board.standings.board.seeds,
        lambda row: row.place.row.mean_gain,
    )
    hint = "points (of 100) that training added on the test items of its task, mean over the tasks"
    return [*found, Column("gain", "Mean gain", "c", hint, show, scale=_scale(board))]


def _tasks(board: BoardView, beside: Mapping[str, Beside | None]) -> list[Column]:
    whole = board.standings.board
    tasks = [task for task in whole.recipes if task not in whole.unscored]
    scale, alone = _scale(board), len(tasks) == 1

    def column(task: str) -> Column:
        def mean(row: RowView) -> float | None:
            found = whole.compared(row.place.row).get(task)
            return found.value if found else None

        key = f"task {task}"
        if whole.scores_only:
            hint = f"points after training on {task}"
            return Column(key, f"Score: {task}", "n", hint, number(mean, score), usual=not alone, task=task)
        show = with_interval(lambda place: place.gains.get(task), beside.get(key), whole.seeds, mean)
        hint = f"points gained on {task}"
        return Column(key, f"Gain: {task}", "c", hint, show, usual=not alone, task=task, scale=scale)

    def loss(task: str) -> Column:
        def value(row: RowView) -> float | None:
            found = row.place.row.loss_changes.get(task)
            return found.value if found else None

        show = number(value, lambda one: minus(f"{one:+.3f}"))
        hint = f"nats per token on held-out examples of {task}, after minus before; lower is better"
        return Column(f"loss {task}", f"Loss change: {task}", "n", hint, show, UP, task=task)

    return [*map(column, tasks), *map(loss, whole.unscored)]


def _losses(board: BoardView, beside: Mapping[str, Beside | None]) -> list[Column]:
    """What was lost: forgetting, and the regret beside full fine-tuning."""
    whole, found = board.standings.board, []
    if whole.forgetting_known:
        show = with_interval(
            lambda place: place.forgetting,
            beside.get("forgetting"),
            whole.seeds,
            lambda row: row.place.row.forgetting.value if row.place.row.forgetting else None,
        )
        hint = "points lost on general skills that nobody trained for; lower is better"
        scale = Scale.of([row.place.forgetting for row in board.rows if row.place.forgetting])
        found.append(Column("forgetting", "Forgetting", "c", hint, show, UP, scale=scale))
    if board.standings.reference:
        show = with_interval(
            lambda place: place.regret.interval if place.regret else None,
            None,
            whole.seeds,
            lambda row: None,
        )
        hint = "points of gain behind full fine-tuning, both at their best rate; lower is better"
        scale = Scale.of([row.place.regret.interval for row in board.rows if row.place.regret])
        found.append(Column("regret", "Regret", "c", hint, show, UP, scale=scale))
    return found


def _costs(board: BoardView) -> list[Column]:
    devices = {device for row in board.rows for device in row.cost.devices}
    ways = {way for row in board.rows for way in row.cost.memory_methods}

    def time(row: RowView) -> Cell:
        if row.cost.train_s is None:
            return plain(row.place.row.train_seconds, duration, "in a pack")
        return plain(row.cost.train_s, duration, ", ".join(row.cost.devices) if len(devices) > 1 else "")

    def memory(row: RowView) -> Cell:
        told = ", ".join(row.cost.memory_methods) if len(ways) > 1 else ""
        return plain(row.cost.peak_memory_bytes, size, told)

    at = "the largest of a training step"
    took = "of training a cell, mean; evaluation not counted"
    rates = "that won the search on validation, or is documented; by task the lowest to the highest"
    return [
        Column("rate", "Learning rate", "s", rates, shown.learning_rate),
        Column("parameters", "Trained", "n", "parameters that train, and their share", shown.trained, UP),
        Column("memory", "Peak memory", "n", _apart(at, ways, "ways of counting"), memory, UP),
        Column("time", "Time", "n", _apart(took, devices, "devices"), time, UP),
        Column(
            "cells",
            "Cells",
            "t",
            "how its training runs ended, and the trials of its search",
            shown.cells,
            UP,
        ),
    ]


def _more() -> list[Column]:
    """Columns that a reader asks for."""
    front = number(lambda row: row.place.front, lambda one: f"{one:.2f}")
    file = number(lambda row: row.cost.adapter_bytes, size)
    ahead = "probability that no other gains as much and forgets less"
    return [
        Column("front", "On the front", "n", ahead, front, usual=False),
        Column("setting", "Adapter rank", "n", "its setting called rank", shown.setting, UP, usual=False),
        Column("file", "Adapter file", "n", "bytes of the exported weights", file, UP, usual=False),
        Column("settings", "Settings", "t", "of the method", shown.settings, UP, usual=False),
    ]


def _apart(hint: str, ways: set[str], noun: str) -> str:
    return f"{hint}; rows of other {noun} do not compare" if len(ways) > 1 else hint
