"""CorDA: LoRA started from singular directions of the weight as the task's inputs weigh them.

    C [d_in, d_in]: mean over the examples of X^T X;  C' = C + 0.01 * mean(diag C) * I
    W C' = U S V^T;  A0 = sqrt(S_r / s) V_r^T C'^-1,  B0 = U_r sqrt(S_r / s),  s = alpha / r
    y = (W - s*B0 A0) x + s*B(A x)
    mode ipm (instruction-previewed)  the r largest: adapts what the examples use most
    mode kpm (knowledge-preserved)    the r smallest: leaves that untouched

Source: Yang et al., arXiv 2406.05223, section 3. Each example's X divided by the size of its largest entry,
the mean over examples, and the damping 0.01 are from the authors' code and peft, which double the damping
until an inverse in float32 succeeds. No inverse is taken here: S_r V_r^T C'^-1 = U_r^T W, so that
A0 = U_r^T W / sqrt(s S_r) and s*B0 A0 = U_r U_r^T W. The residual W - s*B0 A0 is never stored (see pissa.py).
The paper's kpm collects C on questions about general knowledge; the examples here are always the task's own,
so that kpm keeps what the base does with them. The authors take 256 examples of 2048 tokens; the default
here is for the pocket track, and wide layers want more. A layer whose W C' is zero, as where its inputs are,
is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from variants import decompose, observe
from variants.interface import Calibration, VariantError
from variants.lowrank import CalibratedVariant
from variants.site import Start
from variants.targets import Layer

DAMPING = 0.01


@dataclass(frozen=True)
class CorDA(CalibratedVariant):
    """Context-oriented decomposition adaptation."""

    name: ClassVar[str] = "corda"
    summary: ClassVar[str] = "LoRA started from the weight's directions as the task's inputs weigh them"

    mode: str = "ipm"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in ("ipm", "kpm"):
            raise VariantError(f"corda: mode must be ipm or kpm, got {self.mode!r}")

    def observe(
        self, model: nn.Module, layers: Mapping[str, Layer], calibration: Calibration
    ) -> dict[str, Tensor]:
        """Each layer's C, the mean over examples, float64."""
        moments = observe.inputs(model, layers, calibration, prepare=evened)
        return {name: seen.square.div_(max(seen.examples, 1)) for name, seen in moments.items()}

    def start_from(self, weight: Tensor, seen: Tensor, rng: torch.Generator) -> Start | None:
        """r of the oriented directions, pinned so that the layer starts as W."""
        W = weight.double()
        oriented = W @ (seen + DAMPING * seen.diagonal().mean() * torch.eye(len(seen)).to(seen))
        noise = torch.finfo(oriented.dtype).eps * oriented.norm()
        if not noise:
            return None
        if self.mode == "ipm":
            U, S, _ = decompose.top(oriented.float(), self.rank)
        else:
            U, S, _ = torch.linalg.svd(oriented, full_matrices=False)  # float32 would lose the smallest
            U, S = U[:, -self.rank :], S[-self.rank :]
        U, root = U.double(), (self.scale * S.double().clamp_min(noise)).sqrt()
        return Start(A=(U.T @ W) / root[:, None], B=U * root / self.scale, pinned=True)


def evened(rows: Tensor) -> Tensor:
    """The inputs of one example, divided by the size of their largest entry (the largest, not the furthest
    from zero, as the authors have it)."""
    rows = rows.double()
    return rows / rows.max().abs().clamp_min(torch.finfo(rows.dtype).tiny)
