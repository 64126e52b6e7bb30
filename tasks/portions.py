"""Which rows of a file are trained on, which are held out, and how far the file is read.

Two rules for files without splits of their own. `first_rows` holds out the first HELD_OUT examples for
validation and the next HELD_OUT for test, so that a budget of training examples is met without reading on; of
a file with fewer than ten times as many lines, each is a tenth (at least one). `last_rows` is for a file that
comes with a test file: its last rows are the validation split. Training examples that equal a held-out one
are dropped. A file is read once here, line by line, and again by whoever asks for the training examples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tasks import sources
from tasks.forms import Form
from tasks.interface import Budget, Example, TaskError

HELD_OUT = 100
SMALL = 10 * HELD_OUT
# A budget of tokens bounds the reading before any tokenizer is known: real text has 2 to 6 bytes per token.
BYTES_PER_TOKEN = 8


@dataclass(frozen=True)
class Portion:
    """What is used of a training set: the held-out examples, a way to read the others, and what was read."""

    held_out: dict[str, list[Example]]
    train: Callable[[], Iterator[Example]]
    files: dict[Path, str]
    notes: tuple[str, ...]
    lines: int  # how many of the training file were read

    def stream(self, split: str) -> Iterator[Example]:
        """The examples of a split, one by one."""
        if split == "train":
            return self.train()
        return iter(sources.split_of({"train": None, **self.held_out}, split))


class Walk:
    """One pass over the examples of a file, with account of what was read: bytes, lines, rows left out."""

    def __init__(self, path: Path, form: Form, start: tuple[int, int] = (0, 0)) -> None:
        self.path, self.form = path, form
        self.place, self.line = start
        self.empty = 0
        self._sha = hashlib.sha256()

    def __iter__(self) -> Iterator[Example]:
        for raw in sources.lines(self.path, self.place):
            self.place += len(raw)
            self.line += 1
            self._sha.update(raw)
            if raw.strip():
                row = sources.parse(self.path, self.line, raw, self.form.check)
                example = self.form.example(row)
                if example is None:
                    self.empty += 1
                else:
                    yield example

    @property
    def sha256(self) -> str:
        """Of the lines read so far."""
        return self._sha.hexdigest()

    @property
    def at(self) -> tuple[int, int]:
        """Where another walk can go on: byte and line."""
        return self.place, self.line

    def notes(self, repeated: int = 0) -> tuple[str, ...]:
        """What was left out, if anything, and how far the file was read if not to its end."""
        name, said = self.path.name, []
        if self.empty:
            said.append(f"{name}: {self.empty} rows with nothing to learn left out")
        if repeated:
            said.append(f"{name}: {repeated} training rows equal to held-out ones left out")
        if self.place < self.path.stat().st_size:
            said.append(f"{name}: its first {self.line} lines were read, as the budget needs no more")
        return tuple(said)


class Meter:
    """A budget that is being used up."""

    def __init__(self, budget: Budget) -> None:
        self.examples = budget.examples
        self.bytes = None if budget.tokens is None else budget.tokens * BYTES_PER_TOKEN
        self.count = self.read = 0

    def full(self) -> bool:
        """Whether no further example is needed."""
        enough = self.examples is not None and self.count >= self.examples
        return enough or (self.bytes is not None and self.read >= self.bytes)

    def add(self, example: Example) -> bool:
        """Take an example; whether it was the last one needed."""
        self.count += 1
        if self.bytes is not None:
            self.read += len(example.prompt.encode()) + len(example.response.encode())
        return self.full()


def key(example: Example) -> bytes:
    """What makes examples equal: prompt and response."""
    return hashlib.sha256(f"{example.prompt}\0{example.response}".encode()).digest()


def within(examples: Iterable[Example], budget: Budget, seen: set[bytes]) -> Iterator[Example]:
    """Examples that are not among `seen`, until the budget is used up."""
    meter = Meter(budget)
    for example in examples:
        if key(example) not in seen:
            yield example
            if meter.add(example):
                return


def first_rows(path: Path, form: Form, budget: Budget) -> Portion:
    """The file's first examples held out, the next ones trained on."""
    size = sum(1 for _ in islice((line for line in sources.lines(path) if line.strip()), SMALL))
    held = HELD_OUT if size == SMALL else max(1, size // 10)
    walk = Walk(path, form)
    examples = iter(walk)
    held_out = {split: list(islice(examples, held)) for split in ("validation", "test")}
    begin = walk.at
    seen = {key(example) for rows in held_out.values() for example in rows}
    passed = repeated = 0
    meter = Meter(budget)
    for example in examples:
        if key(example) in seen:
            repeated += 1
            continue
        passed += 1
        if meter.add(example):
            break
    if not passed:
        raise TaskError(too_few(path, size))

    def train() -> Iterator[Example]:
        return within(Walk(path, form, begin), Budget(examples=passed), seen)

    return Portion(held_out, train, {path: walk.sha256}, walk.notes(repeated), walk.line)


def last_rows(path: Path, test: Path, form: Form, budget: Budget, held: int) -> Portion:
    """The file's last `held` examples are validation; a tenth of a file with fewer than ten times that."""
    walk, other = Walk(path, form), Walk(test, form)
    rows, tested = list(walk), list(other)
    for each, found in ((path, rows), (test, tested)):
        if not found:
            raise TaskError(f"{each}: no rows; expected JSON lines, one object each")
    held = min(held, max(1, len(rows) // 10))
    held_out = {"validation": rows[-held:], "test": tested}
    seen = {key(example) for examples in held_out.values() for example in examples}
    train = [example for example in rows[:-held] if key(example) not in seen]
    if not train:
        raise TaskError(too_few(path, len(rows)))
    kept = list(within(train, budget, set()))
    notes = walk.notes(len(rows) - held - len(train)) + other.notes()
    files = {path: walk.sha256, test: other.sha256}
    return Portion(held_out, lambda: iter(kept), files, notes, walk.line)


def too_few(path: Path, rows: int) -> str:
    """A file that cannot be split."""
    what = "no rows" if rows == 0 else f"{rows} rows leave none to train on"
    return f"{path}: {what}; expected at least 3 different ones, for training, validation and test"
