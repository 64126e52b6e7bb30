"""PiSSA: LoRA that starts from the largest singular directions of the weight.

    W = U S V^T;  A0 = sqrt(S_r / s) V_r^T,  B0 = U_r sqrt(S_r / s),  s = alpha / r
    y = (W - s*B0 A0) x + s*B(A x)

Source: Meng et al., arXiv 2404.02948, equations 2-5; the division by s is peft's, so that any alpha works.
The residual W - s*B0 A0 is never stored. The same function is computed as

    y = W x + s*((B - B0)(A x) + B0((A - A0) x))

which is W x exactly at the start, has the stored residual's gradients, shares the pretrained weight with
other members of a pack, and exports as a plain LoRA of rank 2r. The SVD is the exact one, in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from variants.lowrank import LowRankVariant
from variants.site import Start


def principal(matrix: Tensor, rank: int, scale: float) -> tuple[Tensor, Tensor]:
    """(A, B) with scale*B*A the best rank-`rank` approximation of `matrix`, split evenly by square root."""
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    root = (S[:rank] / scale).sqrt()
    return root[:, None] * Vh[:rank], U[:, :rank] * root


@dataclass(frozen=True)
class PiSSA(LowRankVariant):
    """Principal singular values and vectors: trains what the weight does most."""

    name: ClassVar[str] = "pissa"
    summary: ClassVar[str] = "LoRA started from the weight's largest singular directions"

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """The top-r singular triplets, pinned so that the layer starts as W."""
        A, B = principal(weight, self.rank, self.scale)
        return Start(A=A, B=B, pinned=True)
