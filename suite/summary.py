"""Records side by side: one row a variant, for the terminal and for the page.

Numbers are only compared within a board: one track, one base, one way of evaluating, one recipe a task.
Means are over cells that finished; what was not measured is None, never zero.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from suite.record import BaseRef, Recipe, Record, TaskRef, VariantRef
from suite.seeds import digest
from suite.words import count, duration, outcome, points, rates


@dataclass(frozen=True)
class Mean:
    """An average and over how many cells."""

    value: float
    n: int


@dataclass(frozen=True)
class SummaryRow:
    """One variant on one board. Gains and forgetting are in points (0..100), times in seconds.

    `mean_gain` is over the board's tasks, None unless all were measured.
    `learning_rates` is by task. A variant that met several rates on one task has one row a rate.
    `trainable_parameters` is the largest of the cells, `train_seconds` the mean of a cell.
    """

    board: str
    track: str
    base: str
    variant: str
    label: str
    settings: dict[str, Any]
    revision: int
    learning_rates: dict[str, float]
    gains: dict[str, Mean | None]
    mean_gain: float | None
    forgetting: Mean | None
    forgetting_by_skill: dict[str, Mean | None]
    trainable_parameters: int | None
    total_parameters: int | None
    train_seconds: float | None
    statuses: dict[str, int]
    records: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """Rows that may be compared, best mean gain first. `recipes` is by task label."""

    id: str
    track: str
    base: BaseRef
    limit: int | None
    recipes: dict[str, Recipe]
    skills: tuple[str, ...]
    rows: tuple[SummaryRow, ...]

    @property
    def seeds(self) -> int:
        """The most cells that a gain of this board is a mean of."""
        return max((gain.n for row in self.rows for gain in row.gains.values() if gain), default=0)


def boards(records: Iterable[Record]) -> list[Board]:
    """Every board of the records, by track, base and id, whatever order the records come in."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.id):
        groups[_group(record)].append(record)
    found = [_board(members) for group in groups.values() for members in _one_recipe_a_task(group)]
    return sorted(found, key=lambda board: (board.track, board.base.name, board.id))


def rows(records: Iterable[Record]) -> list[SummaryRow]:
    """The rows of every board, one board after the other."""
    return [row for board in boards(records) for row in board.rows]


def table(records: Iterable[Record]) -> Table:
    """What a terminal of 80 columns shows of three tasks; several boards stand one above the other."""
    tables = [_table(board) for board in boards(records)]
    if len(tables) == 1:
        return tables[0]
    stack = Table.grid(padding=(0, 0, 1, 0))
    for each in tables:
        stack.add_row(each)
    return stack


def task_labels(records: Iterable[Record]) -> dict[str, str]:
    """Record id -> short name of its task; two tasks of one name (other data or revision) stay apart."""
    found = {record.id: record.cell.task for record in records}
    labels = _told_apart({_key(task): task.name for task in found.values()})
    return {name: labels[_key(task)] for name, task in found.items()}


def _key(part: BaseRef | TaskRef | VariantRef | Recipe) -> str:
    return digest(part.model_dump(mode="json"))


def _told_apart(names: dict[str, str]) -> dict[str, str]:
    """key -> name, with the start of the key added where two keys share a name."""
    seen = Counter(names.values())
    return {key: name if seen[name] == 1 else f"{name} {key[:6]}" for key, name in names.items()}


def _group(record: Record) -> str:
    cell, how = record.cell, record.cell.evaluation
    return digest([cell.track, _key(cell.base), how.general, how.general_digest, how.limit, how.revision])


def _one_recipe_a_task(group: Sequence[Record]) -> list[list[Record]]:
    """A track may give each task its own recipe; if one task met two, the recipes are set apart."""
    recipes = {(record.cell.task.name, _key(record.cell.recipe)) for record in group}
    if len(recipes) == len({task for task, _ in recipes}):
        return [list(group)]
    apart: dict[str, list[Record]] = defaultdict(list)
    for record in group:
        apart[_key(record.cell.recipe)].append(record)
    return list(apart.values())


def _board(members: Sequence[Record]) -> Board:
    first = members[0].cell
    tasks = task_labels(members)
    recipes = {tasks[record.id]: record.cell.recipe for record in members}
    skills = tuple(first.evaluation.general)
    board = Board(
        id=digest([_group(members[0]), sorted({_key(recipe) for recipe in recipes.values()})]),
        track=first.track,
        base=first.base,
        limit=first.evaluation.limit,
        recipes=dict(sorted(recipes.items())),
        skills=skills,
        rows=(),
    )
    labels = _variant_labels(members)
    found = [_row(board, labels, tasks, part) for part in _parts(members)]
    found.sort(key=_rank)
    return Board(**{**vars(board), "rows": tuple(found)})


def _parts(members: Sequence[Record]) -> list[list[Record]]:
    """The cells of each row: by variant, and by learning rate where a task met several."""
    by_variant: dict[str, list[Record]] = defaultdict(list)
    for record in members:
        by_variant[_key(record.cell.variant)].append(record)
    parts: list[list[Record]] = []
    for cells in by_variant.values():
        met = {(_key(record.cell.task), record.cell.learning_rate) for record in cells}
        if len(met) == len({task for task, _ in met}):
            parts.append(cells)
            continue
        by_rate: dict[float, list[Record]] = defaultdict(list)
        for record in cells:
            by_rate[record.cell.learning_rate].append(record)
        parts.extend(by_rate.values())
    return parts


def _variant_labels(members: Sequence[Record]) -> dict[str, str]:
    """A name for each variant: with the settings that tell it from its namesakes, if it has any."""
    variants = {_key(record.cell.variant): record.cell.variant for record in members}
    names: dict[str, str] = {}
    for key, variant in variants.items():
        namesakes = [other for other in variants.values() if other.name == variant.name]
        telling = [
            f"{setting}={value}"
            for setting, value in variant.settings.items()
            if any(other.settings.get(setting) != value for other in namesakes)
        ]
        if any(other.revision != variant.revision for other in namesakes):
            telling.append(f"revision {variant.revision}")
        names[key] = " ".join([variant.name, *telling])
    return _told_apart(names)


def _row(board: Board, labels: dict[str, str], tasks: dict[str, str], cells: Sequence[Record]) -> SummaryRow:
    variant = cells[0].cell.variant
    done = [record for record in cells if record.status == "ok"]
    gains = {
        task: _mean(record.gain for record in done if tasks[record.id] == task) for task in board.recipes
    }
    measured = [gain.value for gain in gains.values() if gain]
    complete = len(measured) == len(gains)
    times = _mean(record.cost.train_wall_s for record in done if record.cost)
    return SummaryRow(
        board=board.id,
        track=board.track,
        base=board.base.name,
        variant=variant.name,
        label=labels[_key(variant)],
        settings=variant.settings,
        revision=variant.revision,
        learning_rates={tasks[record.id]: record.cell.learning_rate for record in cells},
        gains=gains,
        mean_gain=math.fsum(measured) / len(measured) if complete else None,
        forgetting=_mean(record.forgetting for record in done),
        forgetting_by_skill={
            skill: _mean(record.forgetting_by_skill.get(skill) for record in done) for skill in board.skills
        },
        trainable_parameters=_largest(record.trainable_parameters for record in cells),
        total_parameters=_largest(record.total_parameters for record in cells),
        train_seconds=times.value if times else None,
        statuses=dict(sorted(Counter(record.status for record in cells).items(), key=_ok_first)),
        records=tuple(record.id for record in cells),
    )


def _rank(row: SummaryRow) -> tuple[int, float, str, tuple[str, ...]]:
    """Complete rows first, then the higher gain, then the name."""
    measured = [gain.value for gain in row.gains.values() if gain]
    average = math.fsum(measured) / len(measured) if measured else 0.0
    return len(row.gains) - len(measured), -average, row.label, row.records


def _ok_first(status: tuple[str, int]) -> tuple[bool, str]:
    return status[0] != "ok", status[0]


def _mean(values: Iterable[float | None]) -> Mean | None:
    """The mean of those that were measured; None if none was."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return Mean(math.fsum(known) / len(known), len(known)) if known else None


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _table(board: Board) -> Table:
    columns: list[tuple[str, Callable[[SummaryRow], str]]] = [
        *(
            (f"{task}\ngain", lambda row, task=task: _gain(row.gains[task], board.seeds))
            for task in board.recipes
        ),
        ("mean\ngain", lambda row: points(row.mean_gain)),
        ("forget-\nting", lambda row: points(row.forgetting.value if row.forgetting else None)),
        ("trained\nparams", lambda row: count(row.trainable_parameters)),
        ("train\ntime", lambda row: duration(row.train_seconds)),
        ("\nrate", lambda row: rates(row.learning_rates).replace(" to ", "-\n")),
    ]
    repeats = f"mean of {board.seeds} seeds (brackets: of fewer)" if board.seeds > 1 else "one seed"
    found = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=Text(f"{board.track} on {board.base.name}"),
        caption=Text(f"Gain: points after - before, {repeats}.\nForgetting: before - after."),
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


def _gain(mean: Mean | None, seeds: int) -> str:
    return points(mean.value if mean else None) + (f" ({mean.n})" if mean and mean.n < seeds else "")
