"""What one cell found: the schema of a record file, its version, and the numbers that follow from it.

A record is facts only. Everything derived (gain, forgetting) is a property, so that it can never
disagree with the scores it comes from. What was not measured, or what a source does not say, is null.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from pydantic import Field

from suite.origin import DeltaRank as DeltaRank
from suite.origin import Effect as Effect
from suite.origin import Fact as Fact
from suite.origin import Overlap as Overlap
from suite.origin import Provenance as Provenance
from suite.origin import Source as Source
from suite.refs import BaseRef as BaseRef
from suite.refs import TaskRef as TaskRef
from suite.refs import VariantRef as VariantRef
from suite.spent import Cost as Cost
from suite.spent import Latency as Latency
from suite.spent import StepFlops as StepFlops
from suite.spent import Times as Times

SCHEMA_VERSION = 4

Status = Literal["ok", "diverged", "oom", "failed"]
Measured = Literal["all", "validation"]


class Item(Fact):
    """One evaluated item: its id within the task, whether it was right, and what was generated."""

    id: str
    correct: float | None = Field(description="0 or 1; null where the metric is not per-item right/wrong")
    response: str | None = Field(default=None, description="generated text; null for likelihood tasks")


class Score(Fact):
    """One lm-eval task under one model: the headline metric, all metrics, and per-item outcomes."""

    evaluation: str = Field(description="lm-eval task name, or what a source scored")
    metric: str = Field(description="headline metric")
    value: float = Field(description="value of the headline metric")
    n: int | None = Field(description="number of items; null where a source does not say")
    metrics: dict[str, float] = Field(
        description="every metric reported, lm-eval's as 'name,filter' -> value"
    )
    items: list[Item] = Field(default_factory=list)
    prompts: str | None = Field(
        default=None,
        description="16 hex digits of the SHA-256 of all prompts as rendered, with shots and chat template",
    )
    batch_changes: float | None = Field(
        default=None,
        description="share of sampled answers that change when generated alone; null where not measured",
    )


class HeldOut(Fact):
    """What a model makes of the held-out examples of a split, in their order, each token after true ones."""

    accuracy: float = Field(description="share of the learned tokens that are the model's first choice")
    nats: list[float] = Field(description="negative log-likelihood of each example's learned tokens, summed")
    tokens: list[int] = Field(description="how many learned tokens each example has")

    @property
    def log_loss(self) -> float:
        """Mean negative log-likelihood per learned token, nats."""
        return math.fsum(self.nats) / sum(self.tokens)


class Scores(Fact):
    """Everything measured on one model: before training (the untouched base) or after.

    Of a cell whose test split is unread (`Record.measured`) there is the held-out loss on validation alone.
    """

    target: dict[str, Score] = Field(description="the task the cell trains for, by evaluation name")
    general: dict[str, Score] = Field(description="the general skills, by evaluation name")
    log_loss: dict[str, float] = Field(
        description="mean negative log-likelihood per response token, nats: 'validation', 'test'"
    )
    bits_per_byte: float | None = Field(description="loss on general text, bits per byte")
    held_out: dict[str, HeldOut] = Field(
        default_factory=dict,
        description="'validation', 'test': what `log_loss` is made of, example by example",
    )


class Recipe(Fact):
    """Everything of training but the variant, task, learning rate and seed."""

    steps: int = Field(gt=0, description="optimiser steps of each phase")
    batch_size: int = Field(gt=0)
    schedule: Literal["cosine", "constant", "linear"] = "cosine"
    warmup: float = Field(default=0.05, ge=0, le=1, description="share of each phase's steps")
    clip: float = Field(default=1.0, gt=0, description="global gradient norm of one member")
    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    max_length: int = Field(default=256, gt=0, description="tokens of an example")
    loss_on: Literal["response", "all"] = "response"
    precision: Literal["float32", "bfloat16", "mixed"] = Field(
        default="float32", description="of the base; 'mixed': float32 weights computed in bfloat16"
    )
    batching: Literal["padded", "packed"] = Field(
        default="padded",
        description="'padded': one example a row; 'packed': several a row, none of which sees another",
    )
    chat_template: bool = Field(default=False, description="prompts go through the model's chat template")
    examples: int | None = Field(default=None, gt=0, description="training examples used; null is all")
    tokens: int | None = Field(default=None, gt=0, description="training tokens used; null is all")
    optimizer: Literal["adamw"] = Field(
        default="adamw", description="torch.optim.AdamW, its eps left as it is"
    )
    revision: int = Field(default=1, description="of our training loop")


class EvaluationSettings(Fact):
    """What is measured before and after, and how."""

    target: list[str]
    general: list[str]
    general_digest: str = Field(default="", description="of the data behind the general skills and text")
    limit: int | None = Field(default=None, gt=0, description="items per evaluation; null is all")
    shots: int | None = Field(
        default=None, ge=0, description="examples shown; null is each task's own number"
    )
    max_new_tokens: int | None = Field(default=None, gt=0, description="null is each task's own number")
    samples: int = Field(
        default=1, gt=0, description="answers per item of evaluations that run code, for pass@k"
    )
    temperature: float = Field(default=0.0, ge=0, description="of those answers; 0 is greedy")
    chat_template: bool = Field(default=False, description="prompts go through the model's chat template")
    engine: Literal["transformers", "vllm"] = Field(default="transformers", description="what generates")
    seed: int = Field(
        default=0, ge=0, description="of answers that are drawn; the same for the base and for every cell"
    )
    revision: int | None = Field(default=2, description="of our evaluation; null for scores of others")


class How(NamedTuple):
    """What a cell that trains here always says; see `Cell.how`."""

    recipe: Recipe
    learning_rate: float
    seed: int


class Cell(Fact):
    """One training run with its evaluation: everything that can change its numbers.

    Where nothing was trained here, recipe, rate and seed are what the source says of them (null: nothing),
    and `source` is the content key of what was imported or scored.
    """

    track: str
    base: BaseRef
    variant: VariantRef
    task: TaskRef
    recipe: Recipe | None
    learning_rate: float | None = Field(gt=0)
    seed: int | None = Field(ge=0)
    evaluation: EvaluationSettings
    source: str | None = Field(
        default=None, description="SHA-256 key of what was imported or scored; null for a cell trained here"
    )
    data_seed: int | None = Field(default=None, ge=0, description="of the data order; null is `seed`")
    adapter_seed: int | None = Field(default=None, ge=0, description="of the adapter's start; null is `seed`")

    @property
    def seeds(self) -> dict[str, int]:
        """The seed of each stream of random numbers: data, adapter, sampling; {} if not trained here."""
        if self.seed is None:
            return {}
        data = self.seed if self.data_seed is None else self.data_seed
        adapter = self.seed if self.adapter_seed is None else self.adapter_seed
        return {"data": data, "adapter": adapter, "sampling": self.evaluation.seed}

    @property
    def id(self) -> str:
        """Content id: 16 hex digits of the SHA-256 of the canonical JSON of the cell."""
        from suite.seeds import digest

        return digest(self.model_dump(mode="json"))

    @property
    def how(self) -> How:
        """Recipe, rate and seed of a cell that trains here, where none of them may be missing."""
        recipe, rate, seed = self.recipe, self.learning_rate, self.seed
        assert recipe is not None and rate is not None and seed is not None, f"{self.id} is not trained here"
        return How(recipe, rate, seed)


class CurvePoint(Fact):
    """Training loss at one step: mean over the response tokens of that batch, nats.

    An imported curve holds what its source calls the training loss, without learning rates.
    """

    phase: int
    step: int
    loss: float
    learning_rate: float | None


class Search(Fact):
    """How the learning rate of a variant on a task was searched for, and what this cell is in it.

    The winner is no fact of one record: `suite.tuning.choose` finds it in all records of a search.
    """

    method: str = Field(description="'grid': all rates of a log-spaced grid, as many for every variant")
    rates: list[float] = Field(description="the rates of the search, before any was added at its edge")
    default: float = Field(description="the track's documented rate of the variant")
    role: Literal["trial", "edge", "default"] = Field(
        description="'trial': one of `rates`; 'edge': added where the lowest loss lay on the edge; "
        "'default': the documented rate where it is none of them, not to be chosen"
    )


class Record(Fact):
    """One cell's result, as stored in `<store>/records/<cell id>.json`."""

    schema_version: Literal[4] = SCHEMA_VERSION
    id: str
    cell: Cell
    status: Status
    error: str | None = None
    measured: Measured = Field(
        default="all", description="'validation': a trial of a search, whose test split has not been read"
    )
    search: Search | None = Field(default=None, description="null for a cell that is part of no search")
    start_loss: float | None = Field(
        default=None,
        description="held-out loss on validation under the adapter before its first step, nats per token",
    )
    before: Scores | None = None
    after: Scores | None = None
    curve: list[CurvePoint] = Field(default_factory=list)
    trainable_parameters: int | None = None
    total_parameters: int | None = None
    adapted_modules: list[str] = Field(default_factory=list)
    effect: Effect | None = None
    weights: str | None = Field(
        default=None,
        description="first 16 hex digits of the SHA-256 of the saved export's weights; null if not kept",
    )
    cost: Cost | None = None
    source: Source | None = None
    notes: list[str] = Field(
        default_factory=list, description="what a reader should know: of the data, of training, of scoring"
    )
    data: dict[str, str] = Field(
        default_factory=dict, description="file of the data folder -> SHA-256 of what was read of it"
    )
    rows: str | None = Field(
        default=None,
        description="16 hex digits of the SHA-256 of the training rows as tokens and of which are learned: "
        "prompts as rendered, answers, chat template, loss mask",
    )
    contamination: list[Overlap] = Field(
        default_factory=list, description="how much of each evaluation is found in the training set"
    )
    provenance: Provenance

    @property
    def read(self) -> bool:
        """Whether the test split and the general skills were read: not of a trial."""
        return self.measured == "all"

    @property
    def gain(self) -> float | None:
        """after - before of the first target evaluation, in points (0..100); null if not measured."""
        if self.before is None or self.after is None or not self.cell.evaluation.target or not self.read:
            return None
        name = self.cell.evaluation.target[0]
        return 100 * (self.after.target[name].value - self.before.target[name].value)

    @property
    def score(self) -> float | None:
        """The first target evaluation after training, in points (0..100); null if not measured."""
        if self.after is None or not self.cell.evaluation.target or not self.read:
            return None
        return 100 * self.after.target[self.cell.evaluation.target[0]].value

    @property
    def forgetting_by_skill(self) -> dict[str, float]:
        """before - after of each general evaluation, in points; positive is worse."""
        if self.before is None or self.after is None or not self.read:
            return {}
        after = self.after.general
        return {name: 100 * (s.value - after[name].value) for name, s in self.before.general.items()}

    @property
    def forgetting(self) -> float | None:
        """Mean over the general skills of before - after, in points; positive is worse."""
        drops = self.forgetting_by_skill
        return sum(drops.values()) / len(drops) if drops else None
