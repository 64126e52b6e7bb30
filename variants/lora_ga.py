"""LoRA-GA: LoRA started so that its first step follows the full gradient.

    G [d_out, d_in]: the gradient of the mean loss over the calibration rows by W;  G = U S V^T
    A0 = c * V_{1..r}^T,  B0 = c * U_{r+1..2r},  c = d_out^(1/4) / sqrt(gamma),  gamma = 16
    y = (W - s*B0 A0) x + s*B(A x),  s = alpha / r

Source: Wang et al., arXiv 2407.05000, theorem 3.1 (directions), section 3.3 (c) and algorithm 1; alpha = 2r
as the authors' r = 8, alpha = 16. The residual W - s*B0 A0 is never stored (see pissa.py), so that the layer
starts as W exactly. Where we differ: the SVD is exact and not randomised; the model is in evaluation mode.
peft scales B0 alone, by c times the singular values of G: its start grows with the size of the loss, and
its A0 lacks c. The authors' code (scale "stable", direction "ArB2r") has both factors as above, and so has
this file. A layer whose gradient is zero is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from variants import decompose, observe
from variants.interface import Calibration, VariantError
from variants.lowrank import CalibratedVariant
from variants.site import Start
from variants.targets import Layer


@dataclass(frozen=True)
class LoRAGA(CalibratedVariant):
    """Low-rank adaptation with gradient approximation."""

    name: ClassVar[str] = "lora-ga"
    summary: ClassVar[str] = "LoRA started on the main directions of the weight's gradient"

    alpha: float | str = "2r"
    gamma: float = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gamma <= 0:
            raise VariantError(f"lora-ga: gamma must be above 0, got {self.gamma}")

    def check(self, model: nn.Module) -> None:
        super().check(model)
        for layer in self.layers(model).values():
            if 2 * self.rank > min(layer.sides):
                raise VariantError(
                    f"lora-ga: rank {self.rank} takes {2 * self.rank} directions of a gradient, too many for "
                    f"{layer.name}; at most {min(layer.sides) // 2}"
                )

    def observe(
        self, model: nn.Module, layers: Mapping[str, Layer], calibration: Calibration
    ) -> dict[str, Tensor]:
        """Each layer's gradient."""
        return observe.gradients(model, layers, calibration)

    def start_from(self, weight: Tensor, seen: Tensor, rng: torch.Generator) -> Start | None:
        """A and B on different directions of the gradient, pinned so that the layer starts as W."""
        if not seen.any():
            return None
        U, _, Vh = decompose.top(seen, 2 * self.rank)
        c = len(weight) ** 0.25 / self.gamma**0.5
        return Start(A=c * Vh[: self.rank], B=c * U[:, self.rank :], pinned=True)
