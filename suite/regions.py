"""The low-regret map: where a variant stays within noise of full fine-tuning, by rank and size of training.

LoRA Without Regret (Schulman et al. 2025, doi 10.64434/tml.20250929) asks where low-rank adapters do what
full fine-tuning does, and answers with the loss. Records that differ in rank (and alpha), steps, examples,
tokens or batch size stand on different boards; here they are points of one map. A point is held against full
fine-tuning of the same size, which has to agree in all that a board asks for (`suite.comparable`). Both are
taken at their best rate: the one that a search chose, or of several rates without a search the one with the
lowest held-out loss on validation. The test split chooses nothing.

A point says nothing of the room between points, and a rate that was the only one tried may not be the best.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from suite import rates, statistics
from suite.best_rate import Best, best
from suite.comparable import board_key, recipe_key
from suite.errors import UserError
from suite.record import BaseRef, Cell, Recipe, Record
from suite.refs import RANKS
from suite.seeds import digest
from suite.standings import WHOLE
from suite.statistics import LEVEL, Comparison, Sample

GAIN_MARGIN = 2.0  # points
LOSS_MARGIN = 0.02  # of full fine-tuning's held-out loss
SCALES = ("alpha", "lora_alpha")

Quantity = Literal["gain", "loss"]
Verdict = Literal["within noise", "behind", "ahead", "cannot tell", "no full fine-tuning there"]
QUANTITIES: tuple[Quantity, ...] = ("gain", "loss")


@dataclass(frozen=True)
class Size:
    """How much was trained on, and in which portions; None of examples or tokens is all of them."""

    track: str
    steps: int
    batch_size: int
    examples: int | None
    tokens: int | None


@dataclass(frozen=True)
class Regret:
    """How far a point stays behind full fine-tuning in one quantity: positive is behind; points, or nats.

    `p` is Holm's over all points of the map; `margin` is how much too much would be. `why` says what is
    missing where there is no comparison.
    """

    quantity: Quantity
    verdict: Verdict
    comparison: Comparison | None = None
    margin: float | None = None
    p: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Point:
    """One variant at one rank, data size and batch size. `names`: what its settings call rank and alpha."""

    rank: float | None
    alpha: float | None
    names: Mapping[str, str]
    size: Size
    best: Best
    reference: Best | None
    regrets: Mapping[Quantity, Regret]


@dataclass(frozen=True)
class Family:
    """The points of one variant on one task: the same settings but rank and alpha."""

    variant: str
    label: str
    task: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Map:
    """Families on one base, evaluated alike. `references` are the names of variants that train all of it."""

    id: str
    base: BaseRef
    families: tuple[Family, ...]
    references: tuple[str, ...]

    def counts(self, quantity: Quantity) -> dict[str, int]:
        """How many points have each verdict."""
        found: dict[str, int] = defaultdict(int)
        for family in self.families:
            for point in family.points:
                found[point.regrets[quantity].verdict] += 1
        return dict(found)


def regions(records: Iterable[Record]) -> list[Map]:
    """The maps of all records that were trained here, by base."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.id):
        if record.source is None and record.cell.recipe is not None:
            groups[_board(record.cell)].append(record)
    found = [_map(key, members) for key, members in groups.items()]
    return sorted((one for one in found if one.families), key=lambda one: (one.base.name, one.id))


def _map(key: str, members: Sequence[Record]) -> Map:
    whole = {_variant(one) for one in members if _trains_all(one)}
    points: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in members:
        points[_variant(record), _place(record.cell)].append(record)
    chosen = {at: best(cells) for at, cells in points.items()}
    references: dict[str, list[Best]] = defaultdict(list)
    for (variant, place), one in chosen.items():
        if variant in whole:
            references[place].append(one)
    families: dict[tuple[str, str, str], list[Point]] = defaultdict(list)
    named: dict[tuple[str, str, str], Cell] = {}
    for (variant, place), cells in points.items():
        if variant not in whole:
            cell = cells[0].cell
            at = _family(cell)
            named.setdefault(at, cell)
            families[at].append(_point(cell, chosen[variant, place], references[place]))
    labels = _labels([cell for cell in named.values()])
    found = [
        Family(cell.variant.name, labels[at[0]], cell.task.label, tuple(sorted(families[at], key=_order)))
        for at, cell in named.items()
    ]
    found.sort(key=lambda one: (one.label, one.task, one.points[0].size.steps))
    names = {one.cell.variant.name for one in members if _variant(one) in whole}
    return Map(key, members[0].cell.base, _judged(found), tuple(sorted(names)))


def _point(cell: Cell, mine: Best, references: Sequence[Best]) -> Point:
    recipe = cell.how.recipe
    size = Size(cell.track, recipe.steps, recipe.batch_size, recipe.examples, recipe.tokens)
    found: dict[Quantity, Regret]
    if len(references) == 1:
        found = {quantity: _regret(quantity, mine, references[0]) for quantity in QUANTITIES}
    else:
        why = f"{len(references)} variants train all of the base there" if references else ""
        found = {quantity: Regret(quantity, "no full fine-tuning there", why=why) for quantity in QUANTITIES}
    reference = references[0] if len(references) == 1 else None
    rank, alpha = _setting(cell, RANKS), _setting(cell, SCALES)
    told = {"rank": rank, "alpha": alpha}
    names = {name: one[0] for name, one in told.items() if one}
    return Point(rank and rank[1], alpha and alpha[1], names, size, mine, reference, found)


def _regret(quantity: Quantity, mine: Best, reference: Best) -> Regret:
    """The comparison alone; what it comes to is known when all points are (`_judged`)."""
    for name, one in (("it", mine), ("full fine-tuning", reference)):
        if not one.cells:
            return Regret(quantity, "cannot tell", why=f"{name} finished at no rate with every seed")
    try:
        a, b = (_sample(quantity, one.cells) for one in (mine, reference))
        compared = statistics.compare(a, b) if quantity == "gain" else statistics.compare(b, a)
    except UserError as error:
        return Regret(quantity, "cannot tell", why=str(error))
    margin = GAIN_MARGIN if quantity == "gain" else LOSS_MARGIN * b.mean
    return Regret(quantity, "cannot tell", compared, margin)


def _sample(quantity: Quantity, cells: Sequence[Record]) -> Sample:
    return statistics.gain(cells) if quantity == "gain" else statistics.log_loss(cells)


def _judged(families: Sequence[Family]) -> tuple[Family, ...]:
    """The families with Holm's p of each quantity over all their points, and the verdicts."""
    found = list(families)
    for quantity in QUANTITIES:
        known = [
            (at, nth, regret.comparison)
            for at, family in enumerate(found)
            for nth, point in enumerate(family.points)
            if (regret := point.regrets[quantity]).comparison is not None
        ]
        adjusted = statistics.holm([one.p for *_, one in known if one])
        for (at, nth, _), p in zip(known, adjusted, strict=True):
            points = list(found[at].points)
            regret = replace(points[nth].regrets[quantity], p=p)
            regret = replace(regret, verdict=verdict(regret))
            points[nth] = replace(points[nth], regrets={**points[nth].regrets, quantity: regret})
            found[at] = replace(found[at], points=tuple(points))
    return tuple(found)


def verdict(regret: Regret) -> Verdict:
    """'behind' and 'ahead' where the whole map leaves no doubt; 'within noise' needs an interval that
    includes zero and ends below the margin: not having seen a difference is not enough.
    """
    assert regret.comparison is not None and regret.p is not None and regret.margin is not None
    found = regret.comparison.interval
    if regret.p < LEVEL:
        return "behind" if found.value > 0 else "ahead"
    return "within noise" if found.low <= 0 and found.high < regret.margin else "cannot tell"


def _trains_all(record: Record) -> bool:
    trained, total = record.trainable_parameters, record.total_parameters
    return trained is not None and bool(total) and trained >= WHOLE * (total or 0)


def _setting(cell: Cell, names: Iterable[str]) -> tuple[str, float] | None:
    """The first of these settings that is a number, with its name."""
    for name in names:
        value = cell.variant.settings.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return name, value
    return None


def _variant(record: Record) -> str:
    return digest(record.cell.variant.model_dump(mode="json"))


def _board(cell: Cell) -> str:
    """Base, evaluation and fixed seeds: what one map shares."""
    return board_key(cell.model_copy(update={"track": ""}))


def _place(cell: Cell) -> str:
    """All that a comparison with full fine-tuning needs to agree."""
    return digest(
        [board_key(cell), recipe_key(cell), cell.task.model_dump(mode="json"), cell.evaluation.target]
    )


def _family(cell: Cell) -> tuple[str, str, str]:
    """(variant without rank and alpha, task whatever part of it was read, recipe whatever its size)."""
    sizes = {"steps": 1, "batch_size": 1, "examples": None, "tokens": None}
    shape = cell.model_copy(update={"recipe": Recipe(**{**cell.how.recipe.model_dump(), **sizes})})
    task = [cell.task.name, cell.task.source, cell.task.revision, cell.evaluation.target]
    return _unranked(cell), digest(task), recipe_key(shape)


def _unranked(cell: Cell) -> str:
    rest = {name: value for name, value in cell.variant.settings.items() if name not in (*RANKS, *SCALES)}
    return digest([cell.variant.name, cell.variant.revision, rest])


def _labels(cells: Iterable[Cell]) -> dict[str, str]:
    """Family -> the variant's name, with the settings that tell it from its namesakes."""
    free = {name: None for name in (*RANKS, *SCALES)}
    known = {
        _unranked(cell): cell.variant.model_copy(
            update={"settings": {k: v for k, v in cell.variant.settings.items() if k not in free}}
        )
        for cell in cells
    }
    names = rates.labels(list(known.values()))
    return {key: names[digest(ref.model_dump(mode="json"))] for key, ref in known.items()}


def _order(point: Point) -> tuple[float, float, int, int, int, int, str]:
    size = point.size
    return (
        *(point.rank or 0, point.alpha or 0),
        *(size.examples or 0, size.tokens or 0, size.steps, size.batch_size, size.track),
    )
