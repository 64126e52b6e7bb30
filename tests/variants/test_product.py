"""The adapted product with its own backward against the same formula left to autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from variants import product
from variants.dropout import dropped, numbered


def formula(x: Any, weight: Any, bias: Any, A: Any, B: Any, scale: float) -> torch.Tensor:
    y = F.linear(x, weight, bias)
    return (y.float() + scale * (x.float() @ A.T) @ B.T).to(y.dtype)


def by_added(x: Any, weight: Any, bias: Any, A: Any, B: Any, scale: float) -> torch.Tensor:
    return product.added(x, F.linear(x, weight, bias), A, B, scale)


def inputs(dtype: torch.dtype, biased: bool) -> list[Any]:
    """x, weight, bias, A, B of one layer."""
    rng = torch.Generator().manual_seed(0)
    shapes = ((2, 5, 12), (9, 12), (9,), (3, 12), (9, 3))
    x, weight, bias, A, B = (torch.randn(shape, generator=rng) for shape in shapes)
    return [x.to(dtype), weight.to(dtype), bias.to(dtype) if biased else None, A, B]


@pytest.mark.parametrize("trains", [(0, 3, 4), (0, 4), (3, 4), (4,), (0, 3)])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("way", [product.linear, by_added])
def test_outputs_and_gradients_are_those_of_the_formula(
    way: Any, biased: bool, trains: tuple[int, ...]
) -> None:
    found = []
    for one in (way, formula):
        given = inputs(torch.float32, biased)
        for i in trains:
            given[i].requires_grad_()
        y = one(*given, 0.7)
        (y * torch.arange(y.numel()).view(y.shape).cos()).sum().backward()
        found.append([y.detach(), *(given[i].grad for i in trains)])
        assert all(given[i] is None or given[i].grad is None for i in range(5) if i not in trains)
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("way", [product.linear, by_added])
def test_on_a_bfloat16_layer_it_rounds_once(way: Any) -> None:
    """As the formula in float32 does: the adapter's own gradients stay float32."""
    found = []
    for one in (way, formula):
        given = inputs(torch.bfloat16, True)
        for i in (0, 3, 4):
            given[i].requires_grad_()
        y = one(*given, 0.7)
        y.float().square().sum().backward()
        assert (y.dtype, given[0].grad.dtype, given[3].grad.dtype) == (
            torch.bfloat16,
            torch.bfloat16,
            torch.float32,
        )
        found.append([y.detach(), given[0].grad, given[3].grad, given[4].grad])
    for mine, theirs in zip(*found, strict=True):
        assert float((mine - theirs).abs().max()) <= 1e-2 * float(theirs.abs().max())
    assert torch.equal(found[0][0], found[1][0])


@pytest.mark.parametrize("biased", [True, False])
def test_y_is_given_up_only_where_it_is_nobody_elses(biased: bool) -> None:
    x, weight, bias, A, B = inputs(torch.float32, biased)
    whole = F.linear(x, weight, bias)
    expected = whole.clone()
    product.added(x[:1], whole[:1], A, B, 1.0)
    assert torch.equal(whole, expected), "a view was written to"


def test_two_halves_hold_sixteen_bits() -> None:
    x = torch.randn(1000)
    high, low = product._split(x, torch.bfloat16)
    assert float(((high.float() + low.float() - x) / x).abs().max()) < 2**-16


def test_autocast_leaves_the_adapter_in_float32() -> None:
    x, weight, bias, A, B = inputs(torch.float32, True)
    A.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = product.linear(x, weight, bias, A, B, 0.7)
        y.float().sum().backward()
    assert y.dtype == torch.bfloat16 and A.grad is not None and A.grad.dtype == torch.float32


@pytest.mark.gpu
def test_a_gpu_multiplies_narrow_matrices_into_wide_ones() -> None:
    assert product._mixes(torch.device("cuda", 0), torch.bfloat16)
    found = []
    for way in (product.linear, by_added, formula):
        given = [None if x is None else x.cuda() for x in inputs(torch.bfloat16, True)]
        for i in (0, 3, 4):
            given[i].requires_grad_()
        y = way(*given, 0.7)
        y.float().square().sum().backward()
        found.append([y.detach(), given[0].grad, given[3].grad, given[4].grad])
    for mine in found[:2]:
        for a, b in zip(mine, found[2], strict=True):
            assert float((a - b).abs().max()) <= 1e-2 * float(b.abs().max())


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5, 0.9])
def test_dropout_drops_its_share_of_independent_entries(share: float) -> None:
    rows, places = torch.arange(64)[:, None].expand(64, 64), torch.arange(64).expand(64, 64)
    numbers = numbered(rows, places)
    assert len(numbers.unique()) == 64 * 64
    x = torch.ones(64, 64, 48)
    gone = [(dropped(x, share, numbers, "layer", step) == 0).double() for step in range(2)]
    near = 4 * (share * (1 - share) / x.numel()) ** 0.5
    assert abs(float(gone[0].mean()) - share) < near
    for other in (gone[1], gone[0].roll(1, 0), gone[0].roll(1, 1), gone[0].roll(1, 2)):
        both = float((gone[0] * other).mean())
        assert abs(both - share**2) < 5 * (share**2 / x.numel()) ** 0.5
    assert float(dropped(x, share, numbers, "layer", 0).max()) == pytest.approx(1 / (1 - share))


def test_dropout_knows_a_token_wherever_it_stands() -> None:
    numbers = numbered(torch.arange(6)[:, None].expand(6, 8), torch.arange(8).expand(6, 8))
    x = torch.randn(6, 8, 16)
    whole = dropped(x, 0.4, numbers, "a")
    assert torch.equal(dropped(x[2:4, :5], 0.4, numbers[2:4, :5], "a"), whole[2:4, :5])
    assert torch.equal(dropped(x.flatten(0, 1), 0.4, numbers, "a").view(x.shape), whole)
    assert not torch.equal(dropped(x, 0.4, numbers, "b"), whole)
