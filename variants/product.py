"""W x + s*B(A x) with a backward written out: added in place, nothing kept but x and A x.

The adapter is float32 and so are its products, whatever the type of x and y. On a GPU that multiplies
bfloat16 matrices into float32 ones, a float32 matrix is split into two bfloat16 ones, high and low, whose
products are added up: 16 bits of it take part, at the speed of bfloat16, and x and y are never copied to
float32. Whether the device does so rightly is tried once.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def added(x: Tensor, y: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    """y + scale * x A^T B^T for x [..., d_in], y [..., d_out], A [r, d_in], B [d_out, r]; y is given up."""
    if y._is_view() or (y.is_leaf and y.requires_grad) or y.data_ptr() == x.data_ptr():
        y = y.clone()
    return _Added.apply(x, y, A, B, scale)  # pyright: ignore[reportReturnType]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, A: Tensor, B: Tensor, scale: float) -> Tensor:
    """W x + b + scale * B(A x) for a frozen weight [d_out, d_in], whose own product is added to."""
    return _Linear.apply(x, weight, bias, A, B, scale)  # pyright: ignore[reportReturnType]


class _Added(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
        with _as_they_are(x):
            inner = _thin(_flat(x), A.T)
            _add(_flat(y), inner, B.T, scale)
        ctx.save_for_backward(x, inner, A, B)
        ctx.scale = scale
        ctx.mark_dirty(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, A, B = ctx.saved_tensors
        with _as_they_are(x):
            back, gA, gB = _factors(ctx, _flat(grads[0]), x, inner, B)
            gx = _wide(back, A, x.dtype).view(x.shape) if ctx.needs_input_grad[0] else None
        return gx, grads[0], gA, gB, None


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, A: Tensor, B: Tensor, scale: float
    ) -> Tensor:
        y = F.linear(x, weight, bias)
        with _as_they_are(x):
            inner = _thin(_flat(x), A.T)
            _add(_flat(y), inner, B.T, scale)
        ctx.save_for_backward(x, inner, weight, A, B)
        ctx.scale = scale
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, weight, A, B = ctx.saved_tensors
        g, gx = _flat(grads[0]), None
        with _as_they_are(x):
            back, gA, gB = _factors(ctx, g, x, inner, B)
            if ctx.needs_input_grad[0]:
                gx = (g @ weight.to(g.dtype)).to(x.dtype)
                _add(gx, back, A, 1.0)
                gx = gx.view(x.shape)
        return gx, None, None, gA, gB, None


def _factors(
    ctx: Any, g: Tensor, x: Tensor, inner: Tensor, B: Tensor
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """What comes back through B [n, r], and the gradients of A and B where they train."""
    for_A, for_B = ctx.needs_input_grad[-3:-1]
    back = _thin(g, B) * ctx.scale
    gA = _thin(_flat(x).T, back).T if for_A else None
    return back, gA, _thin(g.T, inner) * ctx.scale if for_B else None


def _as_they_are(x: Tensor) -> AbstractContextManager[Any]:
    """Inside, products are of the types written here."""
    kind = x.device.type
    on = not torch.amp.is_autocast_available(kind) or torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if on else nullcontext()


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def _add(out: Tensor, narrow: Tensor, wide: Tensor, scale: float) -> None:
    """out [n, k] of any type += scale * narrow [n, r] wide [r, k], both float32, rounded once."""
    if out.dtype == torch.float32:
        out.addmm_(narrow, wide, alpha=scale)
    elif _mixes(out.device, out.dtype):
        (high, low), (above, below) = _split(narrow * scale, out.dtype), _split(wide, out.dtype)
        out.addmm_(torch.cat([high, low, high], dim=1), torch.cat([above, above, below]))
    else:
        out.copy_(torch.addmm(out.float(), narrow, wide, alpha=scale))


def _thin(wide: Tensor, narrow: Tensor) -> Tensor:
    """wide [n, k] of any type times narrow [k, r] float32, in float32."""
    if wide.dtype == torch.float32:
        return wide @ narrow
    if not _mixes(wide.device, wide.dtype):
        return wide.float() @ narrow
    both = torch.mm(wide, torch.cat(_split(narrow, wide.dtype), dim=1), out_dtype=torch.float32)
    high, low = both.chunk(2, dim=1)
    return high + low


def _wide(narrow: Tensor, wide: Tensor, dtype: torch.dtype) -> Tensor:
    """narrow [n, r] times wide [r, k], both float32, rounded once to `dtype`."""
    if dtype == torch.float32 or not _mixes(wide.device, dtype):
        return (narrow @ wide).to(dtype)
    (high, low), (above, below) = _split(narrow, dtype), _split(wide, dtype)
    return torch.cat([high, low, high], dim=1) @ torch.cat([above, above, below])


def _split(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two tensors of a narrower type whose sum is nearly x."""
    high = x.to(dtype)
    return high, (x - high.float()).to(dtype)


@cache
def _mixes(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this device multiplies matrices of a narrow type into float32, exactly where they are small."""
    if device.type != "cuda" or dtype != torch.bfloat16:
        return False
    try:
        one = torch.full((32, 64), 1 + 2**-7, dtype=dtype, device=device)
        return bool((torch.mm(one, one.T, out_dtype=torch.float32) == 64 * (1 + 2**-7) ** 2).all())
    except (RuntimeError, TypeError):
        return False
