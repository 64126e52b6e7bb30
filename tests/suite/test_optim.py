"""Schedules against their closed forms, and one member's AdamW against torch's own with torch's own clip."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from suite.record import Recipe
from suite.training.optim import MemberOptimizer, rate_factor
from variants.interface import Group


@pytest.mark.parametrize("step", [0, 4, 9])
def test_warmup_rises_by_equal_parts_to_one(step: int) -> None:
    assert rate_factor(step, 200, "cosine", 0.05) == pytest.approx((step + 1) / 10)


@pytest.mark.parametrize("step", [10, 57, 199])
def test_after_warmup_each_schedule_is_its_formula(step: int) -> None:
    done = (step - 10) / 190
    assert rate_factor(step, 200, "constant", 0.05) == 1
    assert rate_factor(step, 200, "linear", 0.05) == pytest.approx(1 - done)
    assert rate_factor(step, 200, "cosine", 0.05) == pytest.approx((1 + math.cos(math.pi * done)) / 2)


def test_every_step_of_a_schedule_moves() -> None:
    for schedule in ("cosine", "linear", "constant"):
        for steps in (1, 2, 7):
            for warmup in (0.0, 0.5, 1.0):
                factors = [rate_factor(step, steps, schedule, warmup) for step in range(steps)]
                assert all(0 < factor <= 1 for factor in factors), (schedule, steps, warmup, factors)


def test_a_member_equals_torch_adamw_with_clip_and_scaled_groups() -> None:
    recipe = Recipe(steps=6, batch_size=1, schedule="linear", warmup=0.3, clip=0.5, weight_decay=0.1)
    start = [torch.randn(3, 4), torch.randn(5)]
    ours = [nn.Parameter(value.clone()) for value in start]
    theirs = [nn.Parameter(value.clone()) for value in start]
    member = MemberOptimizer([Group({"a": ours[0]}), Group({"b": ours[1]}, lr_scale=4.0)], recipe, 0.01)
    adamw = torch.optim.AdamW([{"params": [p]} for p in theirs], weight_decay=0.1)
    for step in range(6):
        gradients = [torch.randn_like(value) * 3 for value in start]
        for params in (ours, theirs):
            for p, gradient in zip(params, gradients, strict=True):
                p.grad = gradient.clone()
        norm = member.step(step)
        assert float(norm) == pytest.approx(math.hypot(*(float(g.norm()) for g in gradients)), rel=1e-5)
        nn.utils.clip_grad_norm_(theirs, 0.5)
        for scale, group in zip((1.0, 4.0), adamw.param_groups, strict=True):
            group["lr"] = 0.01 * scale * rate_factor(step, 6, "linear", 0.3)
        adamw.step()
        assert all(p.grad is None for p in ours)
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference)


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing trains"):
        MemberOptimizer([Group({})], Recipe(steps=1, batch_size=1), 0.1)
