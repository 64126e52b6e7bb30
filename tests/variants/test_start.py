"""Where each variant starts: the base's function, or for LoftQ nearer to it than plain quantising."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests.variants.pieces import calibration
from variants import LowRank, build, names, routed
from variants.quantise import decode, encode

EXACT = ["lora", "pissa", "lori-d", "lori-s", "fullft"]
SMALL = {"rank": 8}


def variant(name, **settings):
    return build(name, {} if name in ("fullft", "peft") else {**SMALL, **settings})


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_starts_as_the_base(name, dtype, tiny_model, tokens):
    model = tiny_model.to(dtype)
    before = model(tokens).logits
    adapter = variant(name).attach(model, seed=1)
    with routed(model, adapter):
        after = model(tokens).logits
    assert after.dtype == dtype
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", names())
def test_same_seed_bit_equal_other_seed_not(name, make_model, tokens):
    def params(seed):
        model = make_model()
        adapter = variant(name).attach(model, seed, calibration(model, tokens))
        state = {f"{n}.{k}": t for n, s in adapter.sites.items() for k, t in s.state_dict().items()}
        return {**state, **{k: p.detach() for g in adapter.groups() for k, p in g.params.items()}}

    one, again, other = params(1), params(1), params(2)
    assert all(torch.equal(one[k], again[k]) for k in one)
    if name in ("lora", "lori-d", "lori-s"):
        assert not all(torch.equal(one[k], other[k]) for k in one)
        q, k = "model.layers.0.self_attn.q_proj.A", "model.layers.1.self_attn.q_proj.A"
        assert q in one and not torch.equal(one[q], one[k]), "layers draw apart from each other"


@pytest.mark.parametrize("name", ["lora", "lori-d"])
def test_random_start_is_the_uniform_law(name, tiny_model):
    adapter = variant(name, rank=32, targets="down_proj").attach(tiny_model, seed=3)
    for site in adapter.sites.values():
        assert isinstance(site, LowRank)
        bound = 128**-0.5  # d_in of down_proj
        assert site.A.abs().max() <= bound
        assert site.A.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)
        assert abs(site.A.mean().item()) < 0.05 * bound
        assert not site.B.any()


def test_layer_formula(tiny_model):
    """y = W x + (alpha / r) B (A x), written out."""
    name = "model.layers.1.mlp.up_proj"
    layer = tiny_model.get_submodule(name)
    adapter = variant("lora", alpha=24).attach(tiny_model, seed=1)
    site = adapter.sites[name]
    torch.nn.init.normal_(site.B)
    x = torch.randn(3, 5, 64)
    with routed(tiny_model, adapter):
        y = layer(x)
    by_hand = x @ layer.weight.T + (24 / 8) * (x @ site.A.T) @ site.B.T
    torch.testing.assert_close(y, by_hand, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(site.delta(layer.weight), 3.0 * site.B @ site.A)


@pytest.mark.parametrize("alpha", [8, 20])
def test_pissa_starts_on_the_principal_part(alpha, tiny_model):
    """s*B0*A0 is the best rank-8 approximation (Eckart-Young: its error is the tail of the spectrum)."""
    adapter = variant("pissa", alpha=alpha).attach(tiny_model, seed=1)
    for name, site in adapter.sites.items():
        weight = tiny_model.get_submodule(name).weight.detach()
        tail = torch.linalg.svdvals(weight)[8:].square().sum().sqrt()
        error = (weight - site.scale * site.B @ site.A).norm()
        assert error.item() == pytest.approx(tail.item(), rel=1e-4)
        torch.testing.assert_close(site.A @ site.A.T, site.B.T @ site.B, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("bits", "alpha"), [(2, 8), (3, 8), (4, 8), (4, 32)])
def test_loftq_is_nearer_than_plain_quantising_on_every_layer(bits, alpha, tiny_model):
    adapter = variant("loftq", bits=bits, alpha=alpha).attach(tiny_model, seed=1)
    assert len(adapter.sites) == 14
    for name, site in adapter.sites.items():
        weight = tiny_model.get_submodule(name).weight.detach()
        plain = (decode(encode(weight, bits)) - weight).norm()
        ours = site.delta(weight).norm()
        assert ours < 0.95 * plain, f"{name}: {ours:.4f} against {plain:.4f}"


def test_loftq_one_iteration_is_qlora_with_an_svd_of_its_error(tiny_model):
    adapter = variant("loftq", iterations=1).attach(tiny_model, seed=1)
    for name, site in adapter.sites.items():
        weight = tiny_model.get_submodule(name).weight.detach()
        quantised = decode(encode(weight, 4))
        assert torch.equal(site.base.dense(), quantised)
        tail = torch.linalg.svdvals(weight - quantised)[8:].square().sum().sqrt()
        assert site.delta(weight).norm().item() == pytest.approx(tail.item(), rel=1e-4)


def test_loftq_iterations_follow_each_other(tiny_model):
    """The second quantises what the first's adapter does not hold; five end nearer than one."""
    one, two, five = (variant("loftq", iterations=n, alpha=20).attach(tiny_model, seed=1) for n in (1, 2, 5))
    for name, site in one.sites.items():
        weight = tiny_model.get_submodule(name).weight.detach()
        quantised = decode(encode(weight - 20 / 8 * site.B @ site.A, 4))
        same = torch.isclose(two.sites[name].base.dense(), quantised, rtol=1e-4, atol=1e-5)
        assert same.float().mean() > 0.99, "up to a number that lies between two codes"
        assert five.sites[name].delta(weight).norm() < site.delta(weight).norm(), name


def test_loftq_layer_computes_its_own_weight(make_model, tokens):
    """The function is (Q + s*B A) x + bias, and the pretrained product is not computed."""
    model = make_model(attention_bias=True)
    name = "model.layers.0.self_attn.q_proj"
    layer = model.get_submodule(name)
    torch.nn.init.normal_(layer.bias)
    adapter = variant("loftq").attach(model, seed=1)
    x = torch.randn(2, 3, 64)
    want = F.linear(x, layer.weight + adapter.sites[name].delta(layer.weight), layer.bias)

    def refuse(_):
        raise AssertionError("the pretrained product was computed")

    with routed(model, adapter):
        layer.forward.shared = refuse
        got = layer(x)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
