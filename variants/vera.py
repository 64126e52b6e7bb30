"""VeRA: two random matrices, frozen and shared by all layers, of which each layer trains two scalings.

    y = W x + s * b * (B (d * (A x))),  that is dW = s * diag(b) B diag(d) A;  A [r, d_in], B [d_out, r]
    A, B ~ U(-sqrt(6/fan_in), sqrt(6/fan_in)), drawn once;  b = 0 [d_out],  d = d_initial [r];  s = 1

Source: Kopiczko et al., arXiv 2310.11454, equation 2 and section 3.3. As in peft, A and B are drawn for the
widest adapted input and output (their fan_in are that width and r), and a layer takes the first d_in
columns of A and the first d_out rows of B. They are stored once per adapter: a layer holds views. The draw
comes from the adapter's seed, where peft has a key of its own (0). The paper has no s: alpha = r makes it 1.
d_out + r numbers train per layer. What is learned is a plain LoRA of rank r: A diag(d), diag(b) B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from variants.interface import Calibration
from variants.lowrank import LowRankVariant
from variants.site import LowRank, Site, Start, generator, uniform
from variants.targets import Kind


class Scaled(LowRank):
    """A low-rank site whose frozen A and B are views, scaled by the trained d [r] and b [d_out]."""

    def __init__(self, start: Start, d_initial: float, scale: float, dropout: float) -> None:
        super().__init__(start, scale, dropout)
        self.A = nn.Parameter(start.A, requires_grad=False)
        self.B = nn.Parameter(start.B, requires_grad=False)
        self.b = nn.Parameter(start.B.new_zeros(len(start.B)))
        self.d = nn.Parameter(start.A.new_full((len(start.A),), d_initial))

    def pair(self) -> tuple[Tensor, Tensor]:
        return self.d[:, None] * self.A, self.b[:, None] * self.B


@dataclass(frozen=True)
class VeRA(LowRankVariant):
    """Vector-based random matrix adaptation: d_out + r numbers train per layer."""

    name: ClassVar[str] = "vera"
    summary: ClassVar[str] = "two random matrices shared by all layers; a layer trains two vectors"
    kinds: ClassVar[tuple[Kind, ...]] = ("linear",)
    fits_rank: ClassVar[bool] = False

    rank: int = 256
    d_initial: float = 0.1

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """The frozen pair for a weight of this shape."""
        d_out, d_in = weight.shape
        A = uniform(self.rank, d_in, rng, weight.device) * 6**0.5
        B = uniform(d_out, self.rank, rng, weight.device) * 6**0.5
        return Start(A=A, B=B, trains=())

    def sites(self, model: nn.Module, seed: int, calibration: Calibration | None) -> dict[str, Site]:
        """One pair for the widest sides of all layers, and on every layer a view of it."""
        layers = self.layers(model)
        d_out, d_in = (
            max(widths) for widths in zip(*(layer.sides for layer in layers.values()), strict=True)
        )
        first = next(iter(layers.values())).weight
        shared = self.start(first.new_empty(d_out, d_in), generator(seed, "shared"))
        A, B = shared.A * self.init_scale, shared.B
        sites: dict[str, Site] = {}
        for name, layer in layers.items():
            rows, columns = layer.sides
            device = layer.weight.device
            view = Start(A=A[:, :columns].to(device), B=B[:rows].to(device), trains=())
            sites[name] = Scaled(view, self.d_initial, self.scale, self.dropout)
        return sites
