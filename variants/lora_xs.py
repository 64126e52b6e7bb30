"""LoRA-XS: a small square matrix trained between the weight's frozen singular directions.

    W = U S V^T;  y = W x + s * U_r R S_r V_r^T x,  s = alpha / r;  R [r, r] ~ N(0, sigma^2), sigma = 1e-5

Source: Balazy et al., arXiv 2405.17604, section 3. The paper multiplies from the right (x W + x A R B with
A = U_r S_r, B = V_r^T of its own, transposed W), so that the singular values stand on the side of the input;
so do the authors' code, find_and_initialize, and this file. The paper's alpha is r. The authors fine-tune 7B
models at rank 64 and learning rate 4e-3; the default rank here is the family's.

r^2 numbers train per layer. R is not zero, so the start is off the base by about 1e-5 of each layer's output;
sigma = 0 starts on it and trains as well, since R's gradient U_r^T G V_r S_r does not vanish with R. What is
learned is a plain LoRA of rank r: R S_r V_r^T and U_r.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from variants import decompose
from variants.interface import VariantError
from variants.lowrank import LowRankVariant
from variants.site import LowRank, Start
from variants.targets import Kind, Layer


class Core(LowRank):
    """A low-rank site with A and B frozen and R [r, r] trained between them."""

    def __init__(self, start: Start, R: Tensor, scale: float, dropout: float) -> None:
        super().__init__(start, scale, dropout)
        self.R = nn.Parameter(R.to(self.A))

    def pair(self) -> tuple[Tensor, Tensor]:
        return self.R @ self.A, self.B


@dataclass(frozen=True)
class LoRAXS(LowRankVariant):
    """Low-rank adaptation with an extremely small number of parameters: r^2 per layer."""

    name: ClassVar[str] = "lora-xs"
    summary: ClassVar[str] = "an r x r matrix trained between the weight's frozen singular directions"
    kinds: ClassVar[tuple[Kind, ...]] = ("linear",)
    starts_at_base: ClassVar[bool] = False

    sigma: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma < 0:
            raise VariantError(f"lora-xs: sigma must be 0 or more, got {self.sigma}")

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """The frozen singular directions: A = S_r V_r^T, B = U_r."""
        U, S, Vh = decompose.top(weight, self.rank)
        return Start(A=S[:, None] * Vh, B=U, trains=())

    def site(self, layer: Layer, rng: torch.Generator) -> Core:
        start = self.start(layer.weight.detach().float(), rng)
        R = self.init_scale * self.sigma * torch.randn(self.rank, self.rank, generator=rng)
        return Core(start, R, self.scale, self.dropout)
