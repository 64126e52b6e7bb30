"""MiCA: LoRA that can write only into the directions that the weight uses least.

    W = U S V^T;  B = the last r columns of U, frozen;  A = 0, trained
    y = W x + s*B(A x),  s = alpha / r

Source: MiCA, arXiv 2604.01694; the same start as huggingface/peft's init_lora_weights="mica".
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from variants import LowRankVariant, Start


@dataclass(frozen=True)
class MiCA(LowRankVariant):
    """Minor component adaptation: r * d_in numbers train per layer."""

    name: ClassVar[str] = "mica"
    summary: ClassVar[str] = "LoRA whose B is frozen at the weight's smallest singular directions"

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """A zero, so the layer starts as W; B orthonormal, and it stays what it is."""
        U, _, _ = torch.linalg.svd(weight, full_matrices=False)
        A = weight.new_zeros(self.rank, weight.shape[1])
        return Start(A=A, B=U[:, -self.rank :], trains=("A",))
