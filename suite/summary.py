"""Records side by side: one row a variant, for the terminal (suite.table) and for the page.

Numbers are only compared within a board: one track, one base, one way of evaluating, one recipe a task.
Means are over cells that finished; what was not measured is None, never zero. Where no record of a board
says what the base scored before, no gain is known, and the score after training stands in for it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from suite.comparable import board_key, recipe_key
from suite.keys import content_key
from suite.parts import Kind, Part, parts
from suite.record import BaseRef, Recipe, Record
from suite.seeds import digest
from suite.words import rates

DEFAULT = " (default)"  # ends the label of a variant's row at its documented rates


@dataclass(frozen=True)
class Mean:
    """An average and over how many cells."""

    value: float
    n: int


@dataclass(frozen=True)
class SummaryRow:
    """One variant on one board. Gains, scores and forgetting are in points (0..100), times in seconds.

    `mean_gain` and `mean_score` are over the board's tasks that have an evaluation, None unless all were
    measured. `loss_changes` are after - before of the held-out test loss, in nats.
    `learning_rates` is by task. A variant whose rate was searched for has a row of the cells at the rates
    that won on validation (`kind` "tuned") and one at its documented rates ("default"), if they are others;
    `trials` counts how the trials of its searches ended, `added` those beyond a grid's edge, `edges` says by
    task where a winner lies on the edge of all that was tried. A variant that met several rates without a
    search has one row a rate.
    `trainable_parameters` is the largest of the cells, `train_seconds` the mean of a cell.
    """

    board: str
    track: str
    base: str
    variant: str
    label: str
    kind: Kind | None
    trials: dict[str, int]
    added: int
    edges: dict[str, str]
    settings: dict[str, Any]
    revision: int | None
    learning_rates: dict[str, float | None]
    gains: dict[str, Mean | None]
    mean_gain: float | None
    loss_changes: dict[str, Mean | None]
    scores: dict[str, Mean | None]
    mean_score: float | None
    forgetting: Mean | None
    forgetting_by_skill: dict[str, Mean | None]
    trainable_parameters: int | None
    total_parameters: int | None
    train_seconds: float | None
    statuses: dict[str, int]
    records: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """Rows that may be compared, best first: by mean gain, or by mean score where no gain is known.

    `recipes` is by task label, None where the cells were not trained here; `sources` are training sets.
    `unscored` tasks have no evaluation, and their held-out loss alone tells of them.
    """

    id: str
    track: str
    base: BaseRef
    limit: int | None
    scored_here: bool
    recipes: dict[str, Recipe | None]
    sources: dict[str, str]
    unscored: tuple[str, ...]
    skills: tuple[str, ...]
    rows: tuple[SummaryRow, ...]

    @property
    def gains_known(self) -> bool:
        """Whether any row has a gain; if none has, the scores after training are compared."""
        return any(gain for row in self.rows for gain in row.gains.values())

    @property
    def scores_only(self) -> bool:
        """Whether scores after training are all that is known of how well anything did."""
        return not self.gains_known and any(score for row in self.rows for score in row.scores.values())

    @property
    def forgetting_known(self) -> bool:
        """Whether forgetting was asked for, or measured anyway."""
        return bool(self.skills) or any(row.forgetting for row in self.rows)

    @property
    def seeds(self) -> int:
        """The most cells that a gain (or score) of this board is a mean of."""
        means = (mean for row in self.rows for mean in self.compared(row).values() if mean)
        return max((mean.n for mean in means), default=0)

    def compared(self, row: SummaryRow) -> dict[str, Mean | None]:
        """What the rows are ranked by, by task: gains, or scores where no gain is known."""
        return row.scores if self.scores_only else row.gains


def boards(records: Iterable[Record]) -> list[Board]:
    """Every board of the records, by track, base and id, whatever order the records come in."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.id):
        groups[board_key(record.cell)].append(record)
    found = [_board(members) for group in groups.values() for members in _one_recipe_a_task(group)]
    return sorted(found, key=lambda board: (board.track, board.base.name, board.id))


def rows(records: Iterable[Record]) -> list[SummaryRow]:
    """The rows of every board, one board after the other."""
    return [row for board in boards(records) for row in board.rows]


def task_labels(records: Iterable[Record]) -> dict[str, str]:
    """Record id -> short name of its task; two of one name (other rows or revision) stay apart."""
    found = {record.id: record.cell.task for record in records}
    tasks = {content_key(task): task for task in found.values()}
    sources = Counter(name for name, _ in {(task.name, task.source) for task in tasks.values()})
    labels = _told_apart(
        {key: task.name if sources[task.name] == 1 else task.label for key, task in tasks.items()}
    )
    return {name: labels[content_key(task)] for name, task in found.items()}


def _told_apart(names: dict[str, str]) -> dict[str, str]:
    """key -> name, with the start of the key added where two keys share a name."""
    seen = Counter(names.values())
    return {key: name if seen[name] == 1 else f"{name} {key[:6]}" for key, name in names.items()}


def _one_recipe_a_task(group: Sequence[Record]) -> list[list[Record]]:
    """A track may give each task its own recipe; if one task met two, the recipes are set apart."""
    recipes = {(record.cell.task.label, recipe_key(record.cell)) for record in group}
    if len(recipes) == len({task for task, _ in recipes}):
        return [list(group)]
    apart: dict[str, list[Record]] = defaultdict(list)
    for record in group:
        apart[recipe_key(record.cell)].append(record)
    return list(apart.values())


def _board(members: Sequence[Record]) -> Board:
    first = members[0].cell
    tasks = task_labels(members)
    recipes = {tasks[record.id]: record.cell.recipe for record in members}
    skills = tuple(first.evaluation.general)
    board = Board(
        id=digest([board_key(members[0].cell), sorted({recipe_key(record.cell) for record in members})]),
        track=first.track,
        base=first.base,
        limit=first.evaluation.limit,
        scored_here=first.evaluation.revision is not None,
        recipes=dict(sorted(recipes.items())),
        sources={tasks[record.id]: record.cell.task.source for record in members},
        unscored=tuple(sorted({tasks[one.id] for one in members if not one.cell.evaluation.target})),
        skills=skills,
        rows=(),
    )
    labels = _variant_labels(members)
    found = _unlike([_row(board, labels, tasks, part) for part in parts(members)])
    board = replace(board, rows=found)
    return replace(board, rows=tuple(sorted(found, key=lambda row: _rank(row, board.compared(row)))))


def _variant_labels(members: Sequence[Record]) -> dict[str, str]:
    """A name for each variant: its source's own, or with the settings that tell it from its namesakes."""
    variants = {content_key(record.cell.variant): record.cell.variant for record in members}
    names: dict[str, str] = {}
    for record in members:
        if record.source and record.source.label:
            names.setdefault(content_key(record.cell.variant), record.source.label)
    for key, variant in variants.items():
        if key in names:
            continue
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


def _row(board: Board, labels: dict[str, str], tasks: dict[str, str], part: Part) -> SummaryRow:
    cells = part.cells
    variant = cells[0].cell.variant
    names = {content_key(record.cell.task): tasks[record.id] for record in cells}
    done = [record for record in cells if record.status == "ok"]
    by_task = {task: [one for one in done if tasks[one.id] == task] for task in board.recipes}
    gains = {task: _mean(one.gain for one in ones) for task, ones in by_task.items()}
    scores = {task: _mean(one.score for one in ones) for task, ones in by_task.items()}
    scored = [task for task in by_task if task not in board.unscored]
    times = _mean(record.cost.train_wall_s for record in done if record.cost)
    return SummaryRow(
        board=board.id,
        track=board.track,
        base=board.base.name,
        variant=variant.name,
        label=labels[content_key(variant)] + (DEFAULT if part.kind == "default" else ""),
        kind=part.kind,
        trials=dict(sorted(Counter(record.status for record in part.trials).items(), key=_ok_first)),
        added=sum(one.search is not None and one.search.role == "edge" for one in part.trials),
        edges={names[key]: one.edge for key, one in part.choices.items() if one.edge and key in names},
        settings=variant.settings,
        revision=variant.revision,
        learning_rates={tasks[record.id]: _rate(record, part) for record in cells},
        gains=gains,
        mean_gain=_mean_of_all({task: gains[task] for task in scored}),
        loss_changes={task: _mean(_loss_change(record) for record in ones) for task, ones in by_task.items()},
        scores=scores,
        mean_score=_mean_of_all({task: scores[task] for task in scored}),
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


def _rate(record: Record, part: Part) -> float | None:
    """The rate of a cell; None in the tuned row where nobody won."""
    choice = part.choices.get(content_key(record.cell.task)) if part.kind == "tuned" else None
    return record.cell.learning_rate if choice is None else choice.rate


def _unlike(rows: Sequence[SummaryRow]) -> tuple[SummaryRow, ...]:
    """The rows with labels that differ: by rate where a variant has several rows that no search made."""
    seen = Counter(row.label for row in rows)
    told = []
    for row in rows:
        if seen[row.label] > 1 and row.kind is None:
            row = replace(row, label=f"{row.label} at {rates(row.learning_rates)}")
        told.append(row)
    keys = [digest([row.kind, row.records]) for row in told]  # one cell may stand in two rows
    names = _told_apart({key: row.label for key, row in zip(keys, told, strict=True)})
    return tuple(replace(row, label=names[key]) for key, row in zip(keys, told, strict=True))


def _loss_change(record: Record) -> float | None:
    """What training did to the held-out test loss, nats per token; negative is better."""
    if record.before is None or record.after is None or "test" not in record.after.log_loss:
        return None
    return record.after.log_loss["test"] - record.before.log_loss.get("test", math.nan)


def _rank(row: SummaryRow, means: dict[str, Mean | None]) -> tuple[bool, int, float, str, tuple[str, ...]]:
    """Default rates after all others; complete rows first, then the higher mean, then the name."""
    measured = [mean.value for mean in means.values() if mean]
    average = math.fsum(measured) / len(measured) if measured else 0.0
    return row.kind == "default", len(means) - len(measured), -average, row.label, row.records


def _ok_first(status: tuple[str, int]) -> tuple[bool, str]:
    return status[0] != "ok", status[0]


def _mean(values: Iterable[float | None]) -> Mean | None:
    """The mean of those that were measured; None if none was."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return Mean(math.fsum(known) / len(known), len(known)) if known else None


def _mean_of_all(means: dict[str, Mean | None]) -> float | None:
    """Over the tasks; None unless all were measured."""
    known = [mean.value for mean in means.values() if mean]
    return math.fsum(known) / len(known) if known and len(known) == len(means) else None


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
