"""The shape of a result file of huggingface/peft's method_comparison/MetaMathQA, as far as it is read.

Every field may be missing; those that are there must be what their name says. Other fields are let through.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _whole(value: Any) -> Any:
    value = _finite(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _word(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("expected printable text")
    return value


Word = Annotated[str, Field(max_length=200), AfterValidator(_word)]
Number = Annotated[Annotated[float, Field(ge=0)] | None, BeforeValidator(_finite)]
Share = Annotated[Annotated[float, Field(ge=0, le=1)] | None, BeforeValidator(_finite)]
Count = Annotated[Annotated[int, Field(ge=0, lt=2**63)] | None, BeforeValidator(_whole)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Metrics(_Part):
    """One evaluation; the last one is on the test split."""

    step: Count = None
    loss: float | None = Field(default=None, alias="train loss")
    accuracy: Share = Field(default=None, alias="test accuracy")
    tokens: Count = Field(default=None, alias="train total tokens")


class TrainInfo(_Part):
    """How training went. Older files say cuda where newer ones say accelerator."""

    status: Word | None = None
    metrics: list[Metrics] | None = None
    train_time: Number = None
    accelerator_memory_max: Count = None
    cuda_memory_max: Count = None
    num_trainable_params: Count = None
    num_total_params: Count = None


class Optimizer(_Part):
    """Keywords of the optimiser."""

    lr: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class TrainConfig(_Part):
    """What was asked of the training."""

    model_id: Word | None = None
    seed: Count = None
    optimizer_kwargs: Optimizer | None = None


class PeftConfig(_Part):
    """The adapter's config."""

    peft_type: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_+-]{1,64}$")
    base_model_name_or_path: Word | None = None


class RunInfo(_Part):
    """What was run; a null `peft_config` is full fine-tuning."""

    train_config: TrainConfig
    peft_config: PeftConfig | None = None
    experiment_name: Word | None = None
    created_at: Any = None
    error_msg: str | None = None


class Hub(_Part):
    """A commit of the hub."""

    sha: Word | None = None


class MetaInfo(_Part):
    """Where it ran, and on which data and versions."""

    model_info: Hub | None = None
    dataset_info: dict[str, Hub | None] | None = None
    package_info: dict[str, Any] | None = None
    system_info: dict[str, Any] | None = None


class Result(_Part):
    """A whole file."""

    run_info: RunInfo
    train_info: TrainInfo | None = None
    meta_info: MetaInfo | None = None
