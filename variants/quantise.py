"""NormalFloat quantisation (codebooks.py): blocks of 64, packed codes.

Every 64 neighbouring numbers of the flattened weight share one float32 scale,
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

import torch
from torch import Tensor
from torch.nn import functional as F

from variants.codebooks import codebook, dynamic_codes

BITS = (2, 3, 4)
BLOCK = 64
SECOND_BLOCK = 256
TINY = torch.finfo(torch.float32).tiny


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
