"""Singular values of a weight change, and the ranks that follow from them (`suite.record.DeltaRank`).

A delta is decomposed by the eigenvalues of its Gram matrix in float64, of the shorter side. That squares the
singular values, so that those below 1.5e-8 * sqrt(k) of the largest drown in rounding; but a delta is made
in float32, whose own rounding is what `numeric` cuts off, at 1.2e-7 * max(m, n): always above. One that the
adapter knows as factors is decomposed by two thin QR decompositions in place of it, which takes no time.
On one CPU core 4096 x 4096 takes 4.4 s, so that a whole model of billions of parameters is cut off by time:
see LONGEST_S.

- `numeric`: singular values above eps * max(m, n) * the largest, eps of float32: `numpy.linalg.matrix_rank`.
- `stable`: ||D||_F^2 / sigma_1^2 (Rudelson and Vershynin 2007, arXiv math/0503442).
- `ninety`: how many hold 90 % of the squared norm, as LoRA Learns Less and Forgets Less has it (Biderman et
  al. 2024, arXiv 2405.09673, section 4.6).

Parameters of one dimension (norms, biases) are no matrices and have no rank. A stack of matrices, such as
fused experts [experts, m, n], is taken as the block-diagonal matrix of them, whose rank is the sum of theirs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from suite.record import DeltaRank

if TYPE_CHECKING:
    from variants.interface import Adapter

EPS = torch.finfo(torch.float32).eps  # of deltas, whatever they are decomposed in
LARGEST = 4096  # the longest shorter side that is decomposed; above it a delta has no ranks
LONGEST_S = 300.0  # seconds of decomposing in one cell, after which the rest has no ranks
ROWS = 1 << 11  # of a delta that are in float64 at a time
HELD = 0.9  # of the squared norm


def rank(delta: Tensor) -> DeltaRank | None:
    """The ranks of one delta [..., m, n].

    None if it is no matrix, not finite, above LARGEST, or if its decomposition does not fit into memory.
    """
    from suite.cost import out_of_memory

    if delta.ndim < 2 or min(delta.shape[-2:]) > LARGEST or not bool(delta.isfinite().all()):
        return None
    try:
        return ranks_of(singular_values(delta), max(delta.shape[-2:]))
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return None


@torch.no_grad()
def singular_values(delta: Tensor) -> Tensor:
    """Singular values [..., min(m, n)] of a delta [..., m, n], in float64, smallest first."""
    tall = delta if delta.shape[-2] >= delta.shape[-1] else delta.mT
    side = tall.shape[-1]
    gram = tall.new_zeros((*tall.shape[:-2], side, side), dtype=torch.float64)
    for rows in tall.split(ROWS, dim=-2):
        rows = rows.double()
        gram += rows.mT @ rows
    return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()


@torch.no_grad()
def of_product(A: Tensor, B: Tensor, scale: float) -> Tensor:
    """Singular values [min(r, m, n)] of scale*B*A, for A [r, n] and B [m, r], in float64, smallest first."""
    _, left = torch.linalg.qr(B.double(), mode="r")
    _, right = torch.linalg.qr(A.double().T, mode="r")
    return torch.linalg.svdvals(scale * (left @ right.T)).flip(-1)


def ranks_of(values: Tensor, longest: int, full: int | None = None) -> DeltaRank:
    """The ranks of a matrix with these singular values [..., k], of which the longer side is `longest`.

    `full` is how many there are where those that are zero for certain are left out.
    """
    values = values.double().cpu()
    limits = EPS * longest * values.amax(-1, keepdim=True)
    squares = values.flatten().square().sort(descending=True).values
    total = float(squares.sum())
    held = squares.cumsum(0) < HELD * total
    return DeltaRank(
        numeric=int((values > limits).sum()),
        stable=total / float(squares[0]) if total else 0.0,
        ninety=int(held.sum()) + 1 if total else 0,
        full=values.numel() if full is None else full,
    )


class Ranks:
    """The ranks of an adapter's deltas, by name in `found`, for no longer than `seconds`.

    Factors are always decomposed. What is left out of the rest for time depends on the machine, what is found
    does not.
    """

    def __init__(
        self, adapter: Adapter, seconds: float = LONGEST_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.found: dict[str, DeltaRank] = {}
        self.adapter, self.seconds, self.clock = adapter, seconds, clock

    def see(self, name: str, delta: Tensor) -> None:
        """Take in the delta of the weight `name`."""
        began = self.clock()
        if (values := self._by_factors(name, delta)) is not None:
            self.found[name] = ranks_of(values, max(delta.shape), min(delta.shape))
        elif self.seconds > 0:
            if (one := rank(delta)) is not None:
                self.found[name] = one
            self.seconds -= self.clock() - began

    def _by_factors(self, name: str, delta: Tensor) -> Tensor | None:
        """Singular values of a delta that is a product of two thin factors and nothing else."""
        site = self.adapter.sites.get(name if name in self.adapter.sites else name.removesuffix(".weight"))
        factors = None if site is None or site.base is not None else site.factors()
        if factors is None or factors.magnitude is not None or not bool(delta.isfinite().all()):
            return None
        return of_product(factors.A, factors.B, factors.scale)
