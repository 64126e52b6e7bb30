"""What a repeated cell has in common with its record: bit for bit, or within what rounding may do.

On the same machine, with the same versions, threads and code, everything must be equal in bits. Elsewhere
sums are rounded in another order, and these are the limits:

- what rounding cannot touch is equal: status, parameters, tokens of the rows, prompts, data, overlaps;
- losses without training (of the base, of the start, of weights that are scored again) are within SCORED;
- losses after training are within TRAINED: a difference in the last bit grows over the steps. Eager
  attention in place of PyTorch's, on the pocket track (200 steps, math, seed 0), moved the validation loss by
  0.04 % (fullft), 7.7 % (lora) and 12 % (lori-s), its two phases at the highest rate;
- every score changes by no more than 95 % intervals over its items allow (Newcombe 1998).

Outcomes of single items, the curve and the effect may differ there, and are told.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from suite.record import HeldOut, Record, Score, Scores

SCORED, TRAINED = 0.01, 0.25  # relative
Z = 1.959963984540054  # of a two-sided 95 % interval
SHOWN = 3  # items of a list that are named
LEFT_OUT = {"provenance", "cost", "notes", "search", "source", "schema_version", "before", "after", "curve"}
LOSSES = {"start_loss"}
ROUNDED = {"effect", "weights", "error"}  # may differ elsewhere; an error quotes a loss


@dataclass(frozen=True)
class Difference:
    """One fact that came out otherwise. `within` is whether that may be where the machine is another."""

    fact: str
    recorded: str
    now: str
    within: bool = False

    def __str__(self) -> str:
        return f"{self.fact}: {self.recorded} recorded, {self.now} now"


def contradictions(record: Record) -> list[Difference]:
    """Where a record disagrees with itself: its id, or a number with the items that it is the mean of."""
    found = []
    if record.id != record.cell.id:
        found.append(Difference("id", record.id, f"{record.cell.id} by its cell"))
    for name, scores in (("before", record.before), ("after", record.after)):
        found += _own_means(name, scores) if scores else []
    return found


def _own_means(name: str, scores: Scores) -> Iterator[Difference]:
    for kind in ("target", "general"):
        for task, score in getattr(scores, kind).items():
            right = [item.correct for item in score.items if item.correct is not None]
            if right and len(right) == len(score.items):
                mean = math.fsum(right) / len(right)
                if not math.isclose(mean, score.value, rel_tol=1e-6, abs_tol=1e-9):
                    told = f"{mean:.6g} by its items"
                    yield Difference(f"{name}.{kind}.{task}.value", f"{score.value:.6g}", told)
    for split, held in scores.held_out.items():
        loss, mean = scores.log_loss.get(split, math.nan), held.log_loss
        if not math.isclose(loss, mean, rel_tol=1e-6):
            yield Difference(f"{name}.log_loss.{split}", f"{loss:.6g}", f"{mean:.6g} by its examples")


def elsewhere(old: Record, new: Record) -> list[Difference]:
    """What of machine, threads, versions and code is not as it was."""
    was, now = old.provenance, new.provenance
    pairs: list[tuple[str, Any, Any]] = [
        ("device", was.device, now.device),
        ("threads", was.threads, now.threads),
        ("commit", was.commit, now.commit),
        ("changes in the checkout", was.dirty, now.dirty),
    ]
    for before, after in ((was.versions, now.versions), (was.settings, now.settings)):
        pairs += [(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]
    return [Difference(name, _shown(a), _shown(b), True) for name, a, b in pairs if a != b]


def differences(old: Record, new: Record, trained: bool = True) -> list[Difference]:
    """Every fact that was measured again and came out otherwise, times and provenance apart.

    `trained` is whether the cell was trained again, and not only scored.
    """
    most = TRAINED if trained else SCORED
    return [
        *_plain(old, new),
        *_curves(old, new),
        *_scores("before", old.before, new.before, SCORED),
        *_scores("after", old.after, new.after, most),
    ]


def _plain(old: Record, new: Record) -> Iterator[Difference]:
    """Facts that are one value, or a list or table of them."""
    was, now = (json.loads(one.model_dump_json(exclude=LEFT_OUT)) for one in (old, new))
    for fact in was:
        if was[fact] == now[fact]:
            continue
        if isinstance(was[fact], dict) and isinstance(now[fact], dict):
            for name in sorted({*was[fact], *now[fact]}):
                a, b = was[fact].get(name), now[fact].get(name)
                if a != b:
                    yield Difference(f"{fact}.{name}", _shown(a), _shown(b), fact in ROUNDED)
        else:
            within = fact in ROUNDED or (fact in LOSSES and _near(was[fact], now[fact], SCORED))
            yield Difference(fact, _shown(was[fact]), _shown(now[fact]), within)


def _curves(old: Record, new: Record) -> Iterator[Difference]:
    if len(old.curve) != len(new.curve):
        yield Difference("steps of the curve", str(len(old.curve)), str(len(new.curve)), old.status != "ok")
        return
    for a, b in zip(old.curve, new.curve, strict=True):
        if a.model_dump_json() != b.model_dump_json():
            fact = "learning_rate" if a.learning_rate != b.learning_rate else "loss"
            told = [_shown(getattr(one, fact)) for one in (a, b)]
            where = f"curve at phase {a.phase}, step {a.step}: {fact}"
            yield Difference(where, *told, within=fact == "loss")
            return


def _scores(name: str, old: Scores | None, new: Scores | None, most: float) -> Iterator[Difference]:
    """`most` is how far losses may be apart, relative to the recorded ones."""
    if old is None or new is None:
        if old is not new:
            was, now = ("not measured" if one is None else "measured" for one in (old, new))
            yield Difference(name, was, now)
        return
    for kind in ("target", "general"):
        yield from _by_name(f"{name}.{kind}", getattr(old, kind), getattr(new, kind), _score)
    yield from _by_name(f"{name}.held_out", old.held_out, new.held_out, _held_out)
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


def _score(place: str, old: Score, new: Score) -> Iterator[Difference]:
    for fact in ("evaluation", "metric", "n", "prompts"):
        a, b = getattr(old, fact), getattr(new, fact)
        if a != b:
            yield Difference(f"{place}.{fact}", _shown(a), _shown(b))
    if not _same(old.value, new.value):
        low, high = interval(old, new)
        told = (
            f"{new.value:.6g} (change {new.value - old.value:+.4g}, 95 % interval {low:+.4g} to {high:+.4g})"
        )
        yield Difference(f"{place}.value", f"{old.value:.6g}", told, low <= 0 <= high)
    for name in {**old.metrics, **new.metrics}:
        a, b = old.metrics.get(name), new.metrics.get(name)
        if not _same(a, b):
            yield Difference(f"{place}.metrics.{name}", _shown(a), _shown(b), None not in (a, b))
    if old.batch_changes != new.batch_changes:
        yield Difference(f"{place}.batch_changes", _shown(old.batch_changes), _shown(new.batch_changes), True)
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
        yield Difference(told, _shown(other[0][1]), _shown(other[0][2]), True)


def interval(old: Score, new: Score) -> tuple[float, float]:
    """95 % interval of new - old over their items; infinite where items are not known to be right or wrong.

    Newcombe's (1998, method 10) for two shares: Wilson's interval of each, put together as roots of squares.
    """
    bounds = [_wilson(score) for score in (old, new)]
    if None in bounds:
        return -math.inf, math.inf
    (low, high), (new_low, new_high) = (bound for bound in bounds if bound)
    change = new.value - old.value
    down = math.hypot(new.value - new_low, high - old.value)
    up = math.hypot(new_high - new.value, old.value - low)
    return change - down, change + up


def _wilson(score: Score) -> tuple[float, float] | None:
    """Wilson's 95 % interval of a share of items."""
    n, p = score.n, score.value
    if not n or not 0 <= p <= 1 or any(item.correct is None for item in score.items):
        return None
    middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return middle - half, middle + half


def _held_out(place: str, old: HeldOut, new: HeldOut) -> Iterator[Difference]:
    if old.tokens != new.tokens:
        yield Difference(f"{place}.tokens", _first(old.tokens, new.tokens), _first(new.tokens, old.tokens))
        return
    other = [i for i, (a, b) in enumerate(zip(old.nats, new.nats, strict=True)) if a != b]
    if other:
        told = f"{place}.nats: {len(other)} of {len(old.nats)} examples, first of {other[0]}"
        yield Difference(told, f"{old.nats[other[0]]:.9g}", f"{new.nats[other[0]]:.9g}", True)
    if old.accuracy != new.accuracy:
        yield Difference(f"{place}.accuracy", f"{old.accuracy:.6g}", f"{new.accuracy:.6g}", True)


def _loss(most: float, place: str, old: float | None, new: float | None) -> Iterator[Difference]:
    if not _same(old, new):
        yield Difference(place, _shown(old), _shown(new), _near(old, new, most))


def _same(old: float | None, new: float | None) -> bool:
    """Equal in bits; not a number equals itself here."""
    return old == new or (old is not None and new is not None and math.isnan(old) and math.isnan(new))


def _near(old: Any, new: Any, most: float) -> bool:
    known = isinstance(old, float) and isinstance(new, float)
    return known and abs(new - old) <= most * abs(old)


def _first(values: Sequence[int], others: Sequence[int]) -> str:
    """The first value that differs, or how many there are."""
    at = next((i for i, (a, b) in enumerate(zip(values, others, strict=False)) if a != b), None)
    return f"{len(values)} of them" if at is None else f"{values[at]} at {at}"


def _shown(value: Any) -> str:
    text = f"{value:.9g}" if isinstance(value, float) else "none" if value is None else str(value)
    return text if len(text) <= 90 else text[:87] + "..."
