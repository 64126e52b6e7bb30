"""One data file for every cell, with all that its record says. Written where the record is read, in a worker.

The site keeps no outputs and no per-item losses in memory: they go from the record straight into
`data/cells/<id>.js`, which a browser loads when somebody opens that cell. Short, because there are thousands:

    evaluations[].right    [before, after], a character an item: 1, 0, '-' where it is not known; a list of
                           numbers where answers are partly right; null where nothing was scored
    evaluations[].said     [before, after], the outputs in the same order, null where there are none
    evaluations[].ids      the items' ids, or how many there are where they are 0, 1, 2, ...

    held_out[].nats        the loss of each example, to six significant digits

A number that JSON has no word for is null in a list, and its name ('NaN') as text where it stands alone.

The long lists are written as JSON by themselves (`Json`), and those of the scores before training, which the
cells of one task share, once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from leaderboard.files import Json, as_json, as_script, data_path, put, slug, variant_page
from leaderboard.numbers import digits, finite, numbers, remembered, series, settings
from leaderboard.numbers import number as number
from leaderboard.numbers import texts as texts
from suite.comparable import recipe_hash
from suite.marked import Marked, names
from suite.record import (
    CurvePoint,
    Effect,
    HeldOut,
    Item,
    Record,
    Score,
    Scores,
    Source,
)
from suite.words import recipe_line, seeds_line

NOTES = 200  # that a page shows
LONGEST = 20_000  # characters of an output that are kept
POINTS = 400  # of a training curve
_MARKS = {1.0: "1", 0.0: "0", None: "-"}

Facts = dict[str, Any]


def path(record_id: str) -> str:
    """Where the data of a cell lie."""
    return data_path(f"cells/{record_id}")


def write_cell(out: Path, record: Record) -> None:
    """Write the data file of one record. StoreError where it cannot be written."""
    put(out, path(record.id), as_script(f"cells/{record.id}", _facts(record)).encode("ascii"))


def facts(record: Record) -> Facts:
    """All that a record says, and what follows from it, as a browser finds it."""
    return json.loads(as_json(_facts(record)))


def _facts(record: Record) -> Facts:
    cell = record.cell
    bits = [scores.bits_per_byte if scores else None for scores in _both(record)]
    return {
        "id": record.id,
        "status": record.status,
        "error": brief(record.error),
        "measured": record.measured,
        "track": cell.track,
        "base": [cell.base.name, cell.base.digest],
        "variant": {
            "name": cell.variant.name,
            "href": variant_page(cell.variant.name),
            "revision": cell.variant.revision,
            "settings": texts(cell.variant.settings),
        },
        "task": {**cell.task.model_dump(mode="json"), "label": cell.task.label},
        "recipe": settings(cell.recipe) if cell.recipe else [],
        "recipe_line": recipe_line(cell.recipe),
        "recipe_hash": recipe_hash(cell),
        "rate": number(cell.learning_rate),
        "seed": seeds_line(cell) if cell.seed is not None else None,
        "scoring": settings(cell.evaluation),
        "search": record.search and record.search.model_dump(mode="json"),
        "gain": number(record.gain),
        "score": number(record.score),
        "forgetting": number(record.forgetting),
        "start_loss": number(record.start_loss),
        "bits": [number(value) for value in bits],
        "bits_change": _change(bits),
        "held_out": _held_out(record),
        "evaluations": _evaluations(record),
        "curve": curve(record.curve),
        "curve_points": len(record.curve),
        "trainable": record.trainable_parameters,
        "total": record.total_parameters,
        "modules": record.adapted_modules,
        "effect": _effect(record.effect),
        "weights": record.weights,
        "cost": record.cost and record.cost.model_dump(mode="json"),
        "tokens_per_s": number(record.cost.tokens_per_s) if record.cost else None,
        "source": _source(record.source),
        "notes": _notes(record.notes),
        "data": texts(record.data),
        "rows": record.rows,
        "contamination": [one.model_dump(mode="json") for one in record.contamination],
        "made": {**record.provenance.model_dump(mode="json"), "command": brief(record.provenance.command)},
    }


def brief(text: str | None) -> str | None:
    """A text for people, cut where no person would read on."""
    if text is None or len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} ... (cut: {len(text)} characters in the record)"


def _notes(notes: Sequence[str]) -> list[str | None]:
    left = [f"{len(notes) - NOTES} more notes are in the record"] if len(notes) > NOTES else []
    return [brief(note) for note in (*notes[:NOTES], *left)]


def curve(points: Sequence[CurvePoint]) -> Json:
    """[phase, step, loss, rate], to six digits; of a long curve `POINTS` even steps with both ends."""
    if len(points) > POINTS:
        last = len(points) - 1
        points = [points[round(at * last / (POINTS - 1))] for at in range(POINTS)]
    every = [value for one in points for value in (one.phase, one.step, one.loss, one.learning_rate)]
    return numbers(every, ["[%d,%d,%.6g,%.6g]"] * len(points))


def _change(pair: Sequence[float | None], times: float = 1.0) -> float | str | None:
    """After minus before, None unless both were measured."""
    before, after = pair
    return None if before is None or after is None else number(times * (after - before))


def _both(record: Record) -> tuple[Scores | None, Scores | None]:
    return record.before, record.after


def _held_out(record: Record) -> list[Facts]:
    """By split: losses and accuracies before and after, and the losses of each example."""
    names = dict.fromkeys(name for scores in _both(record) if scores for name in scores.log_loss)
    found = []
    for name in names:
        held = [scores.held_out.get(name) if scores else None for scores in _both(record)]
        losses = [scores.log_loss.get(name) if scores else None for scores in _both(record)]
        shares = [one.accuracy if one else None for one in held]
        found.append(
            {
                "split": name,
                "loss": [number(value) for value in losses],
                "change": _change(losses),
                "accuracy": [number(value) for value in shares],
                "accuracy_change": _change(shares, 100),
                **_examples(*held),
            }
        )
    return found


class _Examples(NamedTuple):
    tokens: list[int]
    text: Json  # of the tokens
    nats: Json


def _examples(before: HeldOut | None, after: HeldOut | None) -> Facts:
    """How many tokens each held-out example has, and its loss before and after."""
    first = remembered(before, lambda one: _Examples(one.tokens, Json(as_json(one.tokens)), series(one.nats)))
    tokens = after.tokens if after else []
    return {
        "tokens": first.text if first and (not after or first.tokens == tokens) else tokens,
        "nats": [first and first.nats, after and series(after.nats)],
    }


def _evaluations(record: Record) -> list[Facts]:
    """Every evaluation, the target's first."""
    found = []
    for kind in ("target", "general"):
        sides = [getattr(scores, kind) if scores else {} for scores in _both(record)]
        for name in dict.fromkeys([*sides[1], *sides[0]]):
            found.append(
                {
                    "kind": kind,
                    "name": name,
                    "slug": slug(name),
                    **_evaluation([side.get(name) for side in sides]),
                }
            )
    return found


def _evaluation(pair: Sequence[Score | None]) -> Facts:
    known = [one for one in pair if one]
    values = [one.value if one else None for one in pair]
    return {
        "metric": known[-1].metric,
        "n": known[-1].n,
        "prompts": known[-1].prompts,
        "value": [number(value) for value in values],
        "change": _change(values, 100),
        "metrics": [
            [name, *(number(one.metrics.get(name)) if one else None for one in pair)]
            for name in dict.fromkeys(name for one in reversed(known) for name in one.metrics)
        ],
        "batch_changes": [number(one.batch_changes) if one else None for one in pair],
        **_outcomes(*pair),
    }


class _Outcomes(NamedTuple):
    ids: tuple[str, ...]
    short: Json
    right: Json
    said: Json


def _outcomes(before: Score | None, after: Score | None) -> Facts:
    """What was asked, what was right and what was said, before and after."""
    first = remembered(before, _all_of)
    if first and after and first.ids == names(after.items):
        right, said = [first.right, marks(after.items)], [first.said, _said(after.items)]
        return {"ids": first.short, "right": right, "said": said}
    ids, sides = aligned([one.items if one else [] for one in (before, after)])
    return {
        "ids": short(ids),
        "right": [marks(side) if one else None for one, side in zip((before, after), sides, strict=True)],
        "said": [_said(side) for side in sides],
    }


def _all_of(score: Score) -> _Outcomes:
    ids = list(names(score.items))
    every = short(ids), marks(score.items), _said(score.items)
    return _Outcomes(tuple(ids), *(Json(as_json(one)) for one in every))


def aligned(sides: Sequence[Sequence[Item]]) -> tuple[list[str], list[Sequence[Item | None]]]:
    """The ids of all items, those of after first, and each side's items in that order."""
    before, after = ([one.id for one in side] for side in sides)
    if before == after or not before or not after:
        return after or before, [side or [None] * len(after or before) for side in sides]
    ids = list(dict.fromkeys([*after, *before]))
    by_id = [{one.id: one for one in side} for side in sides]
    return ids, [[side.get(name) for name in ids] for side in by_id]


def short(ids: list[str]) -> int | list[str]:
    """The ids, or how many there are where they are 0, 1, 2, ..."""
    return len(ids) if ids == _counted(len(ids)) else ids


@lru_cache(maxsize=64)
def _counted(count: int) -> list[str]:
    return [str(at) for at in range(count)]


def marks(items: Iterable[Item | None]) -> str | list[float | None]:
    """What was right: a character an item, or numbers where there is more than right and wrong."""
    if isinstance(items, Marked):
        return items.outcomes.decode()
    values = [item.correct if item else None for item in items]
    try:
        return "".join([_MARKS[value] for value in values])
    except KeyError:
        return finite(values)


def _said(items: Iterable[Item | None]) -> list[Any] | None:
    """The outputs; of a very long one [its beginning, its length]."""
    if isinstance(items, Marked):
        return None
    found: list[Any] = [item.response if item else None for item in items]
    if found.count(None) == len(found):
        return None
    return [one if one is None or len(one) <= LONGEST else [one[:LONGEST], len(one)] for one in found]


def _effect(effect: Effect | None) -> Facts | None:
    """How far the adapter moves logits, and what each weight change is: [weight, norm, ranks]."""
    if effect is None:
        return None
    deltas = []
    for name, norm in effect.delta_norms.items():
        rank = effect.ranks.get(name)
        ranks = [rank.numeric, digits(rank.stable), rank.ninety, rank.full] if rank else None
        deltas.append([name, digits(norm), ranks])
    return {
        "from_base": number(effect.from_base),
        "from_start": number(effect.from_start),
        "delta_norm": number(effect.delta_norm),
        "reload_error": number(effect.reload_error),
        "text": effect.text_digest,
        "deltas": deltas,
    }


def _source(source: Source | None) -> Facts | None:
    """Where an imported record comes from, with every field of its source and what it means."""
    if source is None:
        return None
    told = source.model_dump(mode="json", exclude={"fields", "notes"})
    fields = [[name, value, source.notes.get(name)] for name, value in texts(dict(source.fields))]
    return {**told, "fields": fields}
