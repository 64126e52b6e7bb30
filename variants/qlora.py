"""QLoRA: plain LoRA on a weight held in 4-bit NormalFloat.

    y = Q x + s*B(A x),  Q = q(W),  s = alpha / r;  A as in LoRA,  B = 0

Source: Dettmers et al., arXiv 2305.14314, equations 5 and 6. Here it is the control for LoftQ: the same base
without the start that makes up for its error. Hence alpha = r, and scales that stay float32, as LoftQ has
them, so that Q is bit for bit that of loftq:iterations=1. The paper's own settings are
rank=64,alpha=16,dropout=0.1,double_quant=true, which quantises the scales too (`variants.quantise`). Deltas
are measured against W, so the start's delta is the quantisation error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from variants.frozen import QuantisedWeight
from variants.quantise import encode
from variants.quantised import Quantised
from variants.site import Start, uniform


@dataclass(frozen=True)
class QLoRA(Quantised):
    """LoRA on a quantised base; `double_quant` quantises the scales as well."""

    name: ClassVar[str] = "qlora"
    summary: ClassVar[str] = "LoRA on a 4-bit base; A random, B zero"

    double_quant: bool = False

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """A random, B zero, on the quantised weight."""
        d_out, d_in = weight.shape
        A = uniform(self.rank, d_in, rng, weight.device)
        base = QuantisedWeight(encode(weight, self.bits, self.double_quant))
        return Start(A=A, B=weight.new_zeros(d_out, self.rank), base=base)
