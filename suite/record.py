"""What one cell found: the schema of a record file, its version, and the numbers that follow from it.

A record is facts only. Everything derived (gain, forgetting) is a property, so that it can never
disagree with the scores it comes from.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

Status = Literal["ok", "diverged", "oom", "failed"]


class Fact(BaseModel):
    """A frozen piece of a record; an unknown key is an error.

    A diverged run has a loss of NaN or infinity; JSON has no such number, so they are written as strings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Item(Fact):
    """One evaluated item: its id within the task, whether it was right, and what was generated."""

    id: str
    correct: float | None = Field(description="0 or 1; null where the metric is not per-item right/wrong")
    response: str | None = Field(default=None, description="generated text; null for likelihood tasks")


class Score(Fact):
    """One lm-eval task under one model: the headline metric, all metrics, and per-item outcomes."""

    evaluation: str = Field(description="lm-eval task name")
    metric: str = Field(description="headline metric")
    value: float = Field(description="value of the headline metric")
    n: int = Field(description="number of items")
    metrics: dict[str, float] = Field(description="every metric that lm-eval reports, 'name,filter' -> value")
    items: list[Item] = Field(default_factory=list)


class Scores(Fact):
    """Everything measured on one model: before training (the untouched base) or after."""

    target: dict[str, Score] = Field(description="the task the cell trains for, by evaluation name")
    general: dict[str, Score] = Field(description="the general skills, by evaluation name")
    log_loss: dict[str, float] = Field(
        description="mean negative log-likelihood per response token, nats: 'validation', 'test'"
    )
    bits_per_byte: float | None = Field(description="loss on general text, bits per byte")


class VariantRef(Fact):
    """A method of fine-tuning with all its settings, as the registry can rebuild it."""

    name: str
    settings: dict[str, Any]
    revision: int


class TaskRef(Fact):
    """A task and the digest of the data it really read."""

    name: str
    source: str = Field(description="'pocket' or 'local'")
    revision: int
    digest: str


class BaseRef(Fact):
    """A base model: how it was named and the digest of its weights and tokenizer."""

    name: str
    digest: str


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
    precision: Literal["float32", "bfloat16"] = "float32"


class EvaluationSettings(Fact):
    """What is measured before and after, and how."""

    target: list[str]
    general: list[str]
    general_digest: str = Field(default="", description="of the data behind the general skills and text")
    limit: int | None = Field(default=None, gt=0, description="items per evaluation; null is all")
    revision: int = 1


class Cell(Fact):
    """One training run with its evaluation: everything that can change its numbers."""

    track: str
    base: BaseRef
    variant: VariantRef
    task: TaskRef
    recipe: Recipe
    learning_rate: float = Field(gt=0)
    seed: int = Field(ge=0)
    evaluation: EvaluationSettings

    @property
    def id(self) -> str:
        """Content id: 16 hex digits of the SHA-256 of the canonical JSON of the cell."""
        from suite.seeds import digest

        return digest(self.model_dump(mode="json"))


class CurvePoint(Fact):
    """Training loss at one step: mean over the response tokens of that batch, nats."""

    phase: int
    step: int
    loss: float
    learning_rate: float


class Cost(Fact):
    """What the cell cost. Times are of this machine; peak memory is counted, not sampled."""

    train_wall_s: float
    train_cpu_s: float
    evaluate_wall_s: float
    evaluate_cpu_s: float
    peak_memory_bytes: int | None = Field(description="of a training step, by `memory_method`")
    memory_method: str = Field(description="'live-tensors' (CPU, exact count) or 'cuda-max-allocated'")
    tokens: int = Field(description="non-padding tokens trained on, all phases")


class Provenance(Fact):
    """Where and when: never part of a cell's identity."""

    created: str
    command: str
    device: str
    threads: int
    versions: dict[str, str]
    commit: str | None


class Record(Fact):
    """One cell's result, as stored in `<store>/records/<cell id>.json`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    cell: Cell
    status: Status
    error: str | None = None
    before: Scores | None = None
    after: Scores | None = None
    curve: list[CurvePoint] = Field(default_factory=list)
    trainable_parameters: int | None = None
    total_parameters: int | None = None
    adapted_modules: list[str] = Field(default_factory=list)
    cost: Cost | None = None
    provenance: Provenance

    @property
    def gain(self) -> float | None:
        """after - before of the first target evaluation, in points (0..100); null if not measured."""
        if self.before is None or self.after is None:
            return None
        name = self.cell.evaluation.target[0]
        return 100 * (self.after.target[name].value - self.before.target[name].value)

    @property
    def forgetting_by_skill(self) -> dict[str, float]:
        """before - after of each general evaluation, in points; positive is worse."""
        if self.before is None or self.after is None:
            return {}
        after = self.after.general
        return {name: 100 * (s.value - after[name].value) for name, s in self.before.general.items()}

    @property
    def forgetting(self) -> float | None:
        """Mean over the general skills of before - after, in points; positive is worse."""
        drops = self.forgetting_by_skill
        return sum(drops.values()) / len(drops) if drops else None
