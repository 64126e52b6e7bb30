"""What a repeated cell scores: outcomes, metrics and losses against those of its record.

Every number has a limit where the machine is another. Of scores and of all else between 0 and 1 that is a
mean over items, it is Newcombe's (1998) 95 % interval of the change; of what is no share it is relative.
Single examples move further than their mean: what all of them moved, added up, may be four times as much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from suite.record import HeldOut, Score, Scores
from suite.reproduction_limits import SCORED, Difference, near, near_all, same, shown

Z = 1.959963984540054  # of a two-sided 95 % interval
SHOWN = 3  # items of a list that are named
EXAMPLES = 4  # times the limit of a mean


def score_differences(name: str, old: Scores | None, new: Scores | None, most: float) -> Iterator[Difference]:
    """What is not the same. `most` is how far losses may be apart, relative to the recorded ones."""
    if old is None or new is None:
        if old is not new:
            was, now = ("not measured" if one is None else "measured" for one in (old, new))
            yield Difference(name, was, now)
        return
    for kind in ("target", "general"):
        yield from _by_name(f"{name}.{kind}", getattr(old, kind), getattr(new, kind), partial(_score, most))
    yield from _by_name(f"{name}.held_out", old.held_out, new.held_out, partial(_held_out, most))
    loss = partial(_loss, most)
    yield from _by_name(f"{name}.log_loss", old.log_loss, new.log_loss, loss)
    yield from loss(f"{name}.bits_per_byte", old.bits_per_byte, new.bits_per_byte)


def _by_name(place: str, old: Mapping[str, Any], new: Mapping[str, Any], how: Any) -> Iterator[Difference]:
    for key in {**old, **new}:
        if key in old and key in new:
            yield from how(f"{place}.{key}", old[key], new[key])
        else:
            was, now = ("there" if key in one else "not there" for one in (old, new))
            yield Difference(f"{place}.{key}", was, now)


def _score(most: float, place: str, old: Score, new: Score) -> Iterator[Difference]:
    for fact in ("evaluation", "metric", "n", "prompts"):
        a, b = getattr(old, fact), getattr(new, fact)
        if a != b:
            yield Difference(f"{place}.{fact}", shown(a), shown(b))
    if not same(old.value, new.value):
        told = f"{new.value:.6g} (change {new.value - old.value:+.4g}{_told(interval(old, new))})"
        within = _alike(old.value, old.n, new.value, new.n, most)
        yield Difference(f"{place}.value", f"{old.value:.6g}", told, within)
    for name in {**old.metrics, **new.metrics}:
        a, b = old.metrics.get(name), new.metrics.get(name)
        if not same(a, b):
            within = _alike(a, old.n, b, new.n, most)
            yield Difference(f"{place}.metrics.{name}", shown(a), shown(b), within)
    if old.batch_changes != new.batch_changes:
        within = _alike(old.batch_changes, old.n, new.batch_changes, new.n, most)
        yield Difference(f"{place}.batch_changes", shown(old.batch_changes), shown(new.batch_changes), within)
    if [item.id for item in old.items] != [item.id for item in new.items]:
        yield Difference(f"{place}.items", f"{len(old.items)} items", f"{len(new.items)}, or other ids")
        return
    for fact, word in (("correct", "outcome"), ("response", "answer")):
        yield from _items(f"{place}.items", word, old, new, fact)


def _items(place: str, word: str, old: Score, new: Score, fact: str) -> Iterator[Difference]:
    pairs = zip(old.items, new.items, strict=True)
    other = [
        (a.id, getattr(a, fact), getattr(b, fact)) for a, b in pairs if getattr(a, fact) != getattr(b, fact)
    ]
    if other:
        which = ", ".join(name for name, _, _ in other[:SHOWN])
        told = f"{place}: {len(other)} of {len(old.items)} {word}s, first of item {which}"
        yield Difference(told, shown(other[0][1]), shown(other[0][2]), True)


def interval(old: Score, new: Score) -> tuple[float, float] | None:
    """95 % interval of new - old over their items; None where the values are no shares of known counts.

    Where single items lie between 0 and 1 it is too wide rather than too narrow: nothing between them varies
    more than what is either.
    """
    return _newcombe(old.value, old.n, new.value, new.n)


def _newcombe(p: float, n: int | None, q: float, m: int | None) -> tuple[float, float] | None:
    """Newcombe's (1998, method 10) for q - p: Wilson's interval of each, put together as roots of squares."""
    if not n or not m or not (0 <= p <= 1 and 0 <= q <= 1):
        return None
    (low, high), (new_low, new_high) = _wilson(p, n), _wilson(q, m)
    return q - p - math.hypot(q - new_low, high - p), q - p + math.hypot(new_high - q, p - low)


def _wilson(p: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share p of n items."""
    middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return middle - half, middle + half


def _alike(old: float | None, n: int | None, new: float | None, m: int | None, most: float) -> bool:
    """Whether two means over n and m items may be those of two machines."""
    if old is None or new is None:
        return False
    ends = _newcombe(old, n, new, m)
    return near(old, new, most) if ends is None else ends[0] <= 0 <= ends[1]


def _told(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f", 95 % interval {ends[0]:+.4g} to {ends[1]:+.4g}"


def _held_out(most: float, place: str, old: HeldOut, new: HeldOut) -> Iterator[Difference]:
    if old.tokens != new.tokens:
        yield Difference(f"{place}.tokens", _first(old.tokens, new.tokens), _first(new.tokens, old.tokens))
        return
    other = [i for i, (a, b) in enumerate(zip(old.nats, new.nats, strict=True)) if not same(a, b)]
    if other:
        told = f"{place}.nats: {len(other)} of {len(old.nats)} examples, first of {other[0]}"
        a, b = (one.nats[other[0]] for one in (old, new))
        within = near_all(old.nats, new.nats, EXAMPLES * most)
        yield Difference(told, f"{a:.9g}", f"{b:.9g}", within)
    if not same(old.accuracy, new.accuracy):
        within = _first_choices(old, new, most)
        yield Difference(f"{place}.accuracy", f"{old.accuracy:.6g}", f"{new.accuracy:.6g}", within)


def _first_choices(old: HeldOut, new: HeldOut, most: float) -> bool:
    """Whether so many first choices may be others: 1 % of the tokens, and after training by the examples."""
    tokens, examples = sum(old.tokens), len(old.tokens)
    few = abs(new.accuracy - old.accuracy) * tokens <= max(1.0, SCORED * tokens) + 1e-9
    return few or (most > SCORED and _alike(old.accuracy, examples, new.accuracy, examples, most))


def _loss(most: float, place: str, old: float | None, new: float | None) -> Iterator[Difference]:
    if not same(old, new):
        yield Difference(place, shown(old), shown(new), near(old, new, most))


def _first(values: Sequence[int], others: Sequence[int]) -> str:
    """The first value that differs, or how many there are."""
    at = next((i for i, (a, b) in enumerate(zip(values, others, strict=False)) if a != b), None)
    return f"{len(values)} of them" if at is None else f"{values[at]} at {at}"
