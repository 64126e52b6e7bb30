"""Samples from records: what one variant did on one task, item by item, under each seed.

All records of a sample are of one variant on one task and differ in their seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from suite.errors import UserError
from suite.marked import RIGHT, Marked
from suite.record import Cell, Record, Score, Scores
from suite.statistics.sample import Sample, Values
from suite.words import title

CHANGE = (-100.0, 100.0)  # the least and most that an item can change by, points
SCORE = (0.0, 100.0)
ALIKE = ("variant", "task", "base", "learning_rate", "recipe", "evaluation")
Names = tuple[tuple[str, tuple[str, ...]], ...]  # (evaluation, its items)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Points of every item, evaluation by evaluation; a board has millions, so they are one array."""

    names: Names
    values: Values

    def like(self, other: Outcomes) -> Values | None:
        """The values in the other's order of items; None if these are of other items."""
        if self.names == other.names:
            return self.values
        keys, wanted = (
            [(evaluation, item) for evaluation, ids in one.names for item in ids] for one in (self, other)
        )
        place = {key: at for at, key in enumerate(keys)}
        if place.keys() != set(wanted):
            return None
        return self.values[[place[key] for key in wanted]]


def gain(records: Iterable[Record]) -> Sample:
    """after - before of the first target evaluation, points: +100 an item turned right, -100 turned wrong."""
    ordered = _one_a_seed(records)
    return _table(ordered, _changes(ordered, 1, _target), CHANGE)


def score(records: Iterable[Record], evaluation: str | None = None) -> Sample:
    """One evaluation after training (none named: the first target), points: 100 an item that is right."""
    ordered = _one_a_seed(records)
    rows = [_outcomes(_named(_after(record), record.cell, evaluation), record.cell) for record in ordered]
    return _table(ordered, rows, SCORE)


def forgetting(records: Iterable[Record]) -> Sample:
    """before - after of every general skill, points; the skills weigh the same. Positive is worse."""
    ordered = _one_a_seed(records)
    if not all(_after(record).general for record in ordered):
        raise UserError(
            f"{title(ordered[0].cell)}: no general skill was evaluated, so no forgetting is known"
        )
    return _table(ordered, _changes(ordered, -1, lambda scores, cell: scores.general), CHANGE)


def skill(records: Iterable[Record], name: str) -> Sample:
    """before - after of one general skill, points. Positive is worse. UserError if it was not evaluated."""
    ordered = _one_a_seed(records)
    for record in ordered:
        if name not in (known := _after(record).general):
            raise UserError(f"{title(record.cell)}: no skill {name!r}; it has {', '.join(known) or 'none'}")
    rows = _changes(ordered, -1, lambda scores, cell: {name: scores.general[name]})
    return _table(ordered, rows, CHANGE)


def log_loss(records: Iterable[Record], split: str = "test") -> Sample:
    """Held-out loss of one split, nats per token; its mean is `Scores.log_loss` (a mean over tokens).

    A ratio of sums, so an example's value is what it adds to the ratio: the loss plus
    (its nats - loss * its tokens) * examples / tokens (the linear form of a ratio, Cochran 1977, chapter 6).
    """
    ordered = _one_a_seed(records)
    rows = []
    for record in ordered:
        held = record.after.held_out.get(split) if record.after else None
        if held is None or not held.nats:
            raise UserError(
                f"{title(record.cell)}: no held-out losses of {split!r} example by example in its record"
            )
        nats, tokens = np.array(held.nats), np.array(held.tokens, dtype=float)
        if not np.isfinite(nats).all():
            raise UserError(f"{title(record.cell)}: a held-out loss of {split!r} is no finite number")
        loss = nats.sum() / tokens.sum()
        values = loss + (nats - loss * tokens) * len(nats) / tokens.sum()
        rows.append(Outcomes(((split, _numbered(len(values))),), values))
    return _table(ordered, rows, None)


def _one_a_seed(records: Iterable[Record]) -> list[Record]:
    """The records by seed. UserError unless they are one finished cell a seed, alike in everything else."""
    found = sorted(records, key=lambda record: (record.cell.seed is None, record.cell.seed or 0))
    if not found:
        raise UserError("no records: a sample needs one finished cell at least")
    seeds = [record.cell.seed for record in found]
    for record in found:
        if record.status != "ok" or record.after is None:
            raise UserError(f"{title(record.cell)} ended {record.status}: it has no items; leave it out")
        if record.cell.seed is None and len(found) > 1:
            raise UserError(f"{title(record.cell)} says no seed; records are told apart by their seed")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"two records of one seed ({title(found[0].cell)}, seeds {seeds}); give one a seed")
    first = found[0].cell
    for record in found[1:]:
        for part in ALIKE:
            if getattr(record.cell, part) != getattr(first, part):
                raise UserError(
                    f"a sample is of one {part.replace('_', ' ')}: {title(first)} ({found[0].id}) and "
                    f"{title(record.cell)} ({record.id}) differ in it"
                )
    return found


def _after(record: Record) -> Scores:
    if record.measured != "all" or record.after is None:
        raise UserError(
            f"{title(record.cell)}: a trial of a search, whose test split was not read; leave it out"
        )
    return record.after


def _target(scores: Scores, cell: Cell) -> Mapping[str, Score]:
    """The first target evaluation, by its name."""
    names = cell.evaluation.target
    if not names or names[0] not in scores.target:
        raise UserError(f"{title(cell)}: its task was not evaluated; compare its held-out loss")
    return {names[0]: scores.target[names[0]]}


def _named(scores: Scores, cell: Cell, name: str | None) -> Mapping[str, Score]:
    """One evaluation by its name; the first target evaluation where there is none."""
    if name is None:
        return _target(scores, cell)
    if name not in (known := {**scores.target, **scores.general}):
        raise UserError(f"{title(cell)}: no evaluation {name!r}; it has {', '.join(known) or 'none'}")
    return {name: known[name]}


def _changes(
    records: Iterable[Record], sign: int, of: Callable[[Scores, Cell], Mapping[str, Score]]
) -> list[Outcomes]:
    """sign * (after - before) of every item, by record. Cells often share one object of scores before."""
    known: dict[int, Outcomes] = {}
    found = []
    for record in records:
        cell, scores = record.cell, record.before
        if scores is None:
            raise UserError(f"{title(cell)}: not scored before training, so no change is known")
        after = _outcomes(of(_after(record), cell), cell)
        if (before := known.get(id(scores))) is None:
            before = known[id(scores)] = _outcomes(of(scores, cell), cell)
        if (start := before.like(after)) is None:
            raise UserError(f"{title(cell)}: other items were scored before than after training")
        found.append(Outcomes(after.names, sign * (after.values - start)))
    return found


def _outcomes(scores: Mapping[str, Score], cell: Cell) -> Outcomes:
    """The outcome of every item, points. UserError where a score is no mean of its items' outcomes."""
    names, values = [], []
    for name, each in scores.items():
        ids, points = _points(name, each, cell)
        if abs(float(points.mean()) - 100 * each.value) > 1e-6:
            raise UserError(f"{title(cell)}: {name}'s {each.metric} is no mean of its items' outcomes")
        if not isinstance(each.items, Marked) and len(set(ids)) < len(ids):
            raise UserError(f"{title(cell)}: {name} names an item twice")
        names.append((name, ids))
        values.append(points)
    return Outcomes(tuple(names), np.concatenate(values))


def _points(name: str, score: Score, cell: Cell) -> tuple[tuple[str, ...], Values]:
    """The items of a score, and the points of each."""
    if isinstance(score.items, Marked):
        right = np.frombuffer(score.items.outcomes, dtype=np.uint8) == RIGHT
        return score.items.ids, 100.0 * right
    outcomes = [item.correct for item in score.items]
    if not outcomes or None in outcomes:
        raise UserError(
            f"{title(cell)}: {name} has no outcome item by item, so it cannot be compared by item"
        )
    return tuple([item.id for item in score.items]), 100 * np.array(outcomes, dtype=float)


def _table(ordered: Sequence[Record], rows: Sequence[Outcomes], limits: tuple[float, float] | None) -> Sample:
    """The sample of one row a record. UserError where the items differ."""
    first = rows[0]
    values = []
    for record, row in zip(ordered, rows, strict=True):
        if (like := row.like(first)) is None:
            raise UserError(
                f"{title(ordered[0].cell)} and {title(record.cell)} were evaluated on other items; "
                "run both with the same limit and data"
            )
        values.append(like)
    items, groups = _flat(first.names)
    return Sample(
        seeds=tuple(record.cell.seed or 0 for record in ordered),
        items=items,
        values=np.array(values),
        groups=groups if len(first.names) > 1 else (),
        limits=limits,
    )


@lru_cache(maxsize=64)
def _numbered(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


@lru_cache(maxsize=64)
def _flat(names: Names) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """'evaluation:item' of every item, and its evaluation; one object for all samples of the same items."""
    pairs = [(evaluation, item) for evaluation, ids in names for item in ids]
    return tuple(f"{evaluation}:{item}" for evaluation, item in pairs), tuple(one for one, _ in pairs)
