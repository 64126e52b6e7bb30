"""Random mask: LoRI-S with a random mask in the place of the magnitude mask. The control that LoRI needs.

    y = W x + s*B(A x),  s = alpha / r,  A random and frozen,  B = 0, trained inside a mask only
    mask: k = int((1 - sparsity) * N) of the N entries of B over all layers, each set of k equally likely

Everything but the choice of the entries is LoRI-S: the same A from the same seed, the same k of one global
pool, B from zero, gradients zeroed outside (see lori.py for the sources). Magnitude chooses layers as well as
entries inside them; chance gives every layer its share by size, so the control is for both.

One phase, not two. LoRI-S needs its dense phase to find the mask, and then throws everything else of it
away: B starts again at zero with a fresh optimiser, schedule and order of the data. A random mask needs no
finding, so a dense phase before it would change nothing in the result and only cost as much again. With
equal `steps` both train B inside the mask equally long; this compares the masks. LoRI-S has then seen twice
the steps in all; to compare at an equal total budget, give this variant twice the steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import nn

from variants.interface import Calibration
from variants.lori import Masked, first
from variants.site import LowRank, Site, generator


@dataclass(frozen=True)
class RandomMask(Masked):
    """LoRI-S whose mask is drawn and not found."""

    name: ClassVar[str] = "random-mask"
    summary: ClassVar[str] = "LoRI-S with a random mask: the control for its magnitude mask"

    def sites(self, model: nn.Module, seed: int, calibration: Calibration | None) -> dict[str, Site]:
        """LoRI's sites, with B confined to the drawn mask from the start."""
        sites = super().sites(model, seed, calibration)
        lowrank = [cast(LowRank, site) for site in sites.values()]
        entries = sum(site.B.numel() for site in lowrank)
        order = torch.randperm(entries, generator=generator(seed, "random mask"))
        for site, mask in zip(
            lowrank, first(order, [site.B for site in lowrank], self.sparsity), strict=True
        ):
            site.restart(mask.to(site.B.device))
        return sites
