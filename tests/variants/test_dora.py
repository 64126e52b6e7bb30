"""DoRA: the rescaled rows, the norm as a constant, and norms that are never stale."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests.variants.pieces import attached, far, moved
from variants import merge, routed

NAME = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def biased(make_model):
    model = make_model(attention_bias=True)
    with torch.no_grad():
        model.get_submodule(NAME).bias.normal_()
    return model


def by_hand(site, weight, x, bias=None):
    """m * (W + s*B A) / |W + s*B A| of every row, the norm a constant; x times that."""
    sum_ = weight.detach() + site.scale * site.B @ site.A
    gain = site.magnitude / sum_.detach().norm(dim=1)
    return F.linear(x, gain[:, None] * sum_, bias)


def test_magnitudes_start_as_the_rows_norms(tiny_model):
    for name, site in attached(tiny_model, "dora", rank=4).sites.items():
        weight = tiny_model.get_submodule(name).weight.detach()
        torch.testing.assert_close(site.magnitude.detach(), weight.norm(dim=1), rtol=1e-6, atol=0)


def test_function_and_gradients_are_the_formula(biased):
    layer = biased.get_submodule(NAME)
    adapter = moved(attached(biased, "dora", rank=4, alpha=6, targets="q_proj"), 0.2)
    site = adapter.sites[NAME]
    x = torch.randn(3, 5, 64, requires_grad=True)
    with routed(biased, adapter):
        y = layer(x)
    want = by_hand(site, layer.weight, x, layer.bias)
    assert far(y.detach(), want.detach()) < 1e-6
    grad = torch.randn_like(y)
    learned = [x, site.A, site.B, site.magnitude]
    mine, theirs = torch.autograd.grad(y, learned, grad), torch.autograd.grad(want, learned, grad)
    for one, two in zip(mine, theirs, strict=True):
        assert far(one, two) < 1e-5


def test_a_norm_with_a_gradient_would_be_another_method(biased):
    """The check above can fail: with the norm inside the graph A's gradient is another."""
    layer = biased.get_submodule(NAME)
    site = moved(attached(biased, "dora", rank=4, alpha=6, targets="q_proj"), 0.2).sites[NAME]
    x, grad = torch.randn(3, 5, 64), torch.randn(3, 5, 64)
    sum_ = layer.weight.detach() + site.scale * site.B @ site.A
    whole = F.linear(x, (site.magnitude / sum_.norm(dim=1))[:, None] * sum_)
    one, two = (torch.autograd.grad(y, site.A, grad)[0] for y in (whole, by_hand(site, layer.weight, x)))
    assert far(one, two) > 0.01


def test_dropout_sees_what_is_added_only(biased):
    """y + (W' - W) drop(x): the pretrained output keeps the whole input."""
    layer = biased.get_submodule(NAME)
    adapter = moved(attached(biased, "dora", rank=4, dropout=0.5, targets="q_proj"), 0.2)
    site = adapter.sites[NAME]
    x = torch.randn(3, 5, 64)
    adapter.step = 2
    with routed(biased, adapter):
        y, dropped = layer(x), site.drop(x)
    assert not torch.equal(dropped, x)
    plain = F.linear(x, layer.weight, layer.bias)
    want = plain + by_hand(site, layer.weight, dropped) - F.linear(dropped, layer.weight)
    assert far(y.detach(), want.detach()) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_are_those_of_the_dense_sum(dtype, tiny_model):
    model = tiny_model.to(dtype)
    adapter = moved(attached(model, "dora", rank=8), 0.3)
    for name, site in adapter.sites.items():
        weight = model.get_submodule(name).weight.detach().double()
        dense = (weight + site.scale * site.B.double() @ site.A.double()).norm(dim=1)
        assert far(site.norms(), dense) < 1e-6


def test_norms_follow_every_step(tiny_model, tokens):
    """A fused step between two passes without gradients: what was kept is not used again."""
    adapter = attached(tiny_model, "dora", rank=4)
    params = [p for group in adapter.groups() for p in group.params.values()]
    optimiser = torch.optim.AdamW(params, lr=0.05, fused=True)
    for _ in range(2):
        with torch.no_grad(), routed(tiny_model, adapter):
            logits = tiny_model(tokens).logits
            assert all(site.norms() is site.norms() for site in adapter.sites.values()), "kept meanwhile"
        twin = {
            n: by_hand(s, tiny_model.get_submodule(n).weight, torch.eye(s.A.shape[1])).T
            for n, s in adapter.sites.items()
        }
        for name, merged in merge(adapter).items():
            torch.testing.assert_close(merged, twin[name.removesuffix(".weight")].detach(), rtol=0, atol=1e-5)
        with routed(tiny_model, adapter):
            F.cross_entropy(tiny_model(tokens).logits.flatten(0, 1), tokens.flatten()).backward()
        optimiser.step()
        optimiser.zero_grad()
        with torch.no_grad(), routed(tiny_model, adapter):
            assert (tiny_model(tokens).logits - logits).abs().max() > 1e-3


def test_merged_weights_compute_the_same(make_model, tokens):
    model, twin = make_model(), make_model()
    adapter = moved(attached(model, "dora", rank=4), 0.1)
    twin.load_state_dict(merge(adapter), strict=False)
    with routed(model, adapter):
        torch.testing.assert_close(model(tokens).logits, twin(tokens).logits, rtol=0, atol=1e-4)
    for site in adapter.sites.values():
        found = site.factors()
        assert found is not None and torch.equal(found.magnitude, site.magnitude)
        assert torch.equal(found.A, site.A) and torch.equal(found.B, site.B) and found.scale == 8


def test_a_row_of_zeros_stays_finite(tiny_model, tokens):
    with torch.no_grad():
        tiny_model.get_submodule(NAME).weight[3].zero_()
    before = tiny_model(tokens).logits
    adapter = attached(tiny_model, "dora", rank=4)
    with routed(tiny_model, adapter):
        assert torch.equal(tiny_model(tokens).logits, before)
        moved(adapter)
        assert tiny_model(tokens).logits.isfinite().all()


def test_the_weight_is_the_models_own(biased):
    """No copy of it, and none in what is saved."""
    for name, site in attached(biased, "dora", rank=4).sites.items():
        assert site.weight.data_ptr() == biased.get_submodule(name).weight.data_ptr()
        assert set(site.state_dict()) == {"A", "B", "magnitude"}
