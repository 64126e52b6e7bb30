"""NormalFloat quantisation: codebooks by their rule, blocks of 64, packed codes, and a frozen layer on them.

Source of the rule: yxli2123/LoftQ, glue/utils_quant; NF4 is the type of QLoRA (Dettmers et al.,
arXiv 2305.14314, section 3). Every 64 neighbouring numbers of the flattened weight share one float32 scale,
their largest magnitude; each number is stored as the index of the nearest code: in 4 bits for NF4, in 2 for
NF2, and in 4 again for NF3, whose codes do not fill bytes (it is here for its numerics).

Scales add 0.5 bit a number. Quantised doubly (QLoRA, section 3) they add 0.127: their mean is taken off, and
every 256 of them share one float32 scale and are stored as the nearest of 256 dynamic 8-bit codes.
"""

from __future__ import annotations

from collections.abc import Sequence
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
SECOND_BLOCK = 256
OFFSET = 0.9677083  # the rule's outermost quantile
TINY = torch.finfo(torch.float32).tiny


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


@cache
def dynamic_codes() -> tuple[float, ...]:
    """The 256 codes of the dynamic 8-bit type (arXiv 1511.04561, section 2), ascending from -0.993 to 1.

    For e = 0..6 the middles of the 2^e equal parts of [0.1, 1], times 10^(e-6), with either sign; 0 and 1.
    """
    sizes = [10.0 ** (e - 6) * (0.1 + 0.9 * (i + 0.5) / 2**e) for e in range(7) for i in range(2**e)]
    return tuple(sorted([*sizes, *(-size for size in sizes), 0.0, 1.0]))


@dataclass(frozen=True)
class Codes:
    """A quantised tensor: `packed` uint8, low bits first, and a scale for each block.

    `scales` is float32 [blocks]; quantised doubly it is uint8, and `second` is float32
    [1 + blocks / 256, rounded up]: the scales' mean, then the scales of the scales.
    """

    shape: tuple[int, ...]
    bits: int
    packed: Tensor
    scales: Tensor
    second: Tensor | None = None


def encode(weight: Tensor, bits: int, double: bool = False) -> Codes:
    """Quantise `weight`; the last block is filled up with zeros."""
    index, scales = _nearest(weight.detach().float().flatten(), BLOCK, codebook(bits))
    packed = _pack(index, _per_byte(bits))
    if not double:
        return Codes(tuple(weight.shape), bits, packed, scales)
    mean = scales.mean()
    small, second = _nearest(scales - mean, SECOND_BLOCK, dynamic_codes())
    return Codes(tuple(weight.shape), bits, packed, small[: len(scales)], torch.cat([mean[None], second]))


def decode(codes: Codes) -> Tensor:
    """The float32 tensor that the codes stand for."""
    numbers = _byte_table(codes.bits, codes.packed.device).index_select(0, codes.packed.int())
    blocks = numbers.view(-1, BLOCK) * _scales(codes)[:, None]
    return blocks.flatten()[: prod(codes.shape)].view(codes.shape)


def _nearest(flat: Tensor, block: int, codes: Sequence[float]) -> tuple[Tensor, Tensor]:
    """(indices uint8, scales [blocks]): each number as its nearest code times its block's scale."""
    blocks = F.pad(flat, (0, -len(flat) % block)).view(-1, block)
    scales = blocks.abs().amax(dim=1)
    unit = blocks / scales.clamp_min(TINY)[:, None]
    table = torch.tensor(codes)
    middles = (table[1:] + table[:-1]) / 2
    if len(codes) > 16:
        index = torch.bucketize(unit, middles.to(flat.device)).to(torch.uint8)
    else:  # counted one by one, which on a CPU takes half the time of a search
        index = torch.zeros(unit.shape, dtype=torch.uint8, device=flat.device)
        for middle in middles.tolist():
            index += unit > middle
    return index.flatten(), scales


def _pack(index: Tensor, per: int) -> Tensor:
    """`per` indices to a byte, the first in the lowest bits."""
    first, *others = index.view(-1, per).unbind(dim=1)
    packed = first.clone()
    for i, other in enumerate(others, start=1):
        packed |= other << (8 // per) * i
    return packed


def _scales(codes: Codes) -> Tensor:
    """The float32 scale of every block."""
    if codes.second is None:
        return codes.scales
    mean, second = codes.second[0], codes.second[1:].repeat_interleave(SECOND_BLOCK)
    small = torch.tensor(dynamic_codes(), device=codes.scales.device)[codes.scales.int()]
    return small * second[: len(small)] + mean


def _per_byte(bits: int) -> int:
    """How many codes share a byte."""
    return 4 if bits == 2 else 2


@cache
def _byte_table(bits: int, device: torch.device) -> Tensor:
    """[256, codes a byte]: the numbers that a packed byte stands for, the low bits first."""
    per = _per_byte(bits)
    width = 8 // per
    codes = [*codebook(bits), *[0.0] * (2**width - 2**bits)]
    rows = [[codes[byte >> width * i & 2**width - 1] for i in range(per)] for byte in range(256)]
    return torch.tensor(rows, device=device)


class QuantisedWeight(FrozenWeight):
    """A frozen weight held as codes; the dense one exists only for the length of a product."""

    packed: Tensor
    scales: Tensor
    second: Tensor | None

    def __init__(self, codes: Codes) -> None:
        super().__init__()
        self.shape, self.bits = codes.shape, codes.bits
        self.register_buffer("packed", codes.packed)
        self.register_buffer("scales", codes.scales)
        self.register_buffer("second", codes.second)

    def codes(self) -> Codes:
        """What is stored."""
        return Codes(self.shape, self.bits, self.packed, self.scales, self.second)

    def dense(self) -> Tensor:
        return decode(self.codes())

    def forward(self, x: Tensor) -> Tensor:
        """Q x for x [..., d_in], in x's type."""
        return _Product.apply(x, self.shape, self.bits, *self.buffers())


class _Product(torch.autograd.Function):
    """x Q^T that keeps the codes for the backward and dequantises again there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: tuple[int, ...], bits: int, *held: Tensor) -> Tensor:
        ctx.save_for_backward(*held)
        ctx.rest = (shape, bits)
        return F.linear(x, decode(Codes(shape, bits, *held)).to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        held = ctx.saved_tensors
        weight = decode(Codes(*ctx.rest, *held)).to(grad.dtype)
        return grad @ weight, None, None, *[None] * len(held)
