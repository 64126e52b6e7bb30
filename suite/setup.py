"""Where a run finds things and how it uses the machine: it changes no number beyond rounding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.interface import Places


@dataclass(frozen=True)
class Setup:
    """The base's folder, where rows lie, the device, and how its memory is used.

    `micro_batch` is how many rows go through the model at once (None: the whole batch), `checkpointing`
    whether activations are recomputed in place of kept, `attention` the kernel as transformers calls it.
    """

    base: Path
    places: Places
    device: str
    micro_batch: int | None = None
    checkpointing: bool = False
    attention: str | None = None
