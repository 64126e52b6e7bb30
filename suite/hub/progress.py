"""What is seen of a fetch: bars with the time left on a terminal, a line per finished file elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import TransferSpeedColumn as SpeedColumn


class Display(Protocol):
    """Who follows a fetch."""

    def __enter__(self) -> Display: ...

    def __exit__(self, *_: object) -> None: ...

    def start(self, sizes: Sequence[int | None]) -> None:
        """So many bytes will come for each file, None where that is not known."""
        ...

    def file(self, name: str, size: int | None) -> None:
        """A file begins."""
        ...

    def moved(self, count: int) -> None:
        """So many more bytes of it are here."""
        ...

    def done(self, line: str) -> None:
        """The file is there."""
        ...

    def say(self, line: str) -> None:
        """Something to know."""
        ...


class Lines:
    """For a file or a pipe."""

    def __init__(self, console: Console) -> None:
        self.console, self.count, self.number = console, 0, 0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def start(self, sizes: Sequence[int | None]) -> None:
        """Only their number is told."""
        self.count = len(sizes)

    def file(self, name: str, size: int | None) -> None:
        """Not told."""

    def moved(self, count: int) -> None:
        """Not told."""

    def done(self, line: str) -> None:
        """One line."""
        self.number += 1
        self.say(f"[{self.number}/{self.count}] {line}")

    def say(self, line: str) -> None:
        """One line."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class Live(Lines):
    """For a terminal: everything, and the file under way.

    The time left of everything is shown once the size of all that is left is known: what is read only as far
    as a budget goes has no size before it is there.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            DownloadColumn(),
            SpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self.whole = self.progress.add_task("[bold]fetch", total=None)
        self.sizes: list[int | None] = []
        self.under: TaskID | None = None
        self.come = self.before = 0

    def __enter__(self) -> Live:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def start(self, sizes: Sequence[int | None]) -> None:
        """Set the bar of everything."""
        super().start(sizes)
        self.sizes = list(sizes)
        self._total()

    def file(self, name: str, size: int | None) -> None:
        """A bar for the file."""
        self.under = self.progress.add_task(escape(name), total=size)
        self.before = self.come

    def moved(self, count: int) -> None:
        """Move both bars."""
        self.come += count
        self.progress.advance(self.whole, count)
        if self.under is not None:
            self.progress.advance(self.under, count)

    def done(self, line: str) -> None:
        """A line that stays above the bars."""
        if self.under is not None:
            self.progress.remove_task(self.under)
        if self.number < len(self.sizes):
            self.sizes[self.number] = self.come - self.before
        self._total()
        super().done(line)

    def _total(self) -> None:
        known = [size for size in self.sizes if size is not None]
        self.progress.update(self.whole, total=sum(known) if len(known) == len(self.sizes) else None)


def display(console: Console) -> Display:
    """The display that suits where the output goes."""
    return Live(console) if console.is_terminal else Lines(console)


def size(count: int) -> str:
    """Bytes in words: '4.2 MB'."""
    return decimal(count)
