"""The contract of a task: what it trains on and which lm-eval tasks score it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class TaskError(ValueError):
    """A user's mistake about tasks or data: one line with the value, what was expected, the next step."""


@dataclass(frozen=True)
class Places:
    """Where rows lie: a folder in the hub's columns (None: the pocket world), and a file of one's own."""

    data: Path | None = None
    own: Path | None = None


@dataclass(frozen=True)
class Budget:
    """How much of the training split is used: its first examples, or examples up to so many tokens."""

    examples: int | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class Example:
    """One training example. The model reads `prompt` and learns `response`, then end of text.

    An empty prompt is plain text, all of which is learned. `turns` are what a chat template is given: the
    conversation up to and including the last user turn, as (role, text), of which `prompt` is a plain
    rendering. Where there are none, the prompt is the only turn.
    """

    prompt: str
    response: str
    turns: tuple[tuple[str, str], ...] = ()

    @property
    def reply(self) -> str:
        """The response as a turn of a chat: without the space or line break between it and a plain prompt."""
        return self.response[1:] if self.response[:1] in (" ", "\n") else self.response


def _ready() -> None:
    """Nothing to be done before lm-eval reads the task."""


@dataclass(frozen=True)
class Evaluation:
    """One lm-eval task.

    `config` is a complete lm-eval task configuration (what a task yaml holds; lm-eval resolves an `include`
    by absolute path), `metric` and `filter` name its headline number. Call `prepare` before lm-eval reads
    the configuration: some stock tasks would fetch something when they are imported.
    """

    name: str
    metric: str
    config: dict[str, Any] = field(repr=False, compare=False)
    filter: str = "none"
    runs_code: bool = False
    prepare: Callable[[], None] = field(default=_ready, repr=False, compare=False)


@dataclass(frozen=True)
class Task:
    """What is trained for. `examples(split)` yields train, validation or test examples in a fixed order.

    `digest` covers every row, every text around it, and how its evaluations ask and judge; `files` is what
    was read: relative name -> SHA-256 (64 hex digits) of the file, or of its lines up to the last one read
    where a budget cut the reading.
    A budget of examples is already applied. One of tokens is applied by whoever counts tokens: the training
    split holds more than that, and `up_to` cuts it.
    """

    name: str
    source: str
    revision: int
    summary: str
    digest: str
    examples: Callable[[str], list[Example]] = field(repr=False, compare=False)
    evaluations: tuple[Evaluation, ...] = ()
    files: dict[str, str] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = ()
    budget: Budget = Budget()
    lazy: Callable[[str], Iterator[Example]] | None = field(default=None, repr=False, compare=False)

    def stream(self, split: str) -> Iterator[Example]:
        """The same examples one by one, without holding them all in memory where they come from a file."""
        return iter(self.examples(split)) if self.lazy is None else self.lazy(split)


def up_to(examples: Iterable[Example], tokens: int, count: Callable[[Example], int]) -> Iterator[Example]:
    """Examples until `count` of them comes to `tokens`; the one that reaches it is the last."""
    left = tokens
    for example in examples:
        if left <= 0:
            return
        yield example
        left -= count(example)
