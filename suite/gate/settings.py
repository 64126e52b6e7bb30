"""What the gate judges by: the metrics, and for each the smallest effect that counts.

A `floor` is the smallest worsening that can fail: a proven change below it passes. A `limit` is the largest
worsening that a passing row may leave undiscovered: where it can neither be excluded nor would have been
found with the stated power, the row is inconclusive. Both are relative (0.01 is 1 %) or in points.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from suite.errors import UserError, nearest
from suite.origin import Fact

Kind = Literal["outcome", "signature", "cost"]
Unit = Literal["relative", "points"]
Sign = Literal[-1, 1]


class Metric(Fact):
    """One noisy quantity: how it is read, what makes it worse, and how large a change counts.

    'outcome' and 'cost' block when they are worse and alarm when they are better. A 'signature' has no better
    side: it shows that the code computes something else, and blocks both ways.
    """

    name: str
    kind: Kind
    unit: Unit
    worse: Sign = Field(description="1 where a larger value is worse; of a signature always 1")
    floor: float = Field(ge=0)
    limit: float = Field(ge=0)
    resolution: float = Field(gt=0, description="noise that is always granted: rounding on another machine")
    counted: bool = Field(
        default=False, description="a cost that is the same in every run of a seed: bytes, operations"
    )


# name, kind, unit, worse, floor, limit, resolution
_TABLE: tuple[tuple[str, Kind, Unit, Sign, float, float, float], ...] = (
    ("held-out loss", "outcome", "relative", 1, 0.01, 0.10, 1e-4),
    ("gain", "outcome", "points", -1, 1.0, 15.0, 0.05),
    ("forgetting", "outcome", "points", 1, 1.0, 10.0, 0.05),
    ("general text loss", "outcome", "relative", 1, 0.01, 0.05, 1e-4),
    ("start loss", "signature", "relative", 1, 0.002, 0.05, 1e-5),
    ("training loss", "signature", "relative", 1, 0.01, 0.10, 1e-4),
    ("delta norm", "signature", "relative", 1, 0.01, 0.10, 1e-4),
    ("tokens", "signature", "relative", 1, 0.005, 0.05, 1e-5),
    ("peak memory", "cost", "relative", 1, 0.01, 0.10, 1e-4),
    ("flops per token", "cost", "relative", 1, 0.01, 0.10, 1e-4),
    ("adapter size", "cost", "relative", 1, 0.01, 0.10, 1e-4),
    ("training time", "cost", "relative", 1, 0.20, 1.0, 0.01),
)
_COUNTED = {"peak memory", "flops per token", "adapter size"}
METRICS = tuple(
    Metric(
        name=name,
        kind=kind,
        unit=unit,
        worse=worse,
        floor=floor,
        limit=limit,
        resolution=resolution,
        counted=name in _COUNTED,
    )
    for name, kind, unit, worse, floor, limit, resolution in _TABLE
)


class Settings(Fact):
    """How strict the gate is."""

    alpha: float = Field(default=0.02, gt=0, lt=0.5, description="chance that any row fails by noise alone")
    power: float = Field(default=0.8, gt=0.5, lt=1, description="at a row's limit")
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="of the intervals shown")
    rounding: float = Field(default=1e-3, ge=0, description="relative, of the untouched base's losses")
    flips: float = Field(default=0.01, ge=0, le=1, description="share of the base's items that may flip")
    load: float = Field(default=0.1, ge=0, description="how far loads may differ where times are judged")
    allow_improvement: bool = Field(default=False, description="an improvement passes, and is still told")
    metrics: tuple[Metric, ...] = METRICS

    @model_validator(mode="after")
    def _limits(self) -> Settings:
        for metric in self.metrics:
            if metric.limit < metric.floor:
                raise ValueError(f"the limit of {metric.name} is {metric.limit:g}, below its floor")
        return self


def load(path: Path) -> Settings:
    """Settings from a yaml file: those of `Settings`, and `metrics: {gain: {floor: 2, limit: 20}}`."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"settings {str(path)!r}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise UserError(f"settings {str(path)!r}: not yaml ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"settings {str(path)!r}: expected keys such as alpha and metrics, got {content!r}")
    changes = content.pop("metrics", {})
    try:
        metrics = changed(changes) if isinstance(changes, dict) else changes
        return Settings.model_validate({**content, "metrics": metrics})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"settings {str(path)!r}: {place or 'values'}: {first['msg']}") from None


def changed(changes: dict[str, dict[str, float]]) -> tuple[Metric, ...]:
    """The metrics with other floors and limits."""
    known = {metric.name: metric for metric in METRICS}
    for name, change in changes.items():
        if name not in known:
            raise UserError(f"no metric {name!r}; did you mean {nearest(str(name), known)!r}?")
        if not isinstance(change, dict) or not set(change) <= {"floor", "limit"}:
            raise UserError(f"metric {name!r}: expected floor and limit, got {change!r}")
        known[name] = Metric.model_validate({**known[name].model_dump(), **change})
    return tuple(known.values())
