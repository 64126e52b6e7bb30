"""LoRA: a trained low-rank term beside the frozen weight.

    y = W x + s*B(A x),  s = alpha / r,  A [r, d_in], B [d_out, r]
    A ~ U(-1/sqrt(d_in), 1/sqrt(d_in)),  B = 0

Source: Hu et al., arXiv 2106.09685, section 4.1. The draw of A is that of the authors' code and of peft
(kaiming_uniform with a = sqrt(5)), not the Gaussian of the paper. On an embedding the factor on the width's
side has the same draw, where peft's is normal with variance 1, sqrt(3 d) times as large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from variants.lowrank import LowRankVariant
from variants.site import Start, uniform


@dataclass(frozen=True)
class LoRA(LowRankVariant):
    """Low-rank adaptation: r*(d_in + d_out) numbers train per layer."""

    name: ClassVar[str] = "lora"
    summary: ClassVar[str] = "low-rank update B A beside the frozen weight; A random, B zero"

    alpha: float | str = 32

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """A random, B zero: the product is zero, so the layer starts as W."""
        d_out, d_in = weight.shape
        return Start(A=uniform(self.rank, d_in, rng, weight.device), B=weight.new_zeros(d_out, self.rank))
