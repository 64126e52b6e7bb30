"""Worker processes on this machine. Each asks for one job at a time over a pipe of its own.

A pipe each rather than one shared queue: a worker that is killed while it holds a shared lock would stop
all the others. The engine knows nothing about what a job is; `make` builds, inside the worker, the function
that runs jobs.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from suite.errors import one_line
from suite.offline import follow

Handler = Callable[[Any, Callable[..., None]], Any]
Make = Callable[[], Handler]

GRACE_S = 5.0
ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}


@dataclass(frozen=True)
class Started:
    """A worker took a job."""

    worker: int
    job: Any


@dataclass(frozen=True)
class Moved:
    """A job is further: its stage, step of steps, and the training loss where there is one."""

    worker: int
    job: Any
    stage: str
    step: int
    steps: int
    loss: float | None


@dataclass(frozen=True)
class Done:
    """A job's result."""

    worker: int
    job: Any
    result: Any


@dataclass(frozen=True)
class Failed:
    """A job raised: its error as one line. `died` if its worker is gone, so that nothing is known of it."""

    worker: int
    job: Any
    error: str
    died: bool = False


Event = Started | Moved | Done | Failed


def default_workers(device: str) -> int:
    """One per GPU; on a CPU two, or one where there is one core."""
    return 1 if device.startswith("cuda") else min(2, _cores())


def run(make: Make, jobs: Iterable[Any], workers: int, threads: int | None = None) -> Iterator[Event]:
    """Run the jobs in this order on `workers` processes and tell what happens.

    The next job is asked for only when a worker is free, and a worker is started only when there is a job for
    it. `threads` is how many each worker's numerical libraries may use. A worker that dies takes its job down
    with it (`Failed.died`) and is replaced. Leaving the generator early stops all workers.
    """
    queue = iter(jobs)
    pool = [_Worker(number, make, threads) for number in range(workers)]
    try:
        while True:
            for worker in pool:
                if worker.job is None and (job := next(queue, None)) is not None:
                    worker.give(job)
                    yield Started(worker.number, job)
            busy = {worker.pipe: worker for worker in pool if worker.job is not None}
            if not busy:
                return
            for pipe in wait(list(busy)):
                yield busy[pipe].hear()  # pyright: ignore[reportArgumentType]
    finally:
        for worker in pool:
            worker.stop()


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self, number: int, make: Make, threads: int | None) -> None:
        self.number, self.make, self.threads = number, make, threads
        self.job: Any = None
        self.process: SpawnProcess | None = None
        self.pipe: Connection

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self.make), name=f"suite-worker-{self.number}")
        with _surroundings(self.threads):
            process.start()
        self.process = process
        theirs.close()

    def give(self, job: Any) -> None:
        """Send a job to the process, which is started if there is none."""
        if self.process is None:
            self._start()
        self.job = job
        with suppress(BrokenPipeError, ConnectionResetError):  # it is dead: hear() will find out
            self.pipe.send(job)

    def hear(self) -> Event:
        """The next thing that this worker tells; its death counts."""
        job = self.job
        try:
            kind, payload = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return self._died(job)
        if kind == "moved":
            return Moved(self.number, job, *payload)
        self.job = None
        return Done(self.number, job, payload) if kind == "done" else Failed(self.number, job, payload)

    def _died(self, job: Any) -> Failed:
        assert self.process is not None, "only a started worker can die"
        self.process.join()
        code = self.process.exitcode or 0
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        self.pipe.close()
        self.process = self.job = None
        return Failed(self.number, job, f"its worker process ended {how}", died=True)

    def stop(self) -> None:
        """End the process: an idle one by itself, a busy one by SIGTERM, a deaf one by SIGKILL."""
        if self.process is None:
            return
        self.pipe.close()
        if self.job is not None:
            self.process.terminate()
        self.process.join(GRACE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process = None


def _work(pipe: Connection, make: Make) -> None:
    """A worker's life: build the handler, then job after job until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    follow()
    threading.Thread(target=_die_with_parent, daemon=True).start()

    def report(stage: str, step: int, steps: int, loss: float | None = None) -> None:
        pipe.send(("moved", (stage, step, steps, loss)))

    handler: Handler | None = None
    while True:
        try:
            job = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            handler = make() if handler is None else handler
            answer = ("done", handler(job, report))
        except Exception as error:
            answer = ("failed", one_line(error))
        try:
            pipe.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return


def _leave(*_: object) -> None:
    """End by an exception, so that temporary folders are removed on the way out."""
    raise SystemExit(1)


def _die_with_parent() -> None:
    """Nobody is left to take results once the parent is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _surroundings(threads: int | None) -> Iterator[None]:
    """What a new process inherits: environment, and SIGINT blocked, so that Ctrl-C is the parent's."""
    changes = dict(ENVIRONMENT)
    if threads is not None:
        changes |= {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    before = {name: os.environ.get(name) for name in changes}
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
