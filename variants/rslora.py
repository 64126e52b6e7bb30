"""rsLoRA: LoRA scaled by alpha / sqrt(r), so that what a step does is alike at every rank.

    y = W x + s*B(A x),  s = alpha / sqrt(r);  A and B start as in LoRA

Source: Kalajdzievski, arXiv 2312.03732, theorem 3.2 (only a scale of order 1 / sqrt(r) keeps activations and
gradients stable as r grows). Every other low-rank variant takes the same scale by `rslora=true`. The point is
an alpha that stays when the rank changes, so the default is a number and not a rule in r: 16, which at the
default rank is alpha = r, as peft's method comparison has it (rank 64, alpha 64). s is then 4, twice that of
`lora`: compare the two at learning rates of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from variants.lora import LoRA


@dataclass(frozen=True)
class RsLoRA(LoRA):
    """Rank-stabilised LoRA."""

    name: ClassVar[str] = "rslora"
    summary: ClassVar[str] = "LoRA scaled by alpha / sqrt(r) in place of alpha / r"

    alpha: float | str = 16
    rslora: bool = True
