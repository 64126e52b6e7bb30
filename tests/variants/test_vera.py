"""VeRA: one random pair for all layers, two trained vectors a layer."""

from __future__ import annotations

import pytest
import torch

from tests.variants.pieces import attached, far, moved, pack_against_solo
from variants import routed

UP, DOWN = "model.layers.0.mlp.up_proj", "model.layers.1.mlp.down_proj"


@pytest.mark.parametrize("rank", [8, 256])
def test_layer_formula(rank, tiny_model):
    """y = W x + b * (B (d * (A x))), in float64; the rank may exceed a layer's sides."""
    adapter = moved(attached(tiny_model, "vera", rank=rank))
    for name in (UP, DOWN):
        layer, site = tiny_model.get_submodule(name), adapter.sites[name]
        x = torch.randn(3, 5, layer.in_features)
        A, B, b, d, W = (t.double() for t in (site.A, site.B, site.b, site.d, layer.weight))
        want = x.double() @ W.T + b * ((d * (x.double() @ A.T)) @ B.T)
        with routed(tiny_model, adapter):
            assert far(layer(x), want) < 1e-6
        assert far(site.delta(layer.weight), torch.diag(b) @ B @ torch.diag(d) @ A) < 1e-6
        factors = site.factors()
        assert far(factors.scale * factors.B @ factors.A, site.delta(layer.weight)) < 1e-6
        assert factors.A.shape == (rank, layer.in_features)


def test_starts_as_the_base_with_the_papers_numbers(tiny_model, tokens):
    before = tiny_model(tokens).logits
    adapter = attached(tiny_model, "vera")
    with routed(tiny_model, adapter):
        assert torch.equal(tiny_model(tokens).logits, before)
    layers = [tiny_model.get_submodule(name) for name in adapter.adapted()]
    assert adapter.trainable() == sum(layer.out_features + 256 for layer in layers)
    for site in adapter.sites.values():
        assert not site.b.any() and (site.d == 0.1).all()
        assert set(site.trained()) == {"b", "d"}


def test_the_pair_is_stored_once(tiny_model):
    adapter = attached(tiny_model, "vera", rank=16)
    sites = list(adapter.sites.values())
    for matrix, entries in (("A", 16 * 128), ("B", 128 * 16)):  # the widest input and output are the mlp's
        views = [getattr(site, matrix) for site in sites]
        assert len({view.untyped_storage().data_ptr() for view in views}) == 1
        assert views[0].untyped_storage().nbytes() == 4 * entries
    wide = adapter.sites[DOWN].A
    assert all(torch.equal(site.A, wide[:, : site.A.shape[1]]) for site in sites)
    assert any(site.A.shape[1] < wide.shape[1] for site in sites)


def test_the_draw_is_kaiming_uniform_from_the_seed(tiny_model):
    one, again, other = (attached(tiny_model, "vera", seed).sites[DOWN] for seed in (1, 1, 2))
    assert torch.equal(one.A, again.A) and torch.equal(one.B, again.B)
    assert not torch.equal(one.A, other.A)
    wide = attached(tiny_model, "vera", 1).sites[UP].B
    for matrix, fan_in in ((one.A, 128), (wide, 256)):
        bound = (6 / fan_in) ** 0.5
        assert 0.99 * bound < matrix.abs().max() <= bound
        assert matrix.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    scaled = attached(tiny_model, "vera", 1, init_scale=3).sites[DOWN]
    torch.testing.assert_close(scaled.A, 3 * one.A)


@pytest.mark.parametrize("seeds", [(1, 1), (1, 2)])
def test_pack_and_solo_agree(seeds, tiny_model, tokens):
    """Members of other seeds have other shared matrices."""
    adapters = [moved(attached(tiny_model, "vera", seed, rank=32)) for seed in seeds]
    assert pack_against_solo(tiny_model, adapters, tokens) < 2e-5
