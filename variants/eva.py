"""EVA: LoRA whose A starts on the directions in which a layer's inputs vary most, with ranks shared out anew.

    X [tokens, d_in]: the layer's inputs, less their mean;  X^T X / tokens = V diag(l) V^T
    A = V_{1..r_layer}^T,  B = 0,  s = alpha / r for every layer

    Ranks: each layer offers its shares l_i / sum(l) for i up to rho*r. Of all layers' shares the largest
    r * layers count; a layer's rank is how many of them are its own. A layer left with none is not adapted.

Source: Paischer et al., arXiv 2410.07170, section 3 and algorithm 1; rho = 2 as there. The authors and peft
take an incremental SVD, truncated to rho*r directions and stopped when these turn by less than a cosine of
0.99; here it is the exact eigendecomposition of the covariance over all calibration tokens, in float64, so
that the start depends on nothing but the examples. Inputs are centred and each direction has the sign that
makes its largest entry positive, as their incremental PCA has it. All tokens count, as in the authors'
script; peft leaves the prompt's out by default. s stays the same whatever a layer's rank: peft's
adjust_scaling_factors. A last tie goes to the earlier layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from variants import observe
from variants.interface import Calibration, VariantError
from variants.lowrank import CalibratedVariant
from variants.site import Start
from variants.targets import Layer

TINY = torch.finfo(torch.float64).tiny  # the sum of variances of a layer that is given nothing, or zeros


@dataclass(frozen=True)
class EVA(CalibratedVariant):
    """Explained variance adaptation: r_layer*(d_in + d_out) numbers train per layer."""

    name: ClassVar[str] = "eva"
    summary: ClassVar[str] = "LoRA started on the main directions of the inputs, ranks by explained variance"

    rho: float = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rho < 1:
            raise VariantError(f"eva: rho must be 1 or more, got {self.rho}")

    def observe(
        self, model: nn.Module, layers: Mapping[str, Layer], calibration: Calibration
    ) -> dict[str, Tensor]:
        """Each layer's directions, as many as its rank: [r_layer, d_in]."""
        moments = observe.inputs(model, layers, calibration)
        directions, shares = {}, {}
        for name in layers:
            values, vectors = torch.linalg.eigh(moments.pop(name).covariance())
            count = min(round(self.rho * self.rank), len(values))
            directions[name] = upright(vectors.T.flip(0)[:count]).float()
            shares[name] = (values.flip(0) / values.sum().clamp_min(TINY))[:count]
        ranks = shared_out(list(shares.values()), self.rank * len(layers))
        return {name: directions[name][:rank] for name, rank in zip(layers, ranks, strict=True)}

    def start_from(self, weight: Tensor, seen: Tensor, rng: torch.Generator) -> Start | None:
        """A on the directions, B zero: the layer starts as W."""
        return Start(A=seen, B=weight.new_zeros(len(weight), len(seen))) if len(seen) else None


def shared_out(shares: list[Tensor], budget: int) -> list[int]:
    """How many of the `budget` largest numbers of all lists, as far as they exceed 0, are each list's own."""
    owners = torch.cat([torch.full((len(share),), i) for i, share in enumerate(shares)])
    pool, order = torch.cat(shares).cpu().sort(descending=True, stable=True)
    return owners[order[:budget][pool[:budget] > 0]].bincount(minlength=len(shares)).tolist()


def upright(rows: Tensor) -> Tensor:
    """The rows with the sign that makes the largest entry of each positive."""
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return rows * largest.sign()
