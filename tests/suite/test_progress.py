"""The time left, from a clock that the test turns; and the two displays."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
from rich.console import Console

from suite.engines.local import Done, Failed, Moved, Started
from suite.progress import Estimator, Lines, Live, display


@dataclass(frozen=True)
class Job:
    title: str
    steps: int


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_time_left_follows_the_measured_pace() -> None:
    first, second, third = jobs = [Job("a", 100), Job("b", 100), Job("c", 200)]
    clock = Clock()
    left = Estimator(jobs, 1, clock)
    assert left.remaining() is None
    left.see(Started(0, first))
    clock.now = 2.0  # two seconds of loading
    left.see(Moved(0, first, "train", 1, 100, 3.0))
    clock.now = 2.0 + 49 * 0.5
    left.see(Moved(0, first, "train", 50, 100, 2.0))
    assert left.remaining() == pytest.approx(50 - 26.5 + 50 + 100)
    clock.now = 2.0 + 99 * 0.5
    left.see(Moved(0, first, "train", 100, 100, 1.0))
    clock.now = 59.5  # eight more of scoring: ten beside training
    left.see(Done(0, first, None))
    assert left.remaining() == pytest.approx((50 + 10) + (100 + 10))
    left.see(Started(0, second))
    left.see(Failed(0, second, "broken"))
    assert left.remaining() == pytest.approx(110)
    left.see(Started(0, third))
    clock.now += 30
    assert left.remaining() == pytest.approx(80)


def test_two_workers_halve_what_is_left_but_not_below_the_longest() -> None:
    short, long = Job("a", 10), Job("b", 1000)
    clock = Clock()
    left = Estimator([short, long, Job("c", 10)], 2, clock)
    left.see(Started(0, short))
    left.see(Moved(0, short, "train", 1, 10, 1.0))
    clock.now = 9.0
    left.see(Moved(0, short, "train", 10, 10, 1.0))
    left.see(Done(0, short, None))
    left.see(Started(0, long))
    assert left.remaining() == pytest.approx(1000)


def test_a_pipe_gets_a_line_and_a_terminal_the_bars() -> None:
    jobs = [Job("lora on math [x]", 5)]
    plain = io.StringIO()
    with display(Console(file=plain), jobs, 1, 1) as shown:
        assert isinstance(shown, Lines)
        shown.see(Started(0, jobs[0]))
        shown.lost("lora on math", "its worker process ended by signal 9")
    assert plain.getvalue() == "[1/1] lora on math: not measured: its worker process ended by signal 9\n"
    with display(Console(file=io.StringIO(), force_terminal=True, width=120), jobs, 1, 1) as shown:
        assert isinstance(shown, Live)
        shown.see(Started(0, jobs[0]))
        shown.see(Moved(0, jobs[0], "train", 2, 5, 1.25))
        line = shown.progress.tasks[1]
        assert (line.completed, line.total, line.fields["note"]) == (2, 5, "train, loss 1.250")
        shown.see(Done(0, jobs[0], None))
        assert shown.progress.tasks[0].completed == 1 and not line.visible
