"""What `suite lr` says of a curve: its optimum, the ratio to full fine-tuning, and how far rules are off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from suite import rules
from suite.optimum import Optimum, Ratio, alike, optimum, ratio
from suite.rates import Curve, reference
from suite.rules import Model, Prediction, Way

if TYPE_CHECKING:
    from suite.curvature import Curvature


@dataclass(frozen=True)
class Row:
    """One curve and what follows from it. `full` is the optimum of full fine-tuning beside it."""

    curve: Curve
    optimum: Optimum | None
    alike: tuple[float, ...]
    full: Optimum | None
    ratio: Ratio | None
    way: Way
    base: Model
    predictions: tuple[Prediction, ...]
    curvature: Curvature | None

    def off(self, prediction: Prediction) -> float | None:
        """By what factor a prediction misses the measured optimum: above 1 is too high."""
        if prediction.rate is None or self.optimum is None:
            return None
        return prediction.rate / self.optimum.rate


def rows(
    curves: Sequence[Curve],
    bases: Mapping[str, Model],
    ways: Mapping[str, Way],
    curvatures: Mapping[str, Curvature] | None = None,
) -> list[Row]:
    """A row for each curve. `bases` are by digest of the base, `ways` and `curvatures` by id of the curve."""
    optima = {curve.id: optimum(curve) for curve in curves}
    found = []
    for curve in curves:
        beside = reference(curve, curves, lambda one: ways[one.id].trains_base)
        full, own = optima[beside.id] if beside else None, optima[curve.id]
        base = bases[curve.records[0].cell.base.digest]
        steps, batch = curve.records[0].cell.how.recipe.steps, curve.records[0].cell.how.recipe.batch_size
        way = ways[curve.id]
        published = rules.formula(base, way)
        predictions = [
            published,
            rules.formula(base, way, steps),
            rules.by_batch(published, batch),
            rules.from_full(full.rate if full else None, way, steps),
            _other_rank(curve, curves, optima, ways),
        ]
        if curvatures is not None:
            predictions.append(_hessian(curve, curves, optima, ways, curvatures))
        found.append(
            Row(
                curve=curve,
                optimum=own,
                alike=tuple(alike(curve)),
                full=full,
                ratio=ratio(own, full) if own and full and beside is not curve else None,
                way=way,
                base=base,
                predictions=tuple(predictions),
                curvature=curvatures.get(curve.id) if curvatures else None,
            )
        )
    return found


def for_model(row: Row, model: Model) -> list[Prediction]:
    """The rules for a model that was not swept, under this row's recipe."""
    recipe = row.curve.records[0].cell.how.recipe
    published = rules.formula(model, row.way)
    return [
        published,
        rules.formula(model, row.way, recipe.steps),
        rules.by_batch(published, recipe.batch_size),
        rules.by_width(row.optimum.rate if row.optimum else None, row.base, model),
    ]


def predicted(row: Row, model: Model) -> dict[str, Any]:
    """The rates for a model that was not swept, as JSON."""
    return {"predict": {"model": asdict(model), "predictions": [asdict(p) for p in for_model(row, model)]}}


def plain(row: Row) -> dict[str, Any]:
    """A row as JSON: a loss is null where a cell was not run or did not finish, 'diverged' where it did."""
    curve, cell = row.curve, row.curve.records[0].cell
    return {
        "track": cell.track,
        "base": cell.base.model_dump(),
        "task": curve.task.label,
        "variant": curve.variant.name,
        "label": curve.label,
        "settings": curve.variant.settings,
        "rank": curve.rank,
        "seeds": list(curve.seeds),
        "rates": list(curve.rates),
        "losses": [[_number(loss) for loss in losses] for losses in curve.losses.tolist()],
        "mean_losses": [_number(loss) for loss in curve.means.tolist()],
        "optimum": None if row.optimum is None else _without(asdict(row.optimum), "draws", "slack"),
        "alike": list(row.alike),
        "ratio_to_full": None if row.ratio is None else asdict(row.ratio),
        "predictions": [{**asdict(one), "off": row.off(one)} for one in row.predictions],
        "curvature": None if row.curvature is None else asdict(row.curvature),
    }


def _without(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in names}


def _number(loss: float) -> float | str | None:
    if math.isnan(loss):
        return None
    return "diverged" if math.isinf(loss) else loss


def _other_rank(
    curve: Curve, curves: Sequence[Curve], optima: Mapping[str, Optimum | None], ways: Mapping[str, Way]
) -> Prediction:
    """From the first other row of the same variant whose settings differ in rank and alpha alone."""

    def rest(one: Curve) -> dict[str, Any]:
        return _without(one.variant.settings, "rank", "alpha")

    for one in curves:
        same = (
            one.group == curve.group and one.variant.name == curve.variant.name and rest(one) == rest(curve)
        )
        if same and one.rank != curve.rank and (found := optima[one.id]) is not None:
            return rules.from_rank(found.rate, ways[one.id], ways[curve.id])
    return rules.from_rank(None, ways[curve.id], ways[curve.id])


def _hessian(
    curve: Curve,
    curves: Sequence[Curve],
    optima: Mapping[str, Optimum | None],
    ways: Mapping[str, Way],
    curvatures: Mapping[str, Curvature],
) -> Prediction:
    """From LoRA's own start on the same base and task, where its optimum lies inside what was tried."""
    for one in curves:
        found = optima[one.id]
        if one.group != curve.group or ways[one.id].alpha is None or found is None or found.edge:
            continue
        if one is curve:
            return Prediction("hessian", None, "the others are predicted from it")
        if one.id not in curvatures or curve.id not in curvatures:
            return Prediction("hessian", None, "no eigenvalue")
        return rules.by_hessian(found.rate, curvatures[one.id].top, curvatures[curve.id].top)
    return rules.by_hessian(None, 0, 0)
