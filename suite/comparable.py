"""What must agree before two numbers may be compared, and the recipe hash that stands for most of it.

The recipe hash covers what a result depends on beside the method and chance: data and prompts (by their
content), loss mask, optimiser, schedule, precision and evaluation. It covers neither the variant, nor its
rate, nor the seeds. Records are compared where track, base, recipe hash, evaluation and the seeds that were
held fixed agree; anything else is an error that names the difference.

One difference of precision is allowed, between variants only: "bfloat16" and "mixed". Both compute in
bfloat16 and train float32 weights: an adapter's are float32 over a bfloat16 base, and a variant that trains
the base itself needs the base in float32 for that.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from suite.errors import UserError
from suite.keys import content_key
from suite.record import Cell, Recipe, Record
from suite.seeds import digest
from suite.words import title

ARITHMETIC = {"mixed": "bfloat16"}
UNKNOWN = "unknown"
NAMED = 4  # differences that an error names

Facts = dict[str, Any]
_recipes: dict[str, str] = {}  # keys that were worked out, by what they are made of
_boards: dict[tuple[object, ...], str] = {}


def recipe_hash(cell: Cell) -> str | None:
    """16 hex digits over the ingredients of a cell's recipe; None where it was not trained here."""
    return None if cell.recipe is None else digest(ingredients(cell))


def ingredients(cell: Cell) -> Facts:
    """What the recipe hash covers. A prompt that a chat template writes is the base's too."""
    recipe, task = cell.recipe, cell.task
    assert recipe is not None, f"{cell.id} is not trained here"
    templated = recipe.chat_template or cell.evaluation.chat_template
    return {
        "data": [task.source, task.revision, task.digest, recipe.examples, recipe.tokens],
        "prompt": [recipe.max_length, recipe.chat_template, cell.base.digest if templated else None],
        "loss mask": recipe.loss_on,
        "optimiser": [recipe.optimizer, recipe.betas, recipe.weight_decay, recipe.clip, recipe.revision],
        "schedule": [recipe.schedule, recipe.warmup, recipe.steps, recipe.batch_size, recipe.batching],
        "precision": recipe.precision,
        "evaluation": cell.evaluation.model_dump(mode="json", exclude={"seed"}),
    }


def recipe_key(cell: Cell) -> str:
    """The recipe without its data, in the arithmetic that it computes in: equal for variants of one run."""
    known = content_key(cell.recipe)
    if known not in _recipes:
        _recipes[known] = digest(_training(cell.recipe))
    return _recipes[known]


def board_key(cell: Cell) -> str:
    """Track, base, evaluation but for the task's own, and fixed seeds: equal for all cells of one board."""
    known = (
        cell.track,
        content_key(cell.base),
        content_key(cell.evaluation),
        cell.data_seed,
        cell.adapter_seed,
    )
    if known not in _boards:
        facts = _of_board(cell)
        _boards[known] = digest({**facts, "base": facts["base"].content})
    return _boards[known]


def differences(a: Cell, b: Cell) -> list[str]:
    """Why two cells are not to be compared, in plain words: 'steps 400 and 200'. Empty if they may be."""
    return _told({**_of_board(a), **_of_task(a)}, {**_of_board(b), **_of_task(b)})


def check(records: Sequence[Record], other: Sequence[Record] | None = None) -> None:
    """Raise UserError, naming what differs, unless all of these may be compared with each other.

    Records of different tasks share track, base and evaluation; those of one task the recipe and its data
    too. Where `other` are the records of a second store, the two must have a task in common.
    """
    every = [*records, *(other or ())]
    _agree(every, lambda one: None, lambda one: _of_board(one.cell))
    _agree(every, _task, lambda one: _of_task(one.cell))
    _agree(every, lambda one: (_task(one), _variant(one)), _precision)
    for fact in (_rows, _prompts):
        known = [one for one in every if fact(one)]
        _agree(known, lambda one: (_task(one), one.measured), fact)
    if other is not None and not {_task(one) for one in records} & {_task(one) for one in other}:
        raise UserError(f"no task in common: {_tasks(records)}, and {_tasks(other)}; compare the same tasks")


def representatives(records: Iterable[Record]) -> list[Record]:
    """Of records that agree with each other, the few that say whether others agree with all of them."""
    found: dict[Hashable, Record] = {}
    for one in records:
        key = _task(one), _variant(one), one.measured, bool(_rows(one)), bool(_prompts(one))
        found.setdefault(key, one)
    return list(found.values())


def _agree(
    records: Iterable[Record], group: Callable[[Record], Hashable], facts: Callable[[Record], Facts]
) -> None:
    """Within each group the records have the same facts."""
    first: dict[Hashable, tuple[Record, Facts]] = {}
    for record in records:
        mine = facts(record)
        known, theirs = first.setdefault(group(record), (record, mine))
        if theirs != mine:
            told = _told(theirs, mine)
            more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
            raise UserError(
                f"records {known.id} ({title(known.cell)}) and {record.id} ({title(record.cell)}) "
                f"cannot be compared: {'; '.join(told[:NAMED])}{more}"
            )


@dataclass(frozen=True)
class _Base:
    """A base is its content, whatever it is called; where that is not known, its name."""

    content: str
    name: str = field(compare=False)

    @classmethod
    def of(cls, cell: Cell) -> _Base:
        """The base of a cell."""
        base = cell.base
        return cls(base.name if base.digest == UNKNOWN else base.digest, base.name)

    def __str__(self) -> str:
        return self.name if self.name == self.content else f"{self.name} ({self.content})"


def _of_board(cell: Cell) -> Facts:
    """What all cells that are compared share, whatever their task."""
    scored = cell.evaluation.model_dump(mode="json", exclude={"target"})
    return {
        "track": cell.track,
        "base": _Base.of(cell),
        **{f"evaluation's {name}": value for name, value in scored.items()},
        "fixed data seed": cell.data_seed,
        "fixed adapter seed": cell.adapter_seed,
    }


def _of_task(cell: Cell) -> Facts:
    """What the cells of one task share beside that."""
    return {
        "task": cell.task.name,
        "training set": cell.task.source,
        "task revision": cell.task.revision,
        "digest of data and prompts": cell.task.digest,
        "evaluations": ", ".join(cell.evaluation.target) or "none",
        **_training(cell.recipe),
    }


def _training(recipe: Recipe | None) -> Facts:
    """A recipe's settings, of its precision the arithmetic."""
    if recipe is None:
        return {"training": "not here"}
    found = recipe.model_dump(mode="json")
    return {**found, "precision": ARITHMETIC.get(recipe.precision, recipe.precision)}


def _precision(record: Record) -> Facts:
    recipe = record.cell.recipe
    return {"precision": recipe and recipe.precision}


def _rows(record: Record) -> Facts:
    return {"training rows as tokens": record.rows} if record.rows else {}


def _prompts(record: Record) -> Facts:
    """The digests of the prompts that were really shown."""
    scores = record.after
    if scores is None:
        return {}
    every = {**scores.target, **scores.general}
    return {f"prompts of {name}": score.prompts for name, score in every.items() if score.prompts}


def _told(a: Facts, b: Facts) -> list[str]:
    names = [name for name in {**a, **b} if a.get(name) != b.get(name)]
    return [f"{name} {_shown(a.get(name))} and {_shown(b.get(name))}" for name in names]


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)


def _task(record: Record) -> tuple[str, str]:
    return record.cell.task.name, record.cell.task.source


def _variant(record: Record) -> str:
    return content_key(record.cell.variant)


def _tasks(records: Iterable[Record]) -> str:
    return ", ".join(sorted({one.cell.task.label for one in records})) or "no records"
