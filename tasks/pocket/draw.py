"""Everything random in the pocket world comes from here: a stable hash of named parts."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def number(*parts: object) -> int:
    """A 64-bit number that depends on the parts alone, the same on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def rng(*parts: object) -> random.Random:
    """A generator seeded by the parts."""
    return random.Random(number(*parts))


def split_of(shares: dict[str, float], *key: object) -> str:
    """The split that owns `key`: a fixed hash of the key falls into one of the shares (they sum to 1).

    Whoever generates text for one split drops every key that another split owns, so splits are
    disjoint by construction, whatever the seed of the generator.
    """
    point = number("split", *key) / 2**64
    for name, share in shares.items():
        if point < share:
            return name
        point -= share
    return list(shares)[-1]


def zipf(random_: random.Random, options: Sequence[T], offset: float) -> T:
    """One of `options`, the k-th with weight 1 / (k + offset): a few are common, many are rare."""
    return random_.choices(options, [1 / (k + offset) for k in range(len(options))])[0]
