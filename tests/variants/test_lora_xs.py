"""LoRA-XS: R between frozen singular directions, the singular values on the side of the input."""

from __future__ import annotations

import pytest
import torch

from tests.variants.pieces import attached, far, gradients, moved, pack_against_solo
from variants import VariantError, parse, routed

NAME = "model.layers.1.mlp.up_proj"


def test_layer_formula(tiny_model):
    """W x + s * U_r R S_r V_r^T x, by a float64 SVD; signs of directions are R's to turn.

    1e-3, because float32 directions of a random weight, whose singular values lie close, are off by 4e-5.
    """
    adapter = moved(attached(tiny_model, "lora-xs", rank=8, alpha=12), noise=0.3)
    layer, site = tiny_model.get_submodule(NAME), adapter.sites[NAME]
    U, S, Vh = torch.linalg.svd(layer.weight.double(), full_matrices=False)
    U, S, Vh = U[:, :8], S[:8], Vh[:8]
    signs = (site.B.double() * U).sum(dim=0).sign()
    core = signs[:, None] * site.R.double() * signs
    x = torch.randn(3, 5, 64)
    want = x.double() @ (layer.weight.double() + 1.5 * U @ core @ torch.diag(S) @ Vh).T
    with routed(tiny_model, adapter):
        assert far(layer(x), want) < 1e-3
    factors = site.factors()
    assert far(factors.scale * factors.B @ factors.A, site.delta(layer.weight)) < 1e-6
    other = 1.5 * U @ torch.diag(S) @ core @ Vh
    assert far(site.delta(layer.weight), other) > 0.05, "values on the output's side are another method"


def test_only_r_trains(tiny_model):
    adapter = attached(tiny_model, "lora-xs", rank=8)
    assert adapter.trainable() == 14 * 64
    assert all(set(site.trained()) == {"R"} for site in adapter.sites.values())
    cores = torch.cat([site.R.flatten() for site in adapter.sites.values()])
    assert cores.std().item() == pytest.approx(1e-5, rel=0.1)
    assert abs(cores.mean().item()) < 2e-6


def test_the_start_is_close_to_the_base_and_on_it_at_sigma_0(tiny_model, tokens):
    before = tiny_model(tokens).logits

    def off(**settings):
        adapter = attached(tiny_model, "lora-xs", rank=8, **settings)
        with routed(tiny_model, adapter):
            return (tiny_model(tokens).logits - before).abs().max().item()

    assert not parse("lora-xs").starts_at_base
    assert off() < 1e-4
    assert off(sigma=0) == 0 < off(sigma=0.1)


def test_r_has_a_gradient_at_zero(tiny_model, tokens):
    """s * U_r^T G V_r S_r for the weight's gradient G, whatever R."""
    adapter = attached(tiny_model, "lora-xs", rank=8, alpha=16, sigma=0)
    (found,) = gradients(tiny_model, [adapter], tokens)
    adapter.detach()
    tiny_model.requires_grad_(True)
    tiny_model(tokens, labels=tokens).loss.backward()
    site = adapter.sites[NAME]
    G = tiny_model.get_submodule(NAME).weight.grad
    assert far(found[f"{NAME}.R"], 2 * site.B.T @ G @ site.A.T) < 1e-4


def test_pack_and_solo_agree(tiny_model, tokens):
    adapters = [moved(attached(tiny_model, "lora-xs", seed, rank=8), noise=0.3) for seed in (1, 2)]
    assert pack_against_solo(tiny_model, adapters, tokens) < 2e-5


def test_sigma_below_zero():
    with pytest.raises(VariantError, match="sigma must be 0 or more, got -1"):
        parse("lora-xs:sigma=-1")
