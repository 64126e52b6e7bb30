"""What a method's start has to be, and what the shared settings make of it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from variants.interface import Variant, VariantError
from variants.site import Start


def checked(variant: Variant, start: Start, weight: Tensor) -> Start:
    """The start on the weight's device, if it is one for this weight. Raises VariantError."""
    if not isinstance(start, Start):
        raise VariantError(f"{variant.name}: start must give a Start(A, B), got {type(start).__name__}")
    (d_out, d_in), A, B = weight.shape, tuple(start.A.shape), tuple(start.B.shape)
    if len(A) != 2 or len(B) != 2 or (B[0], A[1]) != (d_out, d_in) or A[0] != B[1]:
        raise VariantError(
            f"{variant.name}: start must give A [r, {d_in}], B [{d_out}, r] on a weight [{d_out}, {d_in}], "
            f"got A {list(A)} and B {list(B)}"
        )
    if not set(start.trains) <= {"A", "B"}:
        raise VariantError(f"{variant.name}: trains may name 'A' and 'B', got {start.trains}")
    if not (start.A.isfinite().all() and start.B.isfinite().all()):
        raise VariantError(f"{variant.name}: start gave numbers that are not finite")
    return replace(start, A=start.A.to(weight.device), B=start.B.to(weight.device))


def scaled(start: Start, factor: float) -> Start:
    """The start with A times `factor` and B divided by it; where A is zero, with B times `factor`."""
    if factor == 1:
        return start
    if not start.A.any():
        return replace(start, B=start.B * factor)
    return replace(start, A=start.A * factor, B=start.B / factor)


def stacked(name: str, starts: list[Start]) -> Start:
    """The starts of fused experts as one, with A [experts, r, d_in] and B [experts, d_out, r]."""
    if any(start.base is not None for start in starts):
        raise VariantError(
            f"{name}: fused experts cannot have a base of their own; leave them out of targets"
        )
    A, B = torch.stack([start.A for start in starts]), torch.stack([start.B for start in starts])
    return replace(starts[0], A=A, B=B)
