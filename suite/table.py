"""The boards of some records as a terminal shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from suite.record import Record
from suite.summary import Board, Mean, SummaryRow, boards
from suite.words import count, duration, nats, outcome, points, rates, score

Columns = list[tuple[str, Callable[[SummaryRow], str]]]


def table(records: Iterable[Record]) -> Table:
    """What a terminal of 80 columns shows of three tasks; several boards stand one above the other."""
    tables = [_table(board) for board in boards(records)]
    if len(tables) == 1:
        return tables[0]
    stack = Table.grid(padding=(0, 0, 1, 0))
    for each in tables:
        stack.add_row(each)
    return stack


def _table(board: Board) -> Table:
    columns: Columns = [
        *_compared(board),
        ("trained\nparams", lambda row: count(row.trainable_parameters)),
        ("train\ntime", lambda row: duration(row.train_seconds)),
        ("\nrate", lambda row: rates(row.learning_rates).replace(" to ", "-\n")),
    ]
    found = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=Text(f"{board.track} on {board.base.name}"),
        caption=Text(_caption(board)),
    )
    longest = max(len(row.label) for row in board.rows)
    found.add_column("\nvariant", overflow="fold", min_width=min(max(longest, 7), 12))
    for name, _ in columns:
        found.add_column(Text(name), justify="right", no_wrap=True)
    found.add_column("\ncells", min_width=4)
    for row in board.rows:
        found.add_row(
            Text(row.label), *(show(row) for _, show in columns), outcome(row.statuses).replace(", ", ",\n")
        )
    return found


def _compared(board: Board) -> Columns:
    """Gains with their mean, or scores where no gain is known (their mean only over several tasks)."""
    kind, shown = ("score", score) if board.scores_only else ("gain", points)
    scored = [task for task in board.recipes if task not in board.unscored]
    columns: Columns = [
        (f"{task}\n{kind}", lambda row, task=task: _mean(board.compared(row)[task], shown, board.seeds))
        for task in scored
    ]
    columns += [
        (f"{task}\nloss", lambda row, task=task: _mean(row.loss_changes[task], nats, board.seeds))
        for task in board.unscored
    ]
    if scored and not board.scores_only:
        columns.append(("mean\ngain", lambda row: points(row.mean_gain)))
    elif len(scored) > 1:
        columns.append(("mean\nscore", lambda row: score(row.mean_score)))
    if board.forgetting_known:
        columns.append(
            ("forget-\nting", lambda row: points(row.forgetting.value if row.forgetting else None))
        )
    return columns


def _caption(board: Board) -> str:
    repeats = f"mean of {board.seeds} seeds (brackets: of fewer)" if board.seeds > 1 else "one seed"
    if board.scores_only:
        return f"Score: points after training, {repeats}.\nThe base's own score is not known, so no gain is."
    loss = "\nLoss: held-out nats per token, after - before." if board.unscored else ""
    return f"Gain: points after - before, {repeats}.\nForgetting: before - after.{loss}{_trained_on(board)}"


def _trained_on(board: Board) -> str:
    """The training sets, where they are not the embedded world's."""
    named = [f"{task} on {source}" for task, source in sorted(board.sources.items()) if source != "pocket"]
    return f"\nTrained for {', '.join(named)}." if named else ""


def _mean(mean: Mean | None, shown: Callable[[float | None], str], seeds: int) -> str:
    return shown(mean.value if mean else None) + (f" ({mean.n})" if mean and mean.n < seeds else "")
