"""LoRI: LoRA with A random and frozen, of which only B trains, in the sparse form on a fixed mask.

    y = W x + s*B(A x),  s = alpha / r,  A ~ U(-1/sqrt(d_in), 1/sqrt(d_in)) frozen,  B = 0
    lori-d   one phase, all of B trains: r * sum(d_out) numbers
    lori-s   phase 0 as lori-d. Then one pool of |B| over all layers of the model; the
             k = int((1 - sparsity) * N) largest of its N entries make the mask (ties: the earlier entry);
             B starts again at zero and phase 1 trains it inside the mask only: exactly k numbers

Source: Zhang et al., arXiv 2504.07448; masks as in the authors' src/extract_mask.py (one global pool) and
src/apply_mask_in_backward.py (gradients zeroed outside the mask; without weight decay acting on them, the
entries stay exactly zero). The paper speaks of one projection A; the authors' second phase is a new process
that draws a fresh A, so that their mask was found under another one. Here A is kept by default, and
`fresh_a` draws a new one as their code does. Their code keeps |B| >= threshold, which may exceed k on ties.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from variants.attach import SiteAdapter
from variants.interface import VariantError
from variants.lowrank import LowRankVariant
from variants.site import LowRank, Start, generator, uniform


@dataclass(frozen=True)
class LoRID(LowRankVariant):
    """Dense LoRI: only B trains."""

    name: ClassVar[str] = "lori-d"
    summary: ClassVar[str] = "LoRA with A random and frozen; only B trains"

    rank: int = 32
    alpha: float | str = "2r"

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """A random and frozen, B zero: the layer starts as W."""
        d_out, d_in = weight.shape
        A = uniform(self.rank, d_in, rng, weight.device)
        return Start(A=A, B=weight.new_zeros(d_out, self.rank), trains=("B",))


@dataclass(frozen=True)
class Masked(LoRID):
    """LoRI whose B trains inside a fixed mask only."""

    sparsity: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.sparsity < 1:
            raise VariantError(f"{self.name}: sparsity must lie between 0 and 1, got {self.sparsity}")


@dataclass(frozen=True)
class LoRIS(Masked):
    """Sparse LoRI: a dense phase finds the mask, a second phase trains B inside it from zero."""

    name: ClassVar[str] = "lori-s"
    summary: ClassVar[str] = "LoRI whose second phase trains only the largest entries of B"
    phases: ClassVar[int] = 2

    fresh_a: bool = False

    def enter(self, adapter: SiteAdapter, phase: int) -> None:
        """Before phase 1: fix the masks and start B again."""
        if phase != 1:
            return
        sites = {name: cast(LowRank, site) for name, site in adapter.sites.items()}
        masks = largest([site.B for site in sites.values()], self.sparsity)
        for (name, site), mask in zip(sites.items(), masks, strict=True):
            A = None
            if self.fresh_a:
                rng = generator(adapter.seed, name, "fresh A")
                rows, columns = site.A.shape[:-1].numel(), site.A.shape[-1]
                A = uniform(rows, columns, rng, site.A.device).view_as(site.A) * self.init_scale
            site.restart(mask, A)


def largest(tensors: list[Tensor], sparsity: float) -> list[Tensor]:
    """Boolean masks of the int((1 - sparsity) * N) entries largest in magnitude over all tensors together."""
    pool = torch.cat([t.detach().abs().flatten() for t in tensors])
    return first(pool.sort(descending=True, stable=True).indices, tensors, sparsity)


def first(order: Tensor, tensors: list[Tensor], sparsity: float) -> list[Tensor]:
    """Boolean masks of the first int((1 - sparsity) * N) entries in `order`, which numbers all N of them."""
    kept = int((1 - sparsity) * len(order))
    flat = torch.zeros_like(order, dtype=torch.bool)
    flat[order[:kept]] = True
    pieces = flat.split([t.numel() for t in tensors])
    return [piece.view(t.shape) for piece, t in zip(pieces, tensors, strict=True)]
