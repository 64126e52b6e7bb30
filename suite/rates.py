"""Loss against learning rate: the curves of a store's searches, one per variant, rank and task.

The loss is the held-out log loss on validation, nats per token. `suite.optimum` says where a curve is lowest.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from suite.record import Record, TaskRef, VariantRef
from suite.refs import rank_of
from suite.seeds import digest
from suite.tuning import key

BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Curve:
    """The validation loss of one variant on one task by rate and seed, [R, S] in nats per token.

    Infinite where a cell diverged, NaN where it was not run or did not finish. `group` is what curves that
    may be compared share: track, base, task, recipe (but its precision) and how many examples are held out.
    `untrained` is the base's loss, `seconds` the training time of each cell (NaN if unknown).
    """

    id: str
    group: str
    variant: VariantRef
    task: TaskRef
    label: str
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    losses: np.ndarray
    seconds: np.ndarray
    untrained: float | None
    records: tuple[Record, ...]

    @property
    def rank(self) -> int | None:
        """The rank among the settings, if there is one."""
        found = rank_of(self.variant.settings)
        return found if isinstance(found, int) else None

    @property
    def means(self) -> np.ndarray:
        """[R]: the mean over the seeds that were run; infinite if one diverged."""
        counts = (~np.isnan(self.losses)).sum(axis=1)
        return np.where(counts > 0, np.nansum(self.losses, axis=1) / np.maximum(counts, 1), np.nan)

    def part(self, rates: Sequence[int], seeds: Sequence[int]) -> Curve:
        """The curve of some rates and seeds, by their places."""
        at = np.ix_(rates, seeds)
        return Curve(
            **{
                **vars(self),
                "rates": tuple(self.rates[i] for i in rates),
                "seeds": tuple(self.seeds[i] for i in seeds),
                "losses": self.losses[at],
                "seconds": self.seconds[at],
            }
        )


def curves(records: Iterable[Record]) -> list[Curve]:
    """The curves of all records that were trained here, by group, variant and rank."""
    members: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.id):
        if record.source is None and record.cell.recipe is not None:
            members[key(record.cell)].append(record)
    names = labels([group[0].cell.variant for group in members.values()])
    found = [_curve(name, group, names) for name, group in members.items()]
    return sorted(found, key=lambda c: (c.task.label, c.group, c.label, c.rank or 0, c.id))


def labels(variants: Sequence[VariantRef]) -> dict[str, str]:
    """Digest of a variant -> its name, with the settings but rank that tell it from its namesakes."""
    known = {_digest(variant): variant for variant in variants}
    found: dict[str, str] = {}
    for name, variant in known.items():
        others = [other for other in known.values() if other.name == variant.name]
        telling = [
            f"{setting}={value}"
            for setting, value in variant.settings.items()
            if setting != "rank" and any(other.settings.get(setting) != value for other in others)
        ]
        if len({other.revision for other in others}) > 1:
            telling.append(f"revision {variant.revision}")
        found[name] = " ".join([variant.name, *telling])
    return found


def reference(curve: Curve, others: Iterable[Curve], trains_base: Callable[[Curve], bool]) -> Curve | None:
    """The curve of full fine-tuning that a curve is held against: on the same base, task and recipe."""
    return next((one for one in others if one.group == curve.group and trains_base(one)), None)


def complete(curve: Curve) -> Curve:
    """The rates and seeds of a curve that were all run together, as many cells as that can be.

    Three rates of one seed go before any number of seeds of fewer.
    """
    run = ~np.isnan(curve.losses)
    order = sorted(range(len(curve.seeds)), key=lambda s: (-int(run[:, s].sum()), s))
    parts = []
    for count in range(1, len(order) + 1):
        seeds = sorted(order[:count])
        rates = [r for r in range(len(curve.rates)) if run[r, seeds].all()]
        parts.append((min(len(rates), 3), len(rates) * count, rates, seeds))
    *_, rates, seeds = max(parts, key=lambda part: part[:2])
    return curve.part(rates, seeds)


def sparkline(curve: Curve) -> str:
    """One character a rate, from low to high: a bar for the log of the loss, 'x' diverged, '.' not run."""
    means = curve.means
    finite = np.log(means[np.isfinite(means)])
    span = float(np.ptp(finite)) if len(finite) else 0.0

    def bar(loss: float) -> str:
        if math.isnan(loss):
            return "."
        if math.isinf(loss):
            return "x"
        share = (math.log(loss) - float(finite.min())) / span if span else 0.0
        return BARS[round(share * (len(BARS) - 1))]

    return "".join(map(bar, means))


def _curve(name: str, members: Sequence[Record], names: dict[str, str]) -> Curve:
    first = members[0].cell
    rates = sorted({record.cell.how.learning_rate for record in members})
    seeds = sorted({record.cell.how.seed for record in members})
    losses = np.full((len(rates), len(seeds)), np.nan)
    seconds = losses.copy()
    for record in members:
        at = rates.index(record.cell.how.learning_rate), seeds.index(record.cell.how.seed)
        losses[at] = _loss(record)
        spent = record.cost and record.cost.train_wall_s
        seconds[at] = math.nan if spent is None else spent
    untrained = next((one.before.log_loss.get("validation") for one in members if one.before), None)
    recipe = first.how.recipe.model_dump(mode="json", exclude={"precision"})
    shared = [first.track, first.base.model_dump(), first.task.model_dump(), recipe, first.evaluation.limit]
    return Curve(
        id=name,
        group=digest(shared),
        variant=first.variant,
        task=first.task,
        label=names[_digest(first.variant)],
        rates=tuple(rates),
        seeds=tuple(seeds),
        losses=losses,
        seconds=seconds,
        untrained=untrained,
        records=tuple(members),
    )


def _loss(record: Record) -> float:
    if record.status == "diverged":
        return math.inf
    if record.status != "ok" or record.after is None:
        return math.nan
    loss = record.after.log_loss.get("validation", math.nan)
    return loss if math.isfinite(loss) or "validation" not in record.after.log_loss else math.inf


def _digest(variant: VariantRef) -> str:
    return digest(variant.model_dump(mode="json"))
