"""Made-up records for the gate: a crossed random-effects model of variants, tasks and seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from suite.record import CurvePoint, Record, Score, Scores
from suite.seeds import seed_for
from tests.example_records.make import EFFECT, LORA, PISSA, SPARSE, cell, record

VARIANTS = (LORA, PISSA, SPARSE)
TASKS = ("sums", "words")
STEPS = 20
ITEMS = 100
Shift = Callable[[str, str], dict[str, float]]


def nothing(variant: str, task: str) -> dict[str, float]:
    """No fault."""
    return {}


def store(seeds: Iterable[int], shift: Shift = nothing, noise: float = 1.0, **changes: Any) -> list[Record]:
    """Every variant on every task with these seeds. A seed's numbers are the same in every store.

    Losses have a relative noise of 2 % between seeds, gains of 3 points; a part of it is shared by the
    variants, as the order of the data is. `shift(variant, task)` gives additions: 'loss', 'training',
    'start', 'delta', 'bits', 'memory' and 'time' to logarithms, 'gain' and 'forgetting' in points.
    """
    return [
        _one(variant, task, seed, shift(variant.name, task), noise, changes)
        for variant in VARIANTS
        for task in TASKS
        for seed in seeds
    ]


def _one(
    variant: Any, task: str, seed: int, by: dict[str, float], noise: float, changes: dict[str, Any]
) -> Record:
    shared = np.random.default_rng(seed_for(seed, task))
    own = np.random.default_rng(seed_for(seed, task, variant.name))

    def wobble(sd: float) -> float:
        return noise * sd * float(0.5 * shared.standard_normal() + 0.75**0.5 * own.standard_normal())

    loss = 0.5 * math.exp(wobble(0.02) + by.get("loss", 0.0))
    gain = 40 + wobble(3.0) + by.get("gain", 0.0)
    forgetting = 5 + wobble(1.5) + by.get("forgetting", 0.0)
    bits = 2.1 * math.exp(wobble(0.01) + by.get("bits", 0.0))
    factor = math.exp(wobble(0.02) + by.get("training", 0.0))
    delta = math.exp(wobble(0.02) + by.get("delta", 0.0))
    one = cell(variant, task, seed)
    rates = [0.005 * (1 - step / STEPS) for step in range(STEPS)]
    base = record(one)
    assert base.cost is not None
    cost = base.cost.model_copy(
        update={
            "peak_memory_bytes": round(150 * 2**20 * math.exp(by.get("memory", 0.0))),
            "train_wall_s": 20.0 * math.exp(wobble(0.01) + by.get("time", 0.0)),
            "train_cpu_s": 20.0 * math.exp(by.get("time", 0.0)),
        }
    )
    fields: dict[str, Any] = {
        "before": _scores(one.evaluation.target[0], 0.0, 80.0, 1.5, 2.0),
        "after": _scores(one.evaluation.target[0], gain, 80.0 - forgetting, loss, bits),
        "start_loss": 1.5 * math.exp(by.get("start", 0.0)),
        "curve": [
            CurvePoint(phase=0, step=step, loss=factor * (0.4 + 1.1 * 0.8**step), learning_rate=rate)
            for step, rate in enumerate(rates)
        ],
        "effect": EFFECT.model_copy(
            update={"delta_norms": {name: norm * delta for name, norm in EFFECT.delta_norms.items()}}
        ),
        "cost": cost,
    }
    return base.model_copy(update={**fields, **changes})


def _scores(target: str, gained: float, kept: float, loss: float, bits: float) -> Scores:
    def score(name: str, points: float) -> Score:
        return Score(evaluation=name, metric="acc", value=points / 100, n=ITEMS, metrics={})

    return Scores(
        target={target: score(target, gained)},
        general={
            name: score(name, kept)
            for name in ("synthetic_endings", "synthetic_pronouns", "synthetic_science")
        },
        log_loss={"validation": 1.01 * loss, "test": loss},
        bits_per_byte=bits,
    )
