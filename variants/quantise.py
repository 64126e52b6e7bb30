"""NormalFloat quantisation: codebooks by their rule, blocks of 64, packed codes, and a frozen layer on them.

Source of the rule: yxli2123/LoftQ, glue/utils_quant; NF4 is the type of QLoRA (Dettmers et al.,
arXiv 2305.14314, section 3). Every 64 neighbouring numbers of the flattened weight share one float32 scale,
their largest magnitude; each number is stored as the index of the nearest code. Two codes share a byte
whatever the bits (2 and 3 bits leave room unused: they are here for their numerics, not for their size).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from variants.site import FrozenWeight

BITS = (2, 3, 4)
BLOCK = 64
OFFSET = 0.9677083  # the rule's outermost quantile


@cache
def codebook(bits: int) -> tuple[float, ...]:
    """The 2^bits codes of NormalFloat, ascending from -1 to 1, zero among them.

    With o = OFFSET and h = 2^(bits-1): the normal quantiles at h even steps from o down towards 0.5, the
    negated quantiles at h - 1 such steps, and 0; all divided by the largest.
    """
    half = 2 ** (bits - 1)
    quantile = NormalDist().inv_cdf

    def side(n: int) -> list[float]:
        return [quantile(OFFSET + (0.5 - OFFSET) * i / n) for i in range(n)]

    codes = sorted([*side(half), 0.0, *(-q for q in side(half - 1))])
    return tuple(code / codes[-1] for code in codes)


@dataclass(frozen=True)
class Codes:
    """A quantised tensor: `packed` uint8 with two codes a byte, `scales` float32 [blocks]."""

    packed: Tensor
    scales: Tensor
    shape: tuple[int, ...]
    bits: int


def encode(weight: Tensor, bits: int) -> Codes:
    """Quantise `weight`; the last block is filled up with zeros."""
    flat = weight.detach().float().flatten()
    blocks = F.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    scales = blocks.abs().amax(dim=1)
    unit = blocks / scales.clamp_min(torch.finfo(torch.float32).tiny)[:, None]
    codes = torch.tensor(codebook(bits), device=weight.device)
    index = torch.bucketize(unit, (codes[1:] + codes[:-1]) / 2).to(torch.uint8).flatten()
    return Codes(index[0::2] | (index[1::2] << 4), scales, tuple(weight.shape), bits)


def decode(codes: Codes) -> Tensor:
    """The float32 tensor that the codes stand for."""
    pairs = _byte_table(codes.bits, codes.packed.device).index_select(0, codes.packed.int())
    blocks = pairs.view(-1, BLOCK) * codes.scales[:, None]
    return blocks.flatten()[: prod(codes.shape)].view(codes.shape)


@cache
def _byte_table(bits: int, device: torch.device) -> Tensor:
    """[256, 2]: the two numbers that a packed byte stands for, the low half first."""
    codes = [*codebook(bits), *[0.0] * (16 - 2**bits)]
    return torch.tensor([[codes[byte & 15], codes[byte >> 4]] for byte in range(256)], device=device)


class QuantisedWeight(FrozenWeight):
    """A frozen weight held as codes; the dense one exists only for the length of a product."""

    packed: Tensor
    scales: Tensor

    def __init__(self, codes: Codes) -> None:
        super().__init__()
        self.shape, self.bits = codes.shape, codes.bits
        self.register_buffer("packed", codes.packed)
        self.register_buffer("scales", codes.scales)

    def codes(self) -> Codes:
        """What is stored."""
        return Codes(self.packed, self.scales, self.shape, self.bits)

    def dense(self) -> Tensor:
        return decode(self.codes())

    def forward(self, x: Tensor) -> Tensor:
        """Q x for x [..., d_in], in x's type."""
        return _Product.apply(x, self.packed, self.scales, self.shape, self.bits)


class _Product(torch.autograd.Function):
    """x Q^T that keeps the codes for the backward and dequantises again there."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, packed: Tensor, scales: Tensor, shape: tuple[int, ...], bits: int
    ) -> Tensor:
        ctx.save_for_backward(packed, scales)
        ctx.rest = (shape, bits)
        return F.linear(x, decode(Codes(packed, scales, shape, bits)).to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        packed, scales = ctx.saved_tensors
        return grad @ decode(Codes(packed, scales, *ctx.rest)).to(grad.dtype), None, None, None, None
