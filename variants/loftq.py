"""LoftQ: LoRA on a quantised weight, started so that both together are close to the pretrained one.

    from A = B = 0, `iterations` times:
        Q    = q(W - s*B A)                                quantise what the adapter does not hold
        U S V^T = W - Q;  A = sqrt(S_r / s) V_r^T,  B = U_r sqrt(S_r / s)
    y = Q x + s*B(A x),  s = alpha / r

Source: Li et al., arXiv 2310.08659, algorithm 1 (five iterations in the paper's main results). Quantising
comes first, so one iteration is QLoRA's Q with an SVD of its error. The authors and peft do not divide by s,
which matches W only at s = 1; here s*B A is the residual's best rank-r approximation at any s.
Q is NormalFloat at 2, 3 or 4 bits (quantise.py), or a mixture (quantised.py); its scales are float32, without
double quantisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from variants.frozen import QuantisedWeight
from variants.interface import VariantError
from variants.pissa import principal
from variants.quantise import decode, encode
from variants.quantised import Quantised
from variants.site import Start


@dataclass(frozen=True)
class LoftQ(Quantised):
    """Quantisation aware of the adapter; each layer starts near W, not at it."""

    name: ClassVar[str] = "loftq"
    summary: ClassVar[str] = "LoRA on a 4-bit base, both started together to approximate the weight"
    revision: ClassVar[int] = 2

    iterations: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1:
            raise VariantError(f"loftq: iterations must be 1 or more, got {self.iterations}")

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """Alternate quantising and the SVD of its error; the quantised weight is the base of these rows."""
        codes = encode(weight, self.bits)
        A, B = principal(weight - decode(codes), self.rank, self.scale)
        for _ in range(self.iterations - 1):
            codes = encode(weight - self.scale * (B @ A), self.bits)
            A, B = principal(weight - decode(codes), self.rank, self.scale)
        return Start(A=A, B=B, base=QuantisedWeight(codes))
