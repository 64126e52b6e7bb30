"""LoRA-FA: LoRA with A frozen, and B's gradient turned so that B A follows the full weight's gradient.

    y = W x + s*B(A x),  s = alpha / r,  A ~ U(-1/sqrt(d_in), 1/sqrt(d_in)) frozen,  B = 0
    the optimiser is given  g' = g (A A^T + 1e-8 I)^-1 / s^2  in the place of B's gradient g

With G the gradient of W, g = s G A^T, so that a plain step along g' moves W by s g' A = G A^T (A A^T)^-1 A: G
projected on the rows of A, the nearest to G that a frozen A can reach.

Source: Zhang et al., arXiv 2308.03303; the projection is the closed-form gradient correction of its second
version and of peft's LoraFAOptimizer. peft rounds the product to bfloat16 where the machine has it, projects
after clipping, and goes on as an Adam with an eps of 1e-6; here the product is float32 and the recipe's clip
and optimiser (eps 1e-8) see the projected gradient. Without the projection this is lori-d.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from variants.lora import LoRA
from variants.site import LowRank, Start
from variants.targets import Layer

DAMPING = 1e-8


@dataclass(frozen=True)
class LoRAFA(LoRA):
    """Frozen-A LoRA: r*d_out numbers train per layer, and A x need not be kept for A's gradient."""

    name: ClassVar[str] = "lora-fa"
    summary: ClassVar[str] = "LoRA with A frozen and B's gradient projected towards the full one"

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """LoRA's start, of which only B trains."""
        return replace(super().start(weight, rng), trains=("B",))

    def site(self, layer: Layer, rng: torch.Generator) -> LowRank:
        site = super().site(layer, rng)
        A, scale = site.A, site.scale
        site.B.register_hook(lambda grad: projected(grad, A, scale))
        return site


def projected(grad: Tensor, A: Tensor, scale: float) -> Tensor:
    """grad (A A^T + 1e-8 I)^-1 / scale^2, for grad [..., d_out, r] and A [..., r, d_in]."""
    rows = A.double()
    gram = rows @ rows.mT + DAMPING * torch.eye(A.shape[-2], dtype=rows.dtype, device=A.device)
    return grad @ torch.linalg.inv(gram).to(grad.dtype) / scale**2
