"""Jobs that score the untouched base: what every cell is compared with, kept by content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from suite.record import Cell, EvaluationSettings, Recipe, Score, Scores
from suite.seeds import digest

if TYPE_CHECKING:
    from suite.workshop import Report, Workshop
    from tasks.general import General
    from tasks.interface import Evaluation


@dataclass(frozen=True)
class ScoreGeneral:
    """The untouched base on the general skills and the general text."""

    base: str
    precision: str
    evaluation: EvaluationSettings

    def fits(self, found: dict[str, Any] | None) -> bool:
        """Whether what a store holds is such a result."""
        return _is_scores(found, "general", "bits_per_byte")

    @property
    def key(self) -> str:
        """Content key of the result."""
        return digest([self.base, self.precision, self.evaluation.model_dump(mode="json")])

    @property
    def title(self) -> str:
        """How progress calls it."""
        return "base on general skills"

    @property
    def steps(self) -> int:
        """Training steps."""
        return 0

    def run(self, shop: Workshop, report: Report) -> dict[str, Any]:
        """{'general': ..., 'bits_per_byte': ...} as JSON values."""
        shop.open(self.precision)
        scores = shop.scores(parts(shop.general), self.evaluation, (), report)
        bits = take_bits(scores, shop.general)
        return {"general": {k: v.model_dump(mode="json") for k, v in scores.items()}, "bits_per_byte": bits}


@dataclass(frozen=True)
class ScoreTask:
    """The untouched base on what one task trains for."""

    cell: Cell
    recipe: Recipe

    def fits(self, found: dict[str, Any] | None) -> bool:
        """Whether what a store holds is such a result."""
        return _is_scores(found, "target", "log_loss", "held_out")

    @property
    def key(self) -> str:
        """Content key of the result."""
        cell, how = self.cell, self.recipe
        recipe = [how.precision, how.max_length, how.loss_on, how.chat_template]
        scored = cell.evaluation.model_copy(update={"general": [], "general_digest": ""})
        task = cell.task.model_dump(mode="json")
        return digest([cell.base.digest, task, recipe, scored.model_dump(mode="json")])

    @property
    def title(self) -> str:
        """How progress calls it."""
        return f"base on {self.cell.task.label}"

    @property
    def steps(self) -> int:
        """Training steps."""
        return 0

    def run(self, shop: Workshop, report: Report) -> dict[str, Any]:
        """{'target': ..., 'log_loss': ..., 'held_out': ...} as JSON values."""
        shop.open(self.recipe.precision)
        task, how = shop.task(self.cell, self.recipe), self.cell.evaluation
        target = shop.scores(task.evaluations, how, (), report)
        held = shop.held_out(task, self.recipe, how.limit, (), report)
        return {
            "target": {k: v.model_dump(mode="json") for k, v in target.items()},
            "log_loss": {split: one.log_loss for split, one in held.items()},
            "held_out": {split: one.model_dump(mode="json") for split, one in held.items()},
        }


BaseJob = ScoreGeneral | ScoreTask


def before(cell: Cell, recipe: Recipe) -> tuple[BaseJob, ...]:
    """What has to be known of the base before this cell can be a record; equal for cells that share it.

    Of the recipe its precision counts, and how the task's rows are read.
    """
    evaluation = cell.evaluation.model_copy(update={"target": []})
    return ScoreGeneral(cell.base.digest, recipe.precision, evaluation), ScoreTask(cell, recipe)


def _is_scores(found: dict[str, Any] | None, *keys: str) -> bool:
    """Whether `found` is these parts of a Scores and nothing else."""
    if found is None or set(found) != set(keys):
        return False
    rest: dict[str, Any] = {"target": {}, "general": {}, "log_loss": {}, "bits_per_byte": None}
    try:
        Scores.model_validate({**rest, **found})
    except ValidationError:
        return False
    return True


def parts(general: General) -> tuple[Evaluation, ...]:
    """The general skills, and the text if there is any."""
    return general.evaluations if general.text is None else (*general.evaluations, general.text)


def take_bits(scores: dict[str, Score], general: General) -> float | None:
    """Take the loss on general text out of the scores."""
    return None if general.text is None else scores.pop(general.text.name).value
