"""MiLoRA: LoRA that starts from the smallest singular directions of the weight.

    W = U S V^T;  A0 = sqrt(S_m / s) V_m^T,  B0 = U_m sqrt(S_m / s)  for the last r of the min(d_out, d_in)
    singular triplets,  y = (W - s*B0 A0) x + s*B(A x),  s = alpha / r

Source: Wang et al., arXiv 2406.09044, section 3: the principal part stays frozen, what the weight does least
trains. As in PiSSA the division by s makes any alpha work, and the residual is never stored (see pissa.py):
the layer starts as W exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from variants import decompose
from variants.lowrank import LowRankVariant
from variants.pissa import halves
from variants.site import Start


@dataclass(frozen=True)
class MiLoRA(LowRankVariant):
    """Minor singular values and vectors: trains what the weight does least."""

    name: ClassVar[str] = "milora"
    summary: ClassVar[str] = "LoRA started from the weight's smallest singular directions"

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """The last r singular triplets, pinned so that the layer starts as W."""
        A, B = halves(*decompose.bottom(weight, self.rank), self.scale)
        return Start(A=A, B=B, pinned=True)
