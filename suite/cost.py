"""What a run costs: wall and CPU time, and the peak memory of a training step, counted, not sampled."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Stopwatch:
    """Wall and CPU seconds of this process, summed over the stretches that it was on."""

    def __init__(self) -> None:
        self.wall = 0.0
        self.cpu = 0.0

    @contextmanager
    def on(self, device: str = "cpu") -> Iterator[None]:
        """Count what happens inside: all the work that `device` is given there, and none of before."""
        _settle(device)
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
            _settle(device)
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu += time.process_time() - cpu


def _settle(device: str) -> None:
    """Wait until a GPU has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


class LiveTensors(TorchDispatchMode):
    """Inside, counts the bytes of live tensor storages that any operation reads or writes.

    A storage that is older than the context counts from the beginning: weights, adapters, optimiser state.
    One made inside counts while it lives. The sum does not depend on the machine's state, on time, or on
    what else the process holds, so that two runs of one cell agree to the byte. Scratch space inside a kernel
    is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self._older = 0
        self._live = 0
        self._most = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    @property
    def peak(self) -> int:
        """Bytes of the older storages, and the most that the new ones held at one time."""
        return self._older + self._most

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, torch.Tensor):
                self._see(leaf, older=True)
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._see(leaf, older=False)
        return result

    def _see(self, tensor: torch.Tensor, *, older: bool) -> None:
        """Count the storage of `tensor` if it is new here, of a sparse one those of its parts."""
        if tensor.layout is torch.sparse_coo:
            for part in (tensor._indices(), tensor._values()):
                self._see(part, older=older)
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._known.get(key)
        if known is not None and known() is storage:
            return
        size = storage.nbytes()
        if older:
            self._older += size
            self._known[key] = weakref.ref(storage)
        else:
            self._live += size
            self._most = max(self._most, self._live)
            self._known[key] = weakref.ref(storage, lambda _: self._gone(key, size))

    def _gone(self, key: int, size: int) -> None:
        self._live -= size
        self._known.pop(key, None)


class PeakMemory:
    """The peak memory of one member's training, by the method that its device allows.

    On a CPU it is the largest `LiveTensors` count over the steps that `step` was told to look at; on CUDA
    what the allocator gave out at most since this object was made, and what it held in reserve for that.
    """

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.device = device
        self._peak = 0
        if self.cuda:
            torch.cuda.synchronize(device)
            torch.cuda.empty_cache()  # what was reserved before is not this training's
            torch.cuda.reset_peak_memory_stats(device)

    @property
    def method(self) -> str:
        """Name of the method, for the record."""
        return "cuda-max-allocated" if self.cuda else "live-tensors"

    @property
    def bytes(self) -> int:
        """The peak so far."""
        return torch.cuda.max_memory_allocated(self.device) if self.cuda else self._peak

    @property
    def reserved(self) -> int | None:
        """The most bytes that CUDA's allocator held; None on a CPU, where nothing is held in reserve."""
        return torch.cuda.max_memory_reserved(self.device) if self.cuda else None

    @contextmanager
    def step(self, look: bool) -> Iterator[None]:
        """Around one training step. Garbage collection waits, so that its timing cannot show."""
        if self.cuda or not look:
            yield
            return
        was_on = gc.isenabled()
        gc.disable()
        try:
            with LiveTensors() as live:
                yield
            self._peak = max(self._peak, live.peak)
        finally:
            if was_on:
                gc.enable()


def exported_bytes(folder: Path) -> int:
    """Bytes of the safetensors of an export, without those of a base in a folder inside it."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def out_of_memory(error: BaseException) -> bool:
    """Whether this is memory running out: on a GPU, in Python, or in torch's CPU allocator."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return any(told in text for told in ("out of memory", "can't allocate memory", "status_alloc_failed"))


# Nominal speed of one worker, for estimates before anything has been measured: floating-point operations per
# second that a training step of a small model reaches on one CPU thread, and on a data-centre GPU.
NOMINAL = {"cpu": 5e10, "cuda": 2e13}


def estimate_seconds(parameters: int, tokens: int, device: str) -> float:
    """Rough seconds to train on `tokens`: 6 operations per parameter and token at the nominal speed."""
    return 6.0 * parameters * tokens / NOMINAL[device.partition(":")[0]]
