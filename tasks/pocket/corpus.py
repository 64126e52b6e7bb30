"""The text that the pocket base is trained on, and held-out text of the same kind."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from tasks.pocket import facts, functions, pairs, routines, signs, sums, talk
from tasks.pocket.draw import rng

# Weights are shares of documents; a routine is three times as long as most others.
MIX: dict[str, tuple[float, Callable[[random.Random], str]]] = {
    "routines": (0.18, routines.story),
    "pairs": (0.16, pairs.document),
    "facts": (0.33, facts.document),
    "sums": (0.12, sums.document),
    "functions": (0.09, functions.document),
    "signs": (0.13, signs.document),
    "talk": (0.08, talk.document),
    "notes": (0.03, signs.notes),
}


def documents(seed: object) -> Iterator[str]:
    """Endless training documents; the same seed gives the same text."""
    random_ = rng("corpus", seed)
    makers = [maker for _, maker in MIX.values()]
    weights = [weight for weight, _ in MIX.values()]
    while True:
        yield random_.choices(makers, weights)[0](random_)


def held_out(split: str, count: int) -> list[str]:
    """`count` pages of general text for the loss in bits per byte; their seeds never train the base."""
    source = documents(f"held-out {split}")
    return ["\n\n".join(next(source) for _ in range(4)) for _ in range(count)]
