"""OLoRA: LoRA that starts from the weight's QR decomposition.

    W = Q R;  A0 = R[:r],  B0 = Q[:, :r]
    y = (W - s*B0 A0) x + s*B(A x),  s = alpha / r

Source: Büyükakyüz, arXiv 2406.01775, algorithm 1; signs and scale are those of peft (LAPACK's Householder Q,
nothing divided by s), so that B0 has orthonormal columns and at s other than 1 more or less than Q_r R_r is
taken off. The first r columns of Q come from the first r columns of W alone, and R_r = Q_r^T W, so only
those r columns are decomposed. The residual is never stored (see pissa.py): the layer starts as W exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from variants.lowrank import LowRankVariant
from variants.site import Start


@dataclass(frozen=True)
class OLoRA(LowRankVariant):
    """Orthonormal start: B's columns span the weight's first r columns."""

    name: ClassVar[str] = "olora"
    summary: ClassVar[str] = "LoRA started from the weight's QR decomposition"

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """The first r columns of Q and rows of R, pinned so that the layer starts as W."""
        Q = torch.linalg.qr(weight[:, : self.rank]).Q
        return Start(A=Q.T @ weight, B=Q, pinned=True)
