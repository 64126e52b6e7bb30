"""What a record may hold beyond its schema, so that no table, page or statistic breaks on it.

The schema says which fields there are. Records come from anywhere, so this says which values they may have:
names are short and printable, numbers are of a size that can be squared and summed, items are named once and
are right by a share, and what a mean or a log is taken of is a number. A loss may be NaN or infinite (a run
diverged), and free text may be anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from suite.facts import visible
from suite.marked import LONGEST_NAME, Marked
from suite.origin import Fact, Source
from suite.record import HeldOut, Record, Score, Scores

MOST_EVALUATIONS = 1_000
MOST_VALUES = 20_000  # of a list or a mapping: more than any model has weights; a page shows all of them
DEEPEST = 20  # levels of a setting
LARGEST_NUMBER = 1e100  # what a float32 computes ends at 3.4e38; squares and sums of this are still finite
LARGEST_COUNT = 1 << 63

# Fields whose text is for people, as long as they like, and those whose numbers may be NaN or infinite. Both
# are true of what a source says (`Source`).
_TEXT = {"error", "notes", "command"}
_OPEN = {"start_loss", "log_loss", "bits_per_byte", "effect", "metrics"}
_TAKEN = {  # every object of a browser has these, so what is found there by name is not what was put there
    *("__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
    *("constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable"),
    *("toLocaleString", "toString", "valueOf"),
}
_LISTS = {"items", "curve", "held_out"}  # looked at below, item by item


def fault(record: Record, good: Scores | None = None) -> str | None:
    """Why this record cannot be used, in one printable line; None if it can.

    `good` are scores that were found to have no fault: that object is not looked at again.
    """
    try:
        _look(record, "", text=False, open_=False, depth=0, good=good)
        _cell(record)
        for part, scores in (("before", record.before), ("after", record.after)):
            if scores is not None and scores is not good:
                _scores(part, scores)
        _curve(record)
    except _Fault as found:
        return visible(str(found))
    return None


class _Fault(Exception):
    pass


def _look(value: Any, place: str, text: bool, open_: bool, depth: int, good: Scores | None = None) -> None:
    """Raise _Fault for the first value, however deep, that is no name, no number or no count."""
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        if not text and (len(value) > LONGEST_NAME or not value.isprintable()):
            raise _Fault(f"{place}: {_told(value)}; expected at most {LONGEST_NAME} printable characters")
    elif isinstance(value, int):
        if abs(value) >= LARGEST_COUNT:
            raise _Fault(f"{place}: an integer of {value.bit_length()} bits; expected 64 at most")
    elif isinstance(value, float):
        if not (abs(value) <= LARGEST_NUMBER or (open_ and not math.isfinite(value))):
            raise _Fault(f"{place}: {value}; expected a number of at most {LARGEST_NUMBER:g}")
    elif depth > DEEPEST:
        raise _Fault(f"{place[:100]}: more than {DEEPEST} levels of values in values")
    else:
        fact = isinstance(value, Fact)
        inner = value.__dict__ if fact else value
        if not fact and len(inner) > MOST_VALUES:
            raise _Fault(f"{place[:100]}: {len(inner)} values; expected at most {MOST_VALUES}")
        pairs = inner.items() if isinstance(inner, Mapping) else enumerate(inner)
        for name, one in pairs:
            if not fact and not _usual(name):
                _look(name, f"{place}'s names", text, open_, depth)
            if one is good or _usual(one) or (fact and name in _LISTS):
                continue
            free = isinstance(one, Source)
            words, wide = (text or free, open_ or free)
            if fact:
                words, wide = words or name in _TEXT, wide or name in _OPEN
            _look(one, f"{place}.{name}" if place else str(name), words, wide, depth + 1)


def _usual(value: Any) -> bool:
    """Whether a value is fine wherever it stands, as nearly all are."""
    kind = type(value)
    if kind is str:
        return len(value) <= LONGEST_NAME and value.isprintable()
    if kind is float or kind is int:
        return -LARGEST_NUMBER <= value <= LARGEST_NUMBER if kind is float else abs(value) < LARGEST_COUNT
    return value is None or kind is bool


def _told(value: str) -> str:
    return f"{len(value)} characters" if len(value) > LONGEST_NAME else f"{value!r}"


def _cell(record: Record) -> None:
    """What the names, the search and the cost must be."""
    cell, cost = record.cell, record.cost
    named = [cell.track, cell.base.name, cell.variant.name, cell.task.name, *cell.evaluation.target]
    for name in (*named, *cell.evaluation.general):
        if not name.strip() or name in _TAKEN:
            raise _Fault(f"cell: {name!r} cannot name a track, base, variant, task or evaluation")
    if max(len(cell.evaluation.target), len(cell.evaluation.general)) > MOST_EVALUATIONS:
        raise _Fault(f"cell.evaluation: more than {MOST_EVALUATIONS} evaluations")
    if record.search is not None and (cell.learning_rate is None or cell.seed is None or cell.recipe is None):
        raise _Fault("search: of a cell that says no recipe, rate or seed")
    counts = {
        "trainable_parameters": record.trainable_parameters,
        "total_parameters": record.total_parameters,
    }
    spent = cost.model_dump(exclude={"flops", "latency"}) if cost else {}
    for name, value in {**counts, **{f"cost.{name}": value for name, value in spent.items()}}.items():
        if isinstance(value, int | float) and value < 0:
            raise _Fault(f"{name}: {value}; expected 0 or more")
    if cost and cost.flops and cost.flops.tokens <= 0:
        raise _Fault(f"cost.flops.tokens: {cost.flops.tokens}; expected 1 or more")


def _scores(part: str, scores: Scores) -> None:
    for kind, known in (("target", scores.target), ("general", scores.general)):
        if len(known) > MOST_EVALUATIONS:
            raise _Fault(f"{part}.{kind}: more than {MOST_EVALUATIONS} evaluations")
        for name, score in known.items():
            if score.evaluation != name:
                raise _Fault(f"{part}.{kind}.{name}: holds the score of {score.evaluation}")
            _items(f"{part}.{kind}.{name}", score)
    for split, held in scores.held_out.items():
        _held_out(f"{part}.held_out.{split}", held)


def _items(place: str, score: Score) -> None:
    """Items are named once, and right by a share of 0 to 1."""
    if not score.items or isinstance(score.items, Marked):  # which are so by what they are
        return
    ids = [item.id for item in score.items]
    names = set(ids)
    if len(names) < len(ids):
        raise _Fault(f"{place}: names an item twice")
    if len(max(names, key=len)) > LONGEST_NAME:
        raise _Fault(f"{place}: an item's name of more than {LONGEST_NAME} characters")
    outcomes = {item.correct for item in score.items}
    for outcome in outcomes - {0.0, 1.0, None}:
        if not (outcome is not None and 0 <= outcome <= 1):
            raise _Fault(f"{place}: an item is {outcome} right; expected 0 to 1")


def _held_out(place: str, held: HeldOut) -> None:
    """As many losses as lengths, of some tokens in all."""
    if len(held.nats) != len(held.tokens):
        raise _Fault(f"{place}: {len(held.nats)} losses and {len(held.tokens)} lengths; expected as many")
    if held.tokens and not (min(held.tokens) >= 0 and 0 < sum(held.tokens) < LARGEST_COUNT):
        raise _Fault(f"{place}: {min(held.tokens)} tokens at the least, {sum(held.tokens)} in all")
    _series(place, [held.accuracy, *held.nats])


def _curve(record: Record) -> None:
    if record.curve:
        steps = [step for point in record.curve for step in (point.phase, point.step)]
        if max(map(abs, steps)) >= LARGEST_COUNT:
            raise _Fault("curve: a step of more than 64 bits")
        _series("curve", [point.loss for point in record.curve])
        _series("curve", [point.learning_rate or 0.0 for point in record.curve])


def _series(place: str, values: list[float]) -> None:
    """Losses are of a size that can be summed, or NaN, or infinite."""
    if values and min(values) >= -LARGEST_NUMBER and max(values) <= LARGEST_NUMBER:
        return  # a NaN at the front would be both, and is not; one behind it hides no other number
    for value in values:
        if abs(value) > LARGEST_NUMBER and math.isfinite(value):
            raise _Fault(f"{place}: {value}; expected a number of at most {LARGEST_NUMBER:g}")
