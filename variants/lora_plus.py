"""LoRA+: LoRA whose B learns faster than its A.

    y = W x + s*B(A x),  s = alpha / r;  learning rate of A: eta, of B: ratio * eta

Source: Hayou et al., arXiv 2402.12354, theorem 1 (with one rate for both, wide networks learn features
inefficiently) and section 5 for the ratio of 16. Both rates follow the cell's schedule. peft and the authors'
code hold adapters of embeddings at a fixed rate of 1e-6; here an embedding's B learns `ratio` times as fast
as its A, like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from variants.interface import VariantError
from variants.lora import LoRA


@dataclass(frozen=True)
class LoRAPlus(LoRA):
    """LoRA with two learning rates; the cell's is that of A."""

    name: ClassVar[str] = "lora-plus"
    summary: ClassVar[str] = "LoRA whose B learns `ratio` times as fast as its A"

    ratio: float = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ratio <= 0:
            raise VariantError(f"lora-plus: ratio must be above 0, got {self.ratio}")

    def lr_scale(self, parameter: str) -> float:
        return float(self.ratio) if parameter == "B" else 1.0
