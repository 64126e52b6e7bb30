"""What a repeated cell has in common with its record: bit for bit, or within what rounding may do.

On the same machine, with the same versions, threads and code, everything must be equal in bits. Elsewhere
sums are rounded in another order, training amplifies that, and these are the limits:

- what rounding cannot touch is equal: status, parameters, tokens of the rows, prompts, data, overlaps;
- losses are within LOSS of the recorded ones (the study in LOG.md has what other kernels and threads do);
- every score is within the 95 % interval of the recorded one over its items (Wilson 1927).

Outcomes of single items, the curve and the effect may differ there, and are told.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.record import HeldOut, Record, Score, Scores

LOSS = 0.02  # relative
Z = 1.959963984540054  # of a two-sided 95 % interval
SHOWN = 3  # items of a list that are named
LEFT_OUT = {"provenance", "cost", "notes", "search", "source", "schema_version", "before", "after", "curve"}
LOSSES = {"start_loss"}
ROUNDED = {"effect", "weights", "error"}  # may differ elsewhere; an error quotes a loss
UNWRITTEN = (math.inf, -math.inf)


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


def differences(old: Record, new: Record) -> list[Difference]:
    """Every fact that was measured again and came out otherwise, times and provenance apart."""
    return [
        *_plain(old, new),
        *_curves(old, new),
        *(d for name in ("before", "after") for d in _scores(name, getattr(old, name), getattr(new, name))),
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
            within = fact in ROUNDED or (fact in LOSSES and _near(was[fact], now[fact]))
            yield Difference(fact, _shown(was[fact]), _shown(now[fact]), within)


def _curves(old: Record, new: Record) -> Iterator[Difference]:
    if len(old.curve) != len(new.curve):
        yield Difference("steps of the curve", str(len(old.curve)), str(len(new.curve)), old.status != "ok")
        return
    for a, b in zip(old.curve, new.curve, strict=True):
        if a.model_dump_json() != b.model_dump_json():
            where = f"training loss at phase {a.phase}, step {a.step}, and maybe later"
            yield Difference(where, f"{a.loss:.9g}", f"{b.loss:.9g}", a.learning_rate == b.learning_rate)
            return


def _scores(name: str, old: Scores | None, new: Scores | None) -> Iterator[Difference]:
    if old is None or new is None:
        if old is not new:
            was, now = ("not measured" if one is None else "measured" for one in (old, new))
            yield Difference(name, was, now)
        return
    for kind in ("target", "general"):
        yield from _by_name(f"{name}.{kind}", getattr(old, kind), getattr(new, kind), _score)
    yield from _by_name(f"{name}.held_out", old.held_out, new.held_out, _held_out)
    yield from _by_name(f"{name}.log_loss", old.log_loss, new.log_loss, _loss)
    yield from _loss(f"{name}.bits_per_byte", old.bits_per_byte, new.bits_per_byte)


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
    low, high = interval(old)
    if not _same(old.value, new.value):
        told = f"{old.value:.6g} (95 % interval over its items {low:.4g} to {high:.4g})"
        yield Difference(f"{place}.value", told, f"{new.value:.6g}", low <= new.value <= high)
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


def interval(score: Score) -> tuple[float, float]:
    """95 % interval of a score over its items: Wilson's for shares, infinite where items are not known."""
    n, p = score.n, score.value
    if not n or not 0 <= p <= 1 or any(item.correct is None for item in score.items):
        return UNWRITTEN[1], UNWRITTEN[0]
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


def _loss(place: str, old: float | None, new: float | None) -> Iterator[Difference]:
    if not _same(old, new):
        yield Difference(place, _shown(old), _shown(new), _near(old, new))


def _same(old: float | None, new: float | None) -> bool:
    """Equal in bits; not a number equals itself here."""
    return old == new or (old is not None and new is not None and math.isnan(old) and math.isnan(new))


def _near(old: Any, new: Any) -> bool:
    known = isinstance(old, float) and isinstance(new, float)
    return known and math.isclose(old, new, rel_tol=LOSS)


def _first(values: Sequence[int], others: Sequence[int]) -> str:
    """The first value that differs, or how many there are."""
    at = next((i for i, (a, b) in enumerate(zip(values, others, strict=False)) if a != b), None)
    return f"{len(values)} of them" if at is None else f"{values[at]} at {at}"


def _shown(value: Any) -> str:
    text = f"{value:.9g}" if isinstance(value, float) else "none" if value is None else str(value)
    return text if len(text) <= 90 else text[:87] + "..."
