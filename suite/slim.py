"""Records without what fills a page's memory: responses and curves; equal parts of many are one object.

10,000 cells of 1,250 items, before and after, are 25 million outcomes. Cells of one task share their items,
and mostly the scores before training, so what is equal is kept once: by a `Pool`, in the process that reads
and again in the one that gathers.
"""

from __future__ import annotations

import io
import pickle
from array import array
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, TypeVar

from suite.marked import OUTCOMES, Marked, Table, fit
from suite.origin import Fact, Overlap, Source
from suite.parsing import KEPT
from suite.record import (
    BaseRef,
    CurvePoint,
    EvaluationSettings,
    HeldOut,
    Item,
    Recipe,
    Record,
    Score,
    Scores,
    Search,
    TaskRef,
    VariantRef,
)

POINTS = 60  # of a curve
TEXT = 2_000  # characters of a free text; the cell's own file has all of it
NOTES = 100
FIELDS = 1_000  # of a source
ITEMS, FACTS = 100_000, 10_000  # that a process which only reads remembers
_SHARED = (BaseRef, EvaluationSettings, Overlap, Recipe, Search, TaskRef, VariantRef)  # alike in many records
_NEW, _SET = object.__new__, object.__setattr__

Curve = tuple[tuple[int, int, float], ...]
T = TypeVar("T", bound=Fact)


class Pool:
    """One object for all that is equal: items, their lists, lists of numbers, small facts."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, float | None], Item] = {}
        self._lists: dict[tuple[str, bytes], list[Any]] = {}
        self._tables: dict[tuple[str, ...], Table] = {}
        self._marked: dict[tuple[int, bytes], Marked] = {}
        self._facts: dict[tuple[type, str], Fact] = {}
        self._last: dict[int, tuple[Scores, Scores]] = {}

    def item(self, name: str, correct: float | None) -> Item:
        """The item of this outcome, without a response."""
        key = name, correct
        if (found := self._items.get(key)) is None:
            found = self._items[key] = Item(id=name, correct=correct)
        return found

    def items(self, items: Sequence[Item]) -> list[Item]:
        """These items without their responses."""
        if isinstance(items, Marked):
            return self.marked(items.ids, items.outcomes)
        known = self._items
        keys = [(one.id, one.correct) for one in items]
        if all(correct in OUTCOMES for _, correct in keys) and fit(ids := tuple(name for name, _ in keys)):
            return self.marked(ids, bytes([OUTCOMES[correct] for _, correct in keys]))  # pyright: ignore[reportArgumentType]
        found = [known.get(key) or self.item(*key) for key in keys]
        return self._lists.setdefault(("items", _digest("Q", map(id, found))), found)

    def marked(self, ids: tuple[str, ...], outcomes: bytes) -> Marked:
        """The items of these names and outcomes."""
        if (table := self._tables.get(ids)) is None:
            table = self._tables[ids] = Table(*([self.item(one, is_) for one in ids] for is_ in (0.0, 1.0)))
        key = id(table), outcomes
        if (found := self._marked.get(key)) is None:
            found = self._marked[key] = table.items(outcomes)
        return found

    def forget(self) -> None:
        """Let go of lists, which are most of it, and of what they are made from if there is much of that."""
        self._lists.clear()
        self._marked.clear()
        if len(self._items) > ITEMS:
            self._items.clear()
            self._tables.clear()
            self._last.clear()
        if len(self._facts) > FACTS:
            self._facts.clear()

    def before(self, scores: Scores) -> Scores:
        """The scores before training, slim. Those of many records are one object, see `suite.parsing`."""
        if (found := self._last.get(id(scores))) is None:
            if len(self._last) >= KEPT:
                self._last.clear()
            found = self._last[id(scores)] = scores, _scores(scores, self)
        return found[1]

    def numbers(self, values: list[Any], code: str) -> list[Any]:
        """This list of numbers: 'd' of floats, 'q' of integers."""
        return self._lists.setdefault((code, _digest(code, values)), values)

    def fact(self, fact: T) -> T:
        """This fact, or one that is equal and says as much."""
        key = type(fact), f"{fact.__dict__}{sorted(fact.model_fields_set)}"
        return self._facts.setdefault(key, fact)  # pyright: ignore[reportReturnType]

    def made(self, kind: type[Fact], fields: dict[str, Any], given: set[str]) -> Fact:
        """A fact from its parts, as they were unpacked."""
        if kind is Score and not isinstance(fields["items"], Marked):
            fields["items"] = self.items(fields["items"])
        elif kind is HeldOut:
            fields["nats"] = self.numbers(fields["nats"], "d")
            fields["tokens"] = self.numbers(fields["tokens"], "q")
        found = _NEW(kind)
        _SET(found, "__dict__", fields)
        _SET(found, "__pydantic_fields_set__", given)
        _SET(found, "__pydantic_extra__", None)
        _SET(found, "__pydantic_private__", None)
        return self.fact(found) if kind in _SHARED else found


def slim(record: Record, pool: Pool) -> tuple[Record, Curve]:
    """The record without responses and curve, its texts cut; and its curve, thinned to `POINTS`."""
    cell = record.cell
    small = cell.model_copy(
        update={
            name: pool.fact(part) if part is not None else None
            for name, part in (
                ("base", cell.base),
                ("variant", cell.variant),
                ("task", cell.task),
                ("recipe", cell.recipe),
                ("evaluation", cell.evaluation),
            )
        }
    )
    changes: dict[str, Any] = {
        "cell": small,
        "curve": [],
        "before": record.before and pool.before(record.before),
        "after": record.after and _scores(record.after, pool),
        "contamination": [pool.fact(one) for one in record.contamination],
        "search": record.search and pool.fact(record.search),
        "error": record.error and _cut(record.error),
        "notes": [_cut(note) for note in record.notes[:NOTES]],
        "source": record.source and _source(record.source),
    }
    if len(record.provenance.command) > TEXT:
        changes["provenance"] = record.provenance.model_copy(
            update={"command": _cut(record.provenance.command)}
        )
    return record.model_copy(update=changes), thinned(record.curve)


def thinned(curve: Sequence[CurvePoint]) -> Curve:
    """At most `POINTS` points, evenly spread over the curve's, with its first and last."""
    last, most = len(curve) - 1, POINTS - 1
    at = range(len(curve)) if last <= most else [(i * last + most // 2) // most for i in range(POINTS)]
    return tuple((curve[i].phase, curve[i].step, curve[i].loss) for i in at)


def _scores(scores: Scores, pool: Pool) -> Scores:
    return scores.model_copy(
        update={
            "target": {name: _score(one, pool) for name, one in scores.target.items()},
            "general": {name: _score(one, pool) for name, one in scores.general.items()},
            "held_out": {name: _held_out(one, pool) for name, one in scores.held_out.items()},
        }
    )


def _score(score: Score, pool: Pool) -> Score:
    return score.model_copy(update={"items": pool.items(score.items)})


def _held_out(held: HeldOut, pool: Pool) -> HeldOut:
    shared = {"nats": pool.numbers(held.nats, "d"), "tokens": pool.numbers(held.tokens, "q")}
    return held.model_copy(update=shared)


def _source(source: Source) -> Source:
    """The source with its texts cut."""
    fields = {_cut(name): _cut(one) if isinstance(one, str) else one for name, one in source.fields.items()}
    notes = {_cut(name): _cut(one) for name, one in source.notes.items()}
    words = {name: one and _cut(one) for name, one in source if isinstance(one, str) and name != "kind"}
    few = {"fields": dict(list(fields.items())[:FIELDS]), "notes": dict(list(notes.items())[:FIELDS])}
    return source.model_copy(update={**words, **few})


def _cut(text: str) -> str:
    return text if len(text) <= TEXT else f"{text[:TEXT]} ... ({len(text)} characters)"


def _digest(code: str, values: Any) -> bytes:
    return blake2b(array(code, values).tobytes(), digest_size=16).digest()


def packed(value: Any) -> bytes:
    """Slim records, in whatever they lie, as bytes for another process; what is one object stays one."""
    stream = io.BytesIO()
    _Pickler(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return stream.getvalue()


def unpacked(content: bytes, pool: Pool) -> Any:
    """What was `packed`, of the pool's objects."""
    return _Unpickler(content, pool).load()


# Names in a pickle, never called: `_Unpickler` puts the pool's own functions in their place.


def _item(name: str, correct: float | None) -> Item:
    raise NotImplementedError


def _marked(ids: tuple[str, ...], outcomes: bytes) -> Marked:
    raise NotImplementedError


def _fact(kind: type[Fact], fields: dict[str, Any], given: set[str]) -> Fact:
    raise NotImplementedError


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Item:
            return _item, (obj.id, obj.correct)
        if isinstance(obj, Marked):
            return _marked, (obj.ids, obj.outcomes)
        if isinstance(obj, Fact):
            return _fact, (type(obj), obj.__dict__, obj.__pydantic_fields_set__)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, pool: Pool) -> None:
        super().__init__(io.BytesIO(content))
        self._own = {"_item": pool.item, "_marked": pool.marked, "_fact": pool.made}

    def find_class(self, module: str, name: str, /) -> Any:
        return (
            self._own[name] if module == __name__ and name in self._own else super().find_class(module, name)
        )
