"""Made-up records of nightly runs: the same cells in a store a night, with planted changes of level."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any

import numpy as np

from suite.reading import Kept
from suite.record import Record, Score, Scores, VariantRef
from suite.seeds import seed_for
from tests.example_records.make import LORA, PISSA, SKILLS, cell, record

SEEDS = (0, 1, 2)
START = date(2026, 3, 1)
Shift = Callable[[str, int], dict[str, float]]  # (variant's name, night) -> additions by quantity


def still(variant: str, night: int) -> dict[str, float]:
    """Nothing ever changes."""
    return {}


def slower(variant: str, night: int) -> dict[str, float]:
    """LoRA gains 8 points less from night 8 on, and everything takes 30 % more memory from night 6 on."""
    return {"gain": -8.0 if variant == LORA.name and night >= 8 else 0.0, "memory": 0.3 * (night >= 6)}


def nights(
    count: int,
    shift: Shift = still,
    seeds: Iterable[int] = SEEDS,
    variants: Iterable[VariantRef] = (LORA, PISSA),
) -> list[Kept]:
    """Every variant under every seed, every night at another commit."""
    return [
        Kept(one(variant, seed, night, shift(variant.name, night)), f"night-{night:03d}", None, ())
        for night in range(count)
        for variant in variants
        for seed in seeds
    ]


def commit(night: int) -> str:
    """The commit of a night."""
    return f"{night:02d}" + "ab" * 19


def one(variant: VariantRef, seed: int, night: int, shift: dict[str, float], **changes: Any) -> Record:
    """A cell of one night; `changes` are of its provenance."""
    noise = np.random.default_rng(seed_for(0, "night", night, variant.name, seed))
    made = record(cell(variant, "sums", seed))
    assert made.cost is not None
    gain = 40 + 1.0 * noise.standard_normal() + shift.get("gain", 0.0)
    loss = 0.5 + 0.01 * noise.standard_normal() + shift.get("loss", 0.0)
    seconds = 20 * (1 + 0.02 * noise.standard_normal() + shift.get("time", 0.0))
    told = {
        "created": f"{START + timedelta(days=night)}T03:00:{seed:02d}+00:00",
        "commit": commit(night),
        **changes,
    }
    cost = {"train_wall_s": seconds, "peak_memory_bytes": round(150 * 2**20 * (1 + shift.get("memory", 0.0)))}
    return made.model_copy(
        update={
            "before": _scores(0.0, 80.0, 1.5),
            "after": _scores(gain, 75.0 + noise.standard_normal(), loss),
            "cost": made.cost.model_copy(update=cost),
            "provenance": made.provenance.model_copy(update=told),
        }
    )


def _scores(right: float, kept: float, loss: float) -> Scores:
    def score(name: str, points: float) -> Score:
        return Score(evaluation=name, metric="acc", value=points / 100, n=100, metrics={})

    return Scores(
        target={"sums_test": score("sums_test", right)},
        general={name: score(name, kept) for name in SKILLS},
        log_loss={"validation": loss, "test": loss},
        bits_per_byte=None,
    )
