"""The flags of a run as typed, and how their values are read: a mistake is one line that names the flag."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from suite.errors import UserError, nearest

T = TypeVar("T")

ENGINES = ("transformers", "vllm")
PRECISIONS = ("float32", "bfloat16", "mixed")
BATCHINGS = ("padded", "packed")
ATTENTIONS = ("sdpa", "eager", "flash_attention_2")


@dataclass(frozen=True)
class Request:
    """The flags of `suite run` (and of `suite eval`, which has fewer) as typed; None means not given."""

    variants: str | None = None
    tasks: str | None = None
    track: str | None = None
    model: str | None = None
    data: tuple[str, ...] = ()
    offline: bool = False
    seeds: str | None = None
    data_seed: str | None = None
    adapter_seed: str | None = None
    sampling_seed: str | None = None
    lr: str | None = None
    tune: bool = False
    steps: str | None = None
    examples: str | None = None
    tokens: str | None = None
    batching: str | None = None
    precision: str | None = None
    chat_template: bool = False
    limit: str | None = None
    shots: str | None = None
    max_new_tokens: str | None = None
    samples: str | None = None
    temperature: str | None = None
    engine: str | None = None
    device: str = "auto"
    micro_batch: str | None = None
    checkpointing: bool = False
    attention: str | None = None

    def recipe(self) -> dict[str, Any]:
        """The recipe settings that were given, in place of the track's."""
        found = {
            "steps": counted("--steps", self.steps),
            "examples": counted("--examples", self.examples),
            "tokens": counted("--tokens", self.tokens),
            "batching": one_of("--batching", self.batching, BATCHINGS),
            "chat_template": self.chat_template or None,
        }
        return {name: value for name, value in found.items() if value is not None}

    def fixed_seeds(self) -> dict[str, Any]:
        """The cell's seeds that do not follow `--seeds`; null follows."""
        return {
            "data_seed": seed("--data-seed", self.data_seed),
            "adapter_seed": seed("--adapter-seed", self.adapter_seed),
        }

    def evaluation(self) -> dict[str, Any]:
        """The evaluation settings that were given, in place of the track's."""
        found = {
            "limit": counted("--limit", self.limit),
            "shots": None if self.shots is None else read("--shots", self.shots, whole(0), "0 or more"),
            "max_new_tokens": counted("--max-new-tokens", self.max_new_tokens),
            "samples": counted("--samples", self.samples),
            "temperature": number("--temperature", self.temperature),
            "seed": seed("--sampling-seed", self.sampling_seed),
            "engine": one_of("--engine", self.engine, ENGINES),
            "chat_template": self.chat_template or None,
        }
        return {name: value for name, value in found.items() if value is not None}

    def folders(self) -> tuple[Path | None, Path | None]:
        """(data folder, file of own data) behind `--data`, which takes one of each."""
        folder = own = None
        for text in self.data:
            path = Path(text).expanduser()
            if text.strip() and path.is_dir() and folder is None:
                folder = path.resolve()
            elif text.strip() and path.is_file() and own is None:
                own = path.resolve()
            elif path.is_dir() or path.is_file():
                kind = "folder" if path.is_dir() else "file"
                raise UserError(f"--data {text!r}: a second {kind}; give one folder and one file at most")
            else:
                raise UserError(
                    f"--data: no folder or file {text!r}; expected a folder with gsm8k/, hellaswag/, ... in "
                    "hub columns, or a .jsonl file of your own"
                )
        return folder, own


def seed(flag: str, text: str | None) -> int | None:
    """A flag that holds one seed, if it was given."""
    return None if text is None else read(flag, text, whole(0), "a whole number, 0 or more")


def counted(flag: str, text: str | None) -> int | None:
    """A flag that counts, if it was given."""
    return None if text is None else read(flag, text, whole(1), "a whole number, 1 or more")


def number(flag: str, text: str | None) -> float | None:
    """A flag that holds a number of 0 or more, if it was given."""
    return None if text is None else read(flag, text, _not_negative, "a number, 0 or more")


def one_of(flag: str, text: str | None, choices: tuple[str, ...]) -> str | None:
    """A flag that holds one of some words, if it was given."""
    if text is not None and text not in choices:
        near = nearest(text, choices)
        raise UserError(f"{flag} {text!r}: expected one of {', '.join(choices)}; did you mean {near!r}?")
    return text


def many(flag: str, text: str, how: Callable[[str], T], expected: str) -> list[T]:
    """A comma list of distinct values."""
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    if not pieces:
        raise UserError(f"{flag} {text!r} is an empty list; expected {expected}")
    values = [read(flag, piece, how, expected) for piece in pieces]
    for i, value in enumerate(values):
        if value in values[:i]:
            raise UserError(f"{flag} names {pieces[i]!r} twice; name each value once")
    return values


def read(flag: str, text: str, how: Callable[[str], T], expected: str) -> T:
    """One value; ValueError of `how` becomes a line about the flag."""
    try:
        return how(text)
    except ValueError:
        raise UserError(f"{flag} {text!r}: expected {expected}") from None


def whole(least: int) -> Callable[[str], int]:
    """A reader of whole numbers from `least` on."""

    def how(text: str) -> int:
        value = int(text)
        if value < least:
            raise ValueError
        return value

    return how


def rate(text: str) -> float:
    """A learning rate: a finite number above 0."""
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise ValueError
    return value


def _not_negative(text: str) -> float:
    value = float(text)
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError
    return value
