"""Tests of two variants on the same items that assume no distribution, and Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import stats

from suite.errors import UserError
from suite.seeds import seed_for
from suite.statistics.sample import Values

EXACT = 14  # pairs up to which every pattern of signs is tried
DRAWS = 9_999
COUNTED = 1_000  # flips up to which whole numbers are quicker than scipy's binomial test


def holm(ps: Sequence[float]) -> list[float]:
    """p-values adjusted so that any error among all of them is as rare as the level says (Holm 1979)."""
    order = np.argsort(ps, kind="stable")
    factors = np.arange(len(ps), 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(np.asarray(ps, dtype=float)[order] * factors), 1)
    found = np.empty(len(ps))
    found[order] = adjusted
    return found.tolist()


def mcnemar(a: Values, b: Values) -> float:
    """Exact two-sided p that two 0/1 outcomes of the same items are right equally often (McNemar 1947).

    Of the items on which they differ, half should favour either one: a binomial test.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        raise UserError(f"expected the 0/1 outcomes of the same items; got shapes {a.shape} and {b.shape}")
    return flipped(int(np.sum(a > b)), int(np.sum(b > a)))


@lru_cache(maxsize=1 << 15)
def flipped(worse: int, better: int) -> float:
    """McNemar's exact p from how many items flipped either way: a binomial test, counted in whole numbers."""
    count, fewer = worse + better, min(worse, better)
    if count > COUNTED:
        return float(stats.binomtest(better, count).pvalue)
    ways = total = 1
    for at in range(fewer):
        ways = ways * (count - at) // (at + 1)
        total += ways
    return min(1.0, 2 * total / 2**count)


def permutation(differences: Values) -> float:
    """Two-sided p that paired differences are as often up as down: all or 9,999 random patterns of signs.

    `differences` is [N], or [S, N] of which each item's signs flip together, so that its seeds stay one item.
    """
    found = np.atleast_2d(np.asarray(differences, dtype=float)).mean(axis=0)
    found = found[found != 0]
    if not len(found):
        return 1.0
    seen = abs(found.sum()) * (1 - 1e-12)
    if len(found) <= EXACT:
        patterns = np.arange(2 ** len(found))[:, None] >> np.arange(len(found)) & 1
        return float(np.mean(np.abs((2 * patterns - 1) @ found) >= seen))
    generator = np.random.default_rng(seed_for(0, "sign flips"))
    signs = 2 * generator.integers(0, 2, (DRAWS, len(found)), dtype=np.int8) - 1
    return float((1 + np.sum(np.abs(signs @ found) >= seen)) / (DRAWS + 1))
