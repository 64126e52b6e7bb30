"""The member's optimiser beside torch's AdamW, clip_grad_norm_ and LambdaLR: 20 steps of equal gradients.

Ours is the fused kernel, theirs goes tensor by tensor (foreach=False, fused=False). Both round in float32 but
in another order, so that they part by a few units in the last place: measured, at every step, at most
3.5e-7 of a tensor's largest movement. The tolerance is 3e-6.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from suite.record import Recipe
from suite.training.optim import MemberOptimizer, rate_factor
from tests.parity.peers import adamw, factor, widest
from variants import Group

TOLERANCE = 3e-6
RATE = 1e-2
SHAPES = {"A": (8, 64), "B": (48, 8), "magnitude": (48,), "scalar": (1,)}
SCALES = {"A": 1.0, "B": 16.0, "magnitude": 0.25, "scalar": 1.0}
RECIPES = {
    "cosine": Recipe(steps=20, batch_size=1, schedule="cosine", warmup=0.2, clip=1.0, weight_decay=0.1),
    "linear": Recipe(steps=20, batch_size=1, schedule="linear", warmup=0.05, clip=30.0, betas=(0.8, 0.95)),
    "constant": Recipe(steps=20, batch_size=1, schedule="constant", warmup=0.0, clip=5.0, weight_decay=0.01),
}


def parameters() -> dict[str, nn.Parameter]:
    rng = torch.Generator().manual_seed(1)
    return {key: nn.Parameter(0.1 * torch.randn(shape, generator=rng)) for key, shape in SHAPES.items()}


def moved(params: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """How far each parameter is from where it started."""
    return {key: params[key].detach() - p.detach() for key, p in parameters().items()}


def gradients(steps):
    """Gradients that fall over the run: clipped at first and later not; some rows get none."""
    rng = torch.Generator().manual_seed(2)
    for step in range(steps):
        size = 2.0 ** (2 - step / 2)
        grads = {key: size * torch.randn(shape, generator=rng) for key, shape in SHAPES.items()}
        grads["B"][:5] = 0
        grads["scalar"] *= 1e-7 / size  # so small that eps is seen
        yield grads


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_twenty_steps(recipe):
    mine, other = parameters(), parameters()
    ours = MemberOptimizer([Group({k: p}, SCALES[k]) for k, p in mine.items()], recipe, RATE)
    theirs = adamw([{"params": [p], "lr": RATE * SCALES[k]} for k, p in other.items()], recipe, RATE)
    schedule = LambdaLR(theirs, factor(recipe))
    norms = []
    for step, grads in enumerate(gradients(recipe.steps)):
        for key, grad in grads.items():
            mine[key].grad, other[key].grad = grad.clone(), grad.clone()
        norm = nn.utils.clip_grad_norm_(other.values(), recipe.clip, foreach=False)
        norms.append(norm.item())
        theirs.step(), schedule.step(), theirs.zero_grad()
        assert ours.step(step).item() == pytest.approx(norms[-1], rel=1e-6)
        assert all(p.grad is None for p in mine.values())
        assert widest(moved(mine), moved(other)) < TOLERANCE, f"step {step}"
    assert min(norms) < recipe.clip < max(norms), "clipping was on and off"


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_schedule(recipe):
    """Warm-up ends at 1 and the last step is still taken."""
    mine = [rate_factor(i, recipe.steps, recipe.schedule, recipe.warmup) for i in range(recipe.steps)]
    assert mine == pytest.approx([factor(recipe)(i) for i in range(recipe.steps)], rel=1e-12)
    assert max(mine) == 1 and min(mine) > 0


def test_transformers_cosine_with_warmup():
    """Transformers' schedule reaches its last value after the last step as ours does; its warm-up begins one
    step earlier, at rate zero: its factor at step i + 1 is ours at step i while it lasts."""
    transformers = pytest.importorskip("transformers")
    recipe = RECIPES["cosine"]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, 4, recipe.steps)
    theirs = []
    for _ in range(recipe.steps):
        theirs.append(schedule.get_last_lr()[0])
        optimizer.step(), schedule.step()
    mine = [factor(recipe)(i) for i in range(recipe.steps)]
    assert theirs[0] == 0 and theirs[1:4] == pytest.approx(mine[:3])
    assert theirs[4:] == pytest.approx(mine[4:], rel=1e-9)
