"""Codebooks by their rules: NormalFloat of 2, 3 and 4 bits, and the dynamic 8-bit type.

Sources: yxli2123/LoftQ, glue/utils_quant, for NormalFloat, the type of QLoRA (Dettmers et al., arXiv
2305.14314, section 3); arXiv 1511.04561, section 2, for the dynamic type.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

OFFSET = 0.9677083  # the rule's outermost quantile


@cache
def codebook(bits: int) -> tuple[float, ...]:
    """The 2^bits codes of NormalFloat, ascending from -1 to 1, zero among them.

    With o = OFFSET and h = 2^(bits-1): the normal quantiles at h even steps from o down towards 0.5, the
    negated quantiles at h - 1 such steps, and 0; all divided by the largest.
    """
    half = 2 ** (bits - 1)
    quantile = NormalDist().inv_cdf

    def side(n: int) -> list[float]:
        return [quantile(OFFSET + (0.5 - OFFSET) * i / n) for i in range(n)]

    codes = sorted([*side(half), 0.0, *(-q for q in side(half - 1))])
    return tuple(code / codes[-1] for code in codes)


@cache
def dynamic_codes() -> tuple[float, ...]:
    """The 256 codes of the dynamic 8-bit type (arXiv 1511.04561, section 2), ascending from -0.993 to 1.

    For e = 0..6 the middles of the 2^e equal parts of [0.1, 1], times 10^(e-6), with either sign; 0 and 1.
    """
    sizes = [10.0 ** (e - 6) * (0.1 + 0.9 * (i + 0.5) / 2**e) for e in range(7) for i in range(2**e)]
    return tuple(sorted([*sizes, *(-size for size in sizes), 0.0, 1.0]))
