"""What is global in a process and not an adapter's to change: random numbers, gradient mode, default type."""

from __future__ import annotations

import builtins
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def contained() -> Iterator[None]:
    """What is inside leaves the global random numbers, gradient mode and default type as they were."""
    drawn, kind, numpy = random.getstate(), torch.get_default_dtype(), _numpy()
    held = numpy and numpy.get_state()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        try:
            yield
        finally:
            torch.set_default_dtype(kind)
            random.setstate(drawn)
            if numpy:
                numpy.set_state(held)


@contextmanager
def elsewhere(number: int) -> Iterator[None]:
    """As in another process: the global random numbers are others, and so is hash() of a text.

    Python's hash of a text differs from process to process; here it does by `number`, for those who call it.
    """
    own, numpy = builtins.hash, _numpy()

    def salted(value: Any) -> int:
        return own(value) ^ number if isinstance(value, str | bytes | tuple) else own(value)

    with contained():
        torch.default_generator.manual_seed(number)
        random.seed(number)
        if numpy:
            numpy.seed(number)
        builtins.hash = salted
        try:
            yield
        finally:
            builtins.hash = own


def surroundings() -> dict[str, object]:
    """What is global and not an adapter's to change, by name."""
    found: dict[str, object] = {
        "torch's random numbers": torch.default_generator.get_state().tolist(),
        "Python's random numbers": random.getstate(),
        "torch's default type": torch.get_default_dtype(),
        "torch's gradient mode": torch.is_grad_enabled(),
    }
    if numpy := _numpy():
        kind, words, *rest = numpy.get_state()
        found["numpy's random numbers"] = (kind, words.tobytes(), *rest)
    return found


def _numpy() -> Any:
    """numpy's global generator, if anybody has imported numpy."""
    return getattr(sys.modules.get("numpy"), "random", None)
