"""What methods on a quantised base have in common: how many bits each layer's weight is held in.

Mixed precision: the first `high_share` of the adapted layers, in the model's order, are held in 4 bits, the
others in `bits`: on layers of one size bits + high_share * (4 - bits) on average, so 2.25, 2.5 and 3 bits are
bits=2 with high_share 0.125, 0.25 and 0.5. So does LoftQ's paper (arXiv 2310.08659), counting whole blocks of
the model. The scales of the quantiser's blocks, and the spare bit of NF3's codes, come on top (quantise.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from variants.interface import VariantError
from variants.lowrank import LowRankVariant
from variants.quantise import BITS
from variants.site import LowRank
from variants.targets import Kind, Layer

HIGH = max(BITS)


@dataclass(frozen=True)
class Quantised(LowRankVariant):
    """A method whose sites bring a quantised weight of `bits` bits. It writes `start`."""

    kinds: ClassVar[tuple[Kind, ...]] = ("linear",)
    starts_at_base: ClassVar[bool] = False

    bits: int = 4
    high_share: float = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bits not in BITS:
            raise VariantError(
                f"{self.name}: bits must be one of {', '.join(map(str, BITS))}, got {self.bits}"
            )
        if not 0 <= self.high_share < 1:
            raise VariantError(
                f"{self.name}: high_share must be 0 or more and below 1, got {self.high_share}"
            )
        if self.high_share and self.bits == HIGH:
            raise VariantError(
                f"{self.name}: high_share={self.high_share} has no effect at bits={HIGH}; give 2 or 3"
            )

    def bits_of(self, layer: Layer) -> int:
        """In how many bits the layer's weight is held."""
        return HIGH if layer.index < round(self.high_share * layer.count) else self.bits

    def site(self, layer: Layer, rng: torch.Generator) -> LowRank:
        held = replace(self, bits=self.bits_of(layer), high_share=0)
        return super(Quantised, held).site(layer, rng)
