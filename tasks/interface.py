"""The contract of a task: what it trains on and which lm-eval tasks score it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class TaskError(ValueError):
    """A user's mistake about tasks or data: one line with the value, what was expected, the next step."""


@dataclass(frozen=True)
class Example:
    """One training example. The model reads `prompt` and learns `response`, then end of text."""

    prompt: str
    response: str


@dataclass(frozen=True)
class Evaluation:
    """One lm-eval task.

    `config` is a complete lm-eval task configuration (what a task yaml holds; lm-eval resolves an `include`
    by absolute path), `metric` and `filter` name its headline number.
    """

    name: str
    metric: str
    config: dict[str, Any] = field(repr=False, compare=False)
    filter: str = "none"
    runs_code: bool = False


@dataclass(frozen=True)
class Task:
    """What is trained for. `examples(split)` yields train, validation or test examples in a fixed order."""

    name: str
    source: str
    revision: int
    summary: str
    digest: str
    examples: Callable[[str], list[Example]] = field(repr=False, compare=False)
    evaluations: tuple[Evaluation, ...] = ()
