"""What the user sees while it runs: a live display on a terminal, a line per finished cell elsewhere."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from suite.engines.local import Done, Event, Moved, Started
from suite.record import Record
from suite.words import points, title


class Job(Protocol):
    """What the display needs to know of a job."""

    @property
    def title(self) -> str:
        """In a few words."""
        ...

    @property
    def steps(self) -> int:
        """Training steps; 0 for one that only scores."""
        ...


@dataclass
class _Under:
    """A job under way: when it began, and when its training was first and last heard of."""

    job: Job
    began: float
    first: tuple[float, int] | None = None
    last: tuple[float, int] | None = None


class Estimator:
    """Seconds that are left, from the pace measured so far.

    A job is expected to take its training steps at the mean measured pace, and beside them (loading,
    scoring) the mean of what finished jobs took. `later` jobs without steps follow in another run.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        workers: int,
        clock: Callable[[], float] = time.monotonic,
        later: int = 0,
    ) -> None:
        self.later = later
        self.workers = max(1, workers)
        self.clock = clock
        self._left = list(jobs)
        self._under: dict[int, _Under] = {}
        self._training = [0.0, 0]
        self._beside: dict[bool, list[float]] = defaultdict(list)

    def see(self, event: Event) -> None:
        """Take in what the engine tells."""
        now = self.clock()
        if isinstance(event, Started):
            self._left = [job for job in self._left if job is not event.job]
            self._under[event.worker] = _Under(event.job, now)
        elif isinstance(event, Moved):
            under = self._under[event.worker]
            if event.loss is not None:
                under.first = under.first or (now, event.step)
                under.last = (now, event.step)
        else:
            under = self._under.pop(event.worker)
            if isinstance(event, Done):
                self._finished(under, now)

    def _finished(self, under: _Under, now: float) -> None:
        seconds, steps = _trained(under)
        self._training[0] += seconds
        self._training[1] += steps
        self._beside[under.job.steps > 0].append(now - under.began - seconds)

    def remaining(self) -> float | None:
        """Seconds to the end; None while nothing has been measured."""
        seconds, steps = self._training
        for under in self._under.values():
            more = _trained(under)
            seconds, steps = seconds + more[0], steps + more[1]
        measured = [time for times in self._beside.values() for time in times]
        if not steps and not measured:
            return None
        pace = seconds / steps if steps else 0.0

        def whole(job: Job) -> float:
            beside = self._beside[job.steps > 0] or measured
            return job.steps * pace + (sum(beside) / len(beside) if beside else 0.0)

        now = self.clock()
        current = [max(0.0, whole(under.job) - (now - under.began)) for under in self._under.values()]
        scored = self._beside[False] or measured
        follows = self.later * sum(scored) / len(scored) if scored else 0.0
        total = sum(current) + sum(whole(job) for job in self._left) + follows
        return max([total / self.workers, *current])


def _trained(under: _Under) -> tuple[float, int]:
    """Seconds and steps of training that were heard of."""
    if under.first is None or under.last is None:
        return 0.0, 0
    return under.last[0] - under.first[0], under.last[1] - under.first[1]


class Display(Protocol):
    """Who follows a run."""

    def see(self, event: Event) -> None:
        """Something happened to a job."""
        ...

    def wrote(self, record: Record) -> None:
        """A cell became a record."""
        ...

    def lost(self, title: str, why: str) -> None:
        """A cell or the base could not be measured, and will be tried again by the next run."""
        ...


def outcome_line(record: Record) -> str:
    """One finished cell: 'lora on math, seed 0: ok, gain +76.0, forgetting +18.2, 38 s'."""
    parts = [record.status if record.error is None else f"{record.status} ({record.error})"]
    if not record.read and record.after is not None:
        parts.append(f"validation loss {record.after.log_loss['validation']:.4f}")
    if record.gain is not None:
        parts.append(f"gain {points(record.gain)}")
    if record.forgetting is not None:
        parts.append(f"forgetting {points(record.forgetting)}")
    cost = record.cost
    times = [cost.train_wall_s, cost.evaluate_wall_s] if cost is not None else []
    if known := [time for time in times if time is not None]:
        parts.append(f"{sum(known):.0f} s")
    return f"{title(record.cell)}: {', '.join(parts)}"


class Lines:
    """For a file or a pipe: one line per finished cell."""

    def __init__(self, console: Console, cells: int, title: str = "run") -> None:
        self.console, self.cells, self.done = console, cells, 0
        self.title = "" if title == "run" else f"{title} "

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def see(self, event: Event) -> None:
        """Steps are not told."""

    def wrote(self, record: Record) -> None:
        """One line."""
        self._line(outcome_line(record))

    def lost(self, title: str, why: str) -> None:
        """One line."""
        self._line(f"{title}: not measured: {why}")

    def _line(self, text: str) -> None:
        self.done += 1
        self.console.print(
            f"[{self.title}{self.done}/{self.cells}] {text}", markup=False, highlight=False, soft_wrap=True
        )


class _Note(ProgressColumn):
    """The time left on the line of the whole run; stage and loss on the others."""

    def __init__(self, estimator: Estimator) -> None:
        super().__init__()
        self.estimator = estimator

    def render(self, task: Task) -> Text:
        if not task.fields.get("whole"):
            return Text(task.fields["note"], no_wrap=True)
        seconds = self.estimator.remaining()
        if seconds is None:
            return Text("measuring", style="dim")
        minutes, rest = divmod(round(seconds), 60)
        return Text(f"{minutes} min {rest:02d} s left" if minutes else f"{rest} s left")


class Live:
    """For a terminal: the whole run with the time left, and a line for each worker."""

    def __init__(
        self, console: Console, jobs: Sequence[Job], workers: int, title: str = "run", later: int = 0
    ) -> None:
        self.estimator = Estimator(jobs, workers, later=later)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            _Note(self.estimator),
            console=console,
            transient=True,
        )
        self.whole = self.progress.add_task(f"[bold]{escape(title)}", total=len(jobs), note="", whole=True)
        self.lines: dict[int, Any] = {}

    def __enter__(self) -> Live:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def see(self, event: Event) -> None:
        """Move the bars."""
        self.estimator.see(event)
        line = self._line(event.worker)
        if isinstance(event, Started):
            self.progress.update(line, description=escape(event.job.title), visible=True, note="starting")
            self.progress.update(line, completed=0, total=None)
        elif isinstance(event, Moved):
            note = event.stage if event.loss is None else f"{event.stage}, loss {event.loss:.3f}"
            self.progress.update(line, completed=event.step, total=event.steps or None, note=note)
        else:
            self.progress.update(line, visible=False)
            self.progress.update(self.whole, advance=1)

    def _line(self, worker: int) -> Any:
        if worker not in self.lines:
            self.lines[worker] = self.progress.add_task("", total=None, note="")
        return self.lines[worker]

    def wrote(self, record: Record) -> None:
        """A line that stays above the bars."""
        style = {"ok": "green", "diverged": "yellow", "oom": "yellow"}.get(record.status, "red")
        self.progress.console.print(Text(outcome_line(record), style=style))

    def lost(self, title: str, why: str) -> None:
        """A line that stays above the bars."""
        self.progress.console.print(Text(f"{title}: not measured: {why}", style="red"))


def display(
    console: Console, jobs: Sequence[Job], cells: int, workers: int, title: str = "run", later: int = 0
) -> Live | Lines:
    """The display that suits where the output goes. `later` cells are scored when these jobs are done."""
    return Live(console, jobs, workers, title, later) if console.is_terminal else Lines(console, cells, title)
