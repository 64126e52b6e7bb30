"""Trials of a search as records."""

from __future__ import annotations

import math
from typing import Any

from suite.record import Record, Scores, VariantRef
from tests.example_records.make import cell, record, stopped


def trial(variant: VariantRef, rate: float, seed: int, loss: float | None, **changes: Any) -> Record:
    """A record of a cell at this rate with this loss on validation; infinite diverged, None out of memory."""
    one = cell(variant, "sums", seed, learning_rate=rate, **changes)
    if loss is None or math.isinf(loss):
        return stopped(one, "oom" if loss is None else "diverged", "made up")
    after = Scores(target={}, general={}, log_loss={"validation": loss}, bits_per_byte=None)
    return record(one).model_copy(update={"after": after, "measured": "validation"})
