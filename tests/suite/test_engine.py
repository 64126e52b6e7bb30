"""Worker processes with toy jobs: order, errors, a killed worker, a killed parent, leaving early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from suite.engines.local import Done, Failed, Moved, Started, run

ROOT = Path(__file__).parents[2]


def handler() -> Callable[..., Any]:
    """What runs in a worker: a job is a word and a value."""

    def work(job: tuple[str, Any], report: Callable[..., None]) -> Any:
        word, value = job
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "raise":
            raise RuntimeError(f"broken\n{value}")
        if word == "sleep":
            time.sleep(value)
        if word == "environment":
            return {name: os.environ.get(name) for name in value}
        report("adding", 1, 2, 0.5)
        return value, os.getpid()

    return work


def no_handler() -> Callable[..., Any]:
    """A worker that cannot start its work."""
    raise OSError("no such model")


def finished(events: list[Any]) -> dict[Any, Any]:
    return {event.job: event for event in events if isinstance(event, Done | Failed)}


def test_jobs_start_in_order_and_results_come_back() -> None:
    jobs = [("add", i) for i in range(5)]
    events = list(run(handler, jobs, workers=2))
    assert [event.job for event in events if isinstance(event, Started)] == jobs
    assert {job: event.result[0] for job, event in finished(events).items()} == {job: job[1] for job in jobs}
    assert sum(isinstance(event, Moved) and event.loss == 0.5 for event in events) == 5
    assert 1 <= len({event.result[1] for event in finished(events).values()}) <= 2


def test_an_error_is_one_line_and_the_worker_goes_on() -> None:
    events = finished(list(run(handler, [("raise", "badly"), ("add", 1)], workers=1)))
    failure = events[("raise", "badly")]
    assert failure.error == "RuntimeError: broken badly" and not failure.died
    assert isinstance(events[("add", 1)], Done)


def test_a_worker_that_is_killed_is_replaced() -> None:
    events = finished(list(run(handler, [("die", 0), ("add", 1)], workers=1)))
    failure = events[("die", 0)]
    assert failure.died and failure.error == "its worker process ended by signal 9"
    assert isinstance(events[("add", 1)], Done)


def test_a_worker_that_cannot_begin_fails_its_jobs() -> None:
    events = finished(list(run(no_handler, [("add", 1)], workers=1)))
    assert events[("add", 1)].error == "OSError: no such model"


def test_threads_and_offline_settings_reach_the_worker_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    names = ("OMP_NUM_THREADS", "HF_HUB_OFFLINE")
    (event,) = finished(list(run(handler, [("environment", names)], workers=1, threads=3))).values()
    assert event.result == {"OMP_NUM_THREADS": "3", "HF_HUB_OFFLINE": "1"}
    assert "HF_HUB_OFFLINE" not in os.environ


def test_no_job_starts_no_worker() -> None:
    assert list(run(no_handler, [], workers=2)) == []


def test_the_next_job_is_asked_for_when_a_worker_is_free() -> None:
    asked: list[int] = []

    def jobs() -> Iterator[tuple[str, int]]:
        for i in range(3):
            asked.append(i)
            yield "add", i

    for event in run(handler, jobs(), workers=1):
        if isinstance(event, Started):
            assert asked[-1] == event.job[1]


def test_leaving_early_stops_a_busy_worker() -> None:
    began = time.monotonic()
    events = run(handler, [("sleep", 600)], workers=1)
    assert isinstance(next(events), Started)
    events.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert time.monotonic() - began < 30


ORPHANS = """
import sys
from suite.engines.local import run
from tests.suite.test_engine import handler
for event in run(handler, [("add", 1), ("sleep", 600)], workers=1):
    if hasattr(event, "result"):
        print(event.result[1], flush=True)
"""


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_workers_of_a_killed_parent_end_themselves() -> None:
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert alive(worker)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(worker)
