"""One member's optimiser: AdamW, its schedule as a pure function of the step, its own clip."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from suite.record import Recipe
from variants.interface import Group

SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "linear": lambda done: 1 - done,
    "constant": lambda done: 1.0,
}


def rate_factor(step: int, steps: int, schedule: str, warmup: float) -> float:
    """What the learning rate is multiplied by at `step` (0..steps-1).

    Warm-up takes the first round(warmup * steps) steps: 1/w, 2/w, ... 1. After it the share of the
    remaining steps that is done, from 0 towards 1 (reached only after the last step, so that no step is
    taken at rate 0), goes through the schedule.
    """
    warm = round(warmup * steps)
    if step < warm:
        return (step + 1) / warm
    return SCHEDULES[schedule]((step - warm) / max(1, steps - warm))


class MemberOptimizer:
    """AdamW over the groups of one member in one phase. `step(i)` clips, steps and clears the gradients."""

    def __init__(self, groups: Sequence[Group], recipe: Recipe, learning_rate: float) -> None:
        self.recipe = recipe
        self.learning_rate = learning_rate
        self.scales = [group.lr_scale for group in groups]
        self.params: list[nn.Parameter] = [p for group in groups for p in group.params.values()]
        if not self.params:
            raise ValueError("nothing trains: the adapter has no parameters in this phase")
        self.adamw = torch.optim.AdamW(
            [{"params": list(group.params.values())} for group in groups],
            lr=learning_rate,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            fused=True,
        )

    def rate(self, step: int) -> float:
        """The learning rate of a group of scale 1 at `step` of this phase."""
        recipe = self.recipe
        return self.learning_rate * rate_factor(step, recipe.steps, recipe.schedule, recipe.warmup)

    def step(self, step: int, stepped: Callable[[int], None] = lambda step: None) -> Tensor:
        """Clip the member's global gradient norm, take one step, clear gradients. Gives the norm before.

        `stepped` is called between the step and the clearing.
        """
        norm = nn.utils.clip_grad_norm_(self.params, self.recipe.clip, foreach=True)
        for scale, group in zip(self.scales, self.adamw.param_groups, strict=True):
            group["lr"] = scale * self.rate(step)
        self.adamw.step()
        stepped(step)
        self.clear()
        return norm

    def clear(self) -> None:
        """No gradients, as before a step."""
        self.adamw.zero_grad(set_to_none=True)
