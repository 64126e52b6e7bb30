"""PiSSA: LoRA that starts from the largest singular directions of the weight.

    W = U S V^T;  A0 = sqrt(S_r / s) V_r^T,  B0 = U_r sqrt(S_r / s),  s = alpha / r
    y = (W - s*B0 A0) x + s*B(A x)

Source: Meng et al., arXiv 2404.02948, equations 2-5; the division by s is peft's, so that any alpha works.
The residual W - s*B0 A0 is never stored. The same function is computed as

    y = W x + s*((B - B0)(A x) + B0((A - A0) x))

which is W x exactly at the start, has the stored residual's gradients, shares the pretrained weight with
other members of a pack, and exports as a plain LoRA of rank 2r. Under dropout the whole change sees the
dropped input, where peft's residual keeps -s*B0 A0 on the whole one; the authors use none.

The triplets are the exact ones (decompose.py). `niter` = k takes the randomised ones that peft calls
pissa_niter_k, with k power iterations (the authors' default is 16): the same law, draws of our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from variants import decompose
from variants.interface import VariantError
from variants.lowrank import LowRankVariant
from variants.site import Start


def principal(matrix: Tensor, rank: int, scale: float) -> tuple[Tensor, Tensor]:
    """(A, B) with scale*B*A the best rank-`rank` approximation of `matrix`."""
    return halves(*decompose.top(matrix, rank), scale)


def halves(U: Tensor, S: Tensor, Vh: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """(A, B) with scale*B*A = U diag(S) Vh, the singular values split evenly by square root."""
    root = (S / scale).sqrt()
    return root[:, None] * Vh, U * root


@dataclass(frozen=True)
class PiSSA(LowRankVariant):
    """Principal singular values and vectors: trains what the weight does most. `niter` = 0 is exact."""

    name: ClassVar[str] = "pissa"
    summary: ClassVar[str] = "LoRA started from the weight's largest singular directions"
    revision: ClassVar[int] = 2

    niter: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.niter < 0:
            raise VariantError(f"pissa: niter must be 0 (exact) or more, got {self.niter}")

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """The top-r singular triplets, pinned so that the layer starts as W."""
        if self.niter:
            A, B = halves(*decompose.randomised(weight, self.rank, self.niter, rng), self.scale)
        else:
            A, B = principal(weight, self.rank, self.scale)
        return Start(A=A, B=B, pinned=True)
