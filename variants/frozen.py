"""A weight that a site brings to stand in for the pretrained one, and the one held in quantised codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from variants.quantise import Codes, decode


class FrozenWeight(nn.Module):
    """A frozen weight that a site brings to stand in for the pretrained one: `forward(x)` is Q x."""

    def dense(self) -> Tensor:
        """The weight that this layer stands for, float32 [d_out, d_in]."""
        raise NotImplementedError


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
