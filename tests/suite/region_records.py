"""Made-up records of a study of ranks and sizes, with a planted truth: how far each point stays behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from suite.record import HeldOut, Item, Recipe, Record, Score, Scores, VariantRef
from suite.seeds import seed_for
from tests.example_records.make import cell, record

WHOLE = VariantRef(name="synthetic-whole", settings={}, revision=1)
ITEMS, EXAMPLES, TOKENS = 250, 60, 10
LOSS = 0.5  # nats a token, of full fine-tuning
RATES = (1e-3, 2e-3, 4e-3)
BEST = 2e-3  # on validation; the test split looks best at the highest rate
Behind = Callable[[int, int], float]  # (rank, batch size) -> share of full fine-tuning's score and loss


def planted(rank: int, batch_size: int) -> float:
    """Rank 2 is 12 % behind at every batch; everything is 12 % behind at batch 256; the rest is level."""
    return 0.12 if rank == 2 or batch_size == 256 else 0.0


def study(
    ranks: Iterable[int] = (2, 16),
    batches: Iterable[int] = (8, 256),
    seeds: Iterable[int] = (0, 1, 2),
    behind: Behind = planted,
    rates: Iterable[float] = RATES,
    **changes: Any,
) -> list[Record]:
    """A variant at these ranks and full fine-tuning, at every batch size, rate and seed."""
    found = []
    for batch in batches:
        for seed in seeds:
            for rate in rates:
                for rank in ranks:
                    found.append(ranked(rank, batch, seed, rate, behind(rank, batch), **changes))
                found.append(one(WHOLE, batch, seed, rate, 0.0, **changes))
    return found


def ranked(rank: int, batch_size: int, seed: int, rate: float, behind: float, **changes: Any) -> Record:
    """A cell of the variant at this rank."""
    settings = {"rank": rank, "alpha": 32, "targets": "all"}
    variant = VariantRef(name="synthetic-lora", settings=settings, revision=1)
    return one(variant, batch_size, seed, rate, behind, **changes)


def one(
    variant: VariantRef, batch_size: int, seed: int, rate: float, behind: float, **changes: Any
) -> Record:
    """A finished cell with all its items and held-out examples; `changes` are of its recipe."""
    recipe = Recipe(**{"steps": 200, "batch_size": batch_size, **changes})
    at = cell(variant, "sums", seed, learning_rate=rate, recipe=recipe)
    noise = np.random.default_rng(seed_for(seed, variant.name, str(variant.settings), batch_size, rate))
    off = 0.0 if rate == BEST else 0.15
    before, after = _items(noise, 0.1), _items(noise, 0.7 * (1 - behind - off))
    better_on_test = _items(noise, 0.99) if rate == max(RATES) else after
    loss = LOSS * (1 + behind + off)
    validation = _held(noise, loss)
    test = _held(noise, loss if rate != max(RATES) else 0.01)
    target = at.evaluation.target[0]
    return record(
        at,
        before=_scores(target, before, validation, test),
        after=_scores(target, better_on_test, validation, test),
        trainable_parameters=3_200_000 if variant.name == WHOLE.name else 4096 * variant.settings["rank"],
        total_parameters=3_200_000,
    )


def _items(noise: np.random.Generator, share: float) -> list[Item]:
    """Which items are right: as hard as they are, with a little luck of the cell."""
    hard = np.arange(ITEMS) / ITEMS + 0.02 * noise.standard_normal(ITEMS)
    return [Item(id=str(at), correct=float(value < share)) for at, value in enumerate(hard)]


def _held(noise: np.random.Generator, loss: float) -> HeldOut:
    each = loss * (1 + 0.3 * np.sin(np.arange(EXAMPLES)) + 0.01 * noise.standard_normal(EXAMPLES))
    nats = (TOKENS * np.maximum(each * (1 + 0.001 * noise.standard_normal()), 1e-6)).tolist()
    return HeldOut(accuracy=0.5, nats=nats, tokens=[TOKENS] * EXAMPLES)


def _scores(target: str, items: list[Item], validation: HeldOut, test: HeldOut) -> Scores:
    value = float(np.mean([item.correct or 0.0 for item in items]))
    held = {"validation": validation, "test": test}
    return Scores(
        target={
            target: Score(evaluation=target, metric="acc", value=value, n=ITEMS, metrics={}, items=items)
        },
        general={},
        log_loss={name: one.log_loss for name, one in held.items()},
        bits_per_byte=None,
        held_out=held,
    )
