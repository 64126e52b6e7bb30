"""What a plan will cost: the times measured in the store where it has them, else a rule of thumb."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from suite.plan import Plan
from suite.record import Cell
from suite.store import Store
from suite.words import duration

if TYPE_CHECKING:
    from variants.interface import Variant

SAMPLE = 128


@dataclass(frozen=True)
class Estimate:
    """Training seconds of one cell. `measured`: from a record of the same variant, task and recipe."""

    cell: Cell
    phases: int
    seconds: float
    measured: bool
    finished: bool


def estimates(plan: Plan, store: Store, unfinished: Sequence[Cell]) -> list[Estimate]:
    """One estimate for each cell of the plan."""
    known: dict[Any, list[float]] = defaultdict(list)
    for record in store.records():
        seconds = record.cost.train_wall_s if record.cost else None
        if seconds is not None and record.status == "ok":
            known[_kind(record.cell)].append(seconds)
    rule = _Rule(plan)
    todo = {cell.id for cell in unfinished}
    found = []
    for cell in plan.cells:
        times = known.get(_kind(cell))
        phases = _phases(cell)
        seconds = fmean(times) if times else rule.seconds(cell) * phases
        found.append(Estimate(cell, phases, seconds, bool(times), cell.id not in todo))
    return found


def table(found: Sequence[Estimate], workers: int) -> Table:
    """The cells of a plan, as `--dry-run` shows them."""
    from variants import registry

    todo = [one for one in found if not one.finished]
    total = duration(sum(one.seconds for one in todo) / workers)
    shown = Table(
        box=SIMPLE_HEAD,
        title=f"{len(found)} cells, {len(todo)} to do: about {total} of training on {workers} worker(s)",
        caption="Training time only; ~ is a rule of thumb, without it measured in this store.",
    )
    shown.add_column("cell", no_wrap=True)
    for name in ("variant", "task"):
        shown.add_column(name, overflow="fold")
    for name in ("rate", "seed", "steps", "about"):
        shown.add_column(name, justify="right")
    for one in found:
        cell = one.cell
        about = "finished" if one.finished else f"{'' if one.measured else '~'}{duration(one.seconds)}"
        recipe, rate, seed = cell.how
        steps = str(recipe.steps) if one.phases == 1 else f"{one.phases} x {recipe.steps}"
        variant = as_typed(registry.build(cell.variant.name, cell.variant.settings))
        shown.add_row(cell.id, Text(variant), cell.task.label, f"{rate:g}", str(seed), steps, about)
    return shown


def as_typed(variant: Variant) -> str:
    """A variant as one types it: its label, and the settings that are not the usual ones."""
    usual = type(variant).example().settings()
    label, own = variant.label, variant.settings().items()
    told = [f"{k}={v}" for k, v in own if usual.get(k) != v and str(v).lower() not in label.split(":")]
    return label + ("," if ":" in label else ":") + ",".join(told) if told else label


class _Rule:
    """6 operations per parameter and token, at the nominal speed of the device."""

    def __init__(self, plan: Plan) -> None:
        from transformers import AutoTokenizer

        from suite.model import skeleton

        self.plan = plan
        self.parameters = sum(p.numel() for p in skeleton(plan.setup.base).parameters())
        self.tokenizer: Any = AutoTokenizer.from_pretrained(plan.setup.base, local_files_only=True)
        self._lengths: dict[str, float] = {}

    def seconds(self, cell: Cell) -> float:
        """Of one phase."""
        from suite.cost import estimate_seconds

        recipe = cell.how.recipe
        tokens = recipe.steps * recipe.batch_size * self._length(cell)
        return estimate_seconds(self.parameters, round(tokens), self.plan.setup.device)

    def _length(self, cell: Cell) -> float:
        """Mean tokens of the task's first examples."""
        from suite.training.batches import encode_all
        from tasks import registry

        task, recipe = cell.task, cell.how.recipe
        key = task.label
        if key not in self._lengths:
            found = registry.get(task.name, self.plan.setup.places, task.source, examples=SAMPLE)
            how = (recipe.max_length, recipe.loss_on, recipe.chat_template)
            rows = encode_all(found.examples("train"), self.tokenizer, *how)
            self._lengths[key] = fmean(len(row.ids) for row in rows)
        return self._lengths[key]


def _kind(cell: Cell) -> tuple[Any, ...]:
    """Cells of one kind cost the same: learning rate and seed change nothing."""
    return cell.base, str(cell.variant), cell.task, str(cell.recipe)


def _phases(cell: Cell) -> int:
    from variants import registry

    return registry.get(cell.variant.name).phases
