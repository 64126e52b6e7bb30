"""Training sets: a declaration each, and what all of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tasks import portions
from tasks.forms import Form
from tasks.interface import Budget, Task
from tasks.portions import Portion


@dataclass(frozen=True)
class TrainingSet:
    """Rows to train on: `file` of a data folder, in this form.

    With a `test` file, the last `held_out` rows of `file` are the validation split; without one, its first
    rows are held out. `notes(data, lines)` says what a reader of results must know about the first `lines`
    lines. The `repr` is hashed into a task's digest.
    """

    name: str
    file: str
    form: Form
    summary: str = field(repr=False)
    test: str = ""
    held_out: int = portions.HELD_OUT
    revision: int = 1
    notes: Callable[[Path, int], tuple[str, ...]] | None = field(default=None, repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        """What it reads of a data folder."""
        return (self.file, self.test) if self.test else (self.file,)

    @property
    def rules(self) -> str:
        """All that decides which examples there are, beside the rows: for the digest."""
        limits = (portions.HELD_OUT, portions.SMALL, portions.BYTES_PER_TOKEN)
        return f"{self!r} {'last' if self.test else 'first'} rows {limits}"

    def read(self, data: Path, budget: Budget) -> Portion:
        """The examples of a folder. Raises TaskError where a file is missing, malformed or too short."""
        path = data / self.file
        if self.test:
            return portions.last_rows(path, data / self.test, self.form, budget, self.held_out)
        return portions.first_rows(path, self.form, budget)


@dataclass(frozen=True)
class Domain:
    """What one trains for: its training sets, the first of which is the usual one, and what scores it."""

    name: str
    summary: str
    sets: tuple[TrainingSet, ...] = ()
    evaluations: tuple[str, ...] = ()
    pocket: Callable[[], Task] | None = None
