"""QPiSSA: PiSSA whose residual is held in 4-bit NormalFloat.

    from R = W, `iterations` times:
        U S V^T = R;  A = sqrt(S_r / s) V_r^T,  B = U_r sqrt(S_r / s)      the SVD comes first
        Q = q(W - s*B A),  R = W - Q
    y = Q x + s*B(A x),  s = alpha / r

Source: Meng et al., arXiv 2404.02948, section 4 and its algorithm with T iterations; order and float32 scales
as in the authors' utils/init_qpissa.py, five iterations as in its example. LoftQ quantises first, so that its
adapter holds quantisation error; here the adapter holds W's principal part and leaves the quantiser a smaller
range. The division by s is ours, so that any alpha works; the authors take alpha = r.
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
class QPiSSA(Quantised):
    """Principal singular directions train; the rest is quantised. Each layer starts near W, not at it."""

    name: ClassVar[str] = "qpissa"
    summary: ClassVar[str] = "PiSSA on a 4-bit residual"

    iterations: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1:
            raise VariantError(f"qpissa: iterations must be 1 or more, got {self.iterations}")

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """Alternate the SVD of what the quantised weight lacks and quantising what the adapter lacks."""
        A, B = principal(weight, self.rank, self.scale)
        codes = encode(weight - self.scale * (B @ A), self.bits)
        for _ in range(self.iterations - 1):
            A, B = principal(weight - decode(codes), self.rank, self.scale)
            codes = encode(weight - self.scale * (B @ A), self.bits)
        return Start(A=A, B=B, base=QuantisedWeight(codes))
