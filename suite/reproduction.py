"""What a repeated cell has in common with its record: bit for bit, or within what rounding may do.

On the same machine, with the same versions, threads and settings, everything must be equal in bits, whatever
the code is: a change of it that moves a number is just what is to be found. Elsewhere sums are rounded in
another order, and these are the limits:

- what rounding cannot touch is equal: status, parameters, tokens of the rows, prompts, data, overlaps, tokens
  trained on;
- losses without training (of the base, of the start, of weights that are scored again) are within SCORED;
- losses after training are within TRAINED: a difference in the last bit grows over the steps. Eager
  attention in place of PyTorch's, on the pocket track (200 steps, math, seed 0), moved the validation loss by
  0.04 % (fullft), 7.7 % (lora) and 12 % (lori-s), its two phases at the highest rate. The same holds for the
  norm and the ranks of each delta and for the logits that training moved; for all losses of the curve
  together it is CURVE;
- operations and bytes of the export are within SCORED, peak memory, counted on a CPU, within MEMORY;
- every score and metric changes by no more than 95 % intervals over its items allow (Newcombe 1998), and what
  is no share of items by no more than losses: see `suite.reproduction_scores`.

Outcomes of single items may differ there, and are told. Where nothing finite can be compared, nothing is
within a limit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from suite.record import Cost, DeltaRank, Effect, Record, Scores
from suite.reproduction_limits import SCORED, TRAINED, Difference, near, near_all, same, shown
from suite.reproduction_scores import score_differences

MEMORY = 0.1  # relative: other versions keep other buffers
CURVE = 2 * TRAINED  # of all losses of the curve: a batch moves further than the held-out split
SAME = {"full": 0.0, "numeric": 0.0, "ninety": 0.0, "stable": 1e-3}  # relative: what is no difference at all
RANKS = {"full": 0.0, "numeric": 1.0, "ninety": 1.0, "stable": 0.0}  # singular values that may be at the edge
COUNTED = "live-tensors"  # how memory is measured on a CPU: see `suite.record.Cost`
CODE = ("commit", "changes in the checkout", "lora-suite")
LEFT_OUT = {"provenance", "cost", "effect", "notes", "search", "source", "schema_version"}
LEFT_OUT |= {"before", "after", "curve"}
LOSSES = {"start_loss"}
ROUNDED = {"weights", "error"}  # may differ elsewhere; an error quotes a loss


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
    """What of machine, threads, versions, settings and code (`CODE`) is not as it was."""
    was, now = old.provenance, new.provenance
    pairs: list[tuple[str, Any, Any]] = [
        ("device", was.device, now.device),
        ("threads", was.threads, now.threads),
        ("commit", was.commit, now.commit),
        ("changes in the checkout", was.dirty, now.dirty),
    ]
    for before, after in ((was.versions, now.versions), (was.settings, now.settings)):
        pairs += [(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]
    return [Difference(name, shown(a), shown(b), True) for name, a, b in pairs if a != b]


def differences(old: Record, new: Record, trained: bool = True) -> list[Difference]:
    """Every fact that was measured again and came out otherwise, times and provenance apart.

    `trained` is whether the cell was trained again. If it was only scored, all else is the record's own.
    """
    most = TRAINED if trained else SCORED
    again = [*_plain(old, new), *_curves(old, new), *_effect(old.effect, new.effect)] if trained else []
    return [
        *again,
        *(_cost(old.cost, new.cost) if trained else ()),
        *score_differences("before", old.before, new.before, SCORED),
        *score_differences("after", old.after, new.after, most),
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
                    yield Difference(f"{fact}.{name}", shown(a), shown(b))
        else:
            a, b = was[fact], now[fact]
            within = (fact in ROUNDED and None not in (a, b)) or (fact in LOSSES and near(a, b, SCORED))
            yield Difference(fact, shown(a), shown(b), within)


def _curves(old: Record, new: Record) -> Iterator[Difference]:
    """Of the learning rates and of the losses, the first that is another."""
    if len(old.curve) != len(new.curve):
        yield Difference("steps of the curve", str(len(old.curve)), str(len(new.curve)), old.status != "ok")
        return
    pairs = list(zip(old.curve, new.curve, strict=True))
    losses = [[point.loss for point in curve] for curve in (old.curve, new.curve)]
    first = [loss[:1] for loss in losses]  # before any step of the optimiser
    alike = near_all(losses[0], losses[1], CURVE) and near_all(first[0], first[1], SCORED)
    for fact, within in (("phase", False), ("step", False), ("learning_rate", False), ("loss", alike)):
        for a, b in pairs:
            if not same(getattr(a, fact), getattr(b, fact)):
                told = [shown(getattr(one, fact)) for one in (a, b)]
                yield Difference(f"curve at phase {a.phase}, step {a.step}: {fact}", *told, within=within)
                break


def _effect(old: Effect | None, new: Effect | None) -> Iterator[Difference]:
    """What the adapter does to logits, and the norms of its deltas."""
    if old is None or new is None:
        if old is not new:
            was, now = ("not measured" if one is None else "measured" for one in (old, new))
            yield Difference("effect", was, now)
        return
    if old.text_digest != new.text_digest:
        yield Difference("effect.text_digest", old.text_digest, new.text_digest)
    for fact in ("from_base", "from_start"):
        a, b = getattr(old, fact), getattr(new, fact)
        if not same(a, b):
            yield Difference(f"effect.{fact}", shown(a), shown(b), near(a, b, TRAINED))
    a, b = old.reload_error, new.reload_error
    if not same(a, b):  # null is what did not fit into memory
        within = a is None or b is None or abs(a - b) <= TRAINED * abs(old.from_base)
        yield Difference("effect.reload_error", shown(a), shown(b), within)
    yield from _norms(old.delta_norms, new.delta_norms)
    yield from _ranks(old.ranks, new.ranks)


def _norms(old: dict[str, float], new: dict[str, float]) -> Iterator[Difference]:
    """Norms of the deltas: small ones may be apart by as much as one of middle size."""
    if other := sorted(old.keys() ^ new.keys()):
        was, now = ("there" if other[0] in one else "not there" for one in (old, new))
        yield Difference(f"effect.delta_norms: {len(other)} names, first {other[0]}", was, now)
        return
    moved = [name for name in old if not same(old[name], new[name])]
    least = TRAINED * sum(old.values()) / max(1, len(old))
    far = [n for n in moved if not (near(old[n], new[n], TRAINED) or abs(old[n] - new[n]) <= least)]
    if moved:
        first = (far or moved)[0]
        told = f"effect.delta_norms: {len(moved)} of {len(old)}, such as {first}"
        yield Difference(told, shown(old[first]), shown(new[first]), not far)


def _ranks(old: dict[str, DeltaRank], new: dict[str, DeltaRank]) -> Iterator[Difference]:
    """Ranks of the deltas that both have: a record of before them, or what took too long, has none.

    Those of kept weights, filled in later, come from sums in another order: see SAME.
    """
    both = [name for name in old if name in new]
    for fact in ("full", "numeric", "ninety", "stable"):
        pairs = {name: (getattr(old[name], fact), getattr(new[name], fact)) for name in both}
        other = {name: (a, b) for name, (a, b) in pairs.items() if not abs(a - b) <= SAME[fact] * a}
        far = {n: (a, b) for n, (a, b) in other.items() if not abs(a - b) <= max(RANKS[fact], TRAINED * a)}
        if other:
            first, (a, b) = next(iter((far or other).items()))
            told = f"effect.ranks.{fact}: {len(other)} of {len(both)}, such as {first}"
            yield Difference(told, shown(a), shown(b), not far and fact != "full")


def _cost(old: Cost | None, new: Cost | None) -> Iterator[Difference]:
    """What is counted and not timed. A pack of several has no count of its own memory and operations."""
    old, new = old or Cost(), new or Cost()
    facts: list[tuple[str, Any, Any, float]] = [("tokens", old.tokens, new.tokens, 0.0)]
    facts.append(("adapter_bytes", old.adapter_bytes, new.adapter_bytes, SCORED))
    for name in ("forward", "backward", "tokens"):
        a, b = (getattr(one.flops, name, None) for one in (old, new))
        facts.append((f"flops.{name}", a, b, 0.0 if name == "tokens" else SCORED))
    if old.memory_method == new.memory_method == COUNTED:
        facts.append(("peak_memory_bytes", old.peak_memory_bytes, new.peak_memory_bytes, MEMORY))
    for name, a, b, most in facts:
        if a is not None and a != b:
            yield Difference(f"cost.{name}", shown(a), shown(b), near(a, b, most))
