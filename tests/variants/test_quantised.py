"""Methods on a quantised base: whose base it is, in how many bits, and where each starts on it."""

from __future__ import annotations

import pytest
import torch

from tests.variants.pieces import attached, far
from variants import VariantError, parse, routed
from variants.quantise import decode, encode


def weights(adapter, model):
    """(site, weight) of every adapted layer."""
    return [(site, model.get_submodule(name).weight.detach()) for name, site in adapter.sites.items()]


def best(matrix, rank):
    """The best approximation of this rank, in float64."""
    U, S, Vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    return U[:, :rank] * S[:rank] @ Vh[:rank]


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_qlora_stands_on_loftqs_first_base(bits, make_model):
    """Bit for bit the same Q: what differs is the start alone."""
    model, other = make_model(), make_model()
    plain = attached(model, "qlora", rank=8, bits=bits)
    aware = attached(other, "loftq", rank=8, bits=bits, iterations=1)
    for name, site in plain.sites.items():
        assert torch.equal(site.base.packed, aware.sites[name].base.packed)
        assert torch.equal(site.base.scales, aware.sites[name].base.scales)
        assert site.scale == aware.sites[name].scale == 1


@pytest.mark.parametrize("double", [False, True])
def test_qlora_starts_as_the_quantised_weight(double, tiny_model):
    adapter = attached(tiny_model, "qlora", rank=8, double_quant=double)
    assert not adapter.variant.starts_at_base
    lora = attached(tiny_model, "lora", rank=8)
    for name, site in adapter.sites.items():
        weight = tiny_model.get_submodule(name).weight.detach()
        want = decode(encode(weight, 4, double)) - weight
        torch.testing.assert_close(site.delta(weight), want, rtol=0, atol=1e-7)
        assert torch.equal(site.A, lora.sites[name].A) and not site.B.any()
        assert (site.base.second is not None) == double


@pytest.mark.parametrize("alpha", [8, 20])
def test_qpissa_decomposes_first(alpha, tiny_model):
    """One iteration: the adapter is PiSSA's start, the base the quantised rest."""
    for site, weight in weights(
        attached(tiny_model, "qpissa", rank=8, alpha=alpha, iterations=1), tiny_model
    ):
        product = site.scale * (site.B @ site.A).detach()
        assert far(product, best(weight, 8)) < 1e-4  # a flat spectrum
        assert torch.equal(site.base.dense(), decode(encode(weight - site.scale * (site.B @ site.A), 4)))


def test_qpissa_iterations_follow_each_other(tiny_model):
    """The second's adapter is the best one for what the first's base lacks; five end nearer than one."""
    one, two, five = (attached(tiny_model, "qpissa", rank=8, alpha=20, iterations=n) for n in (1, 2, 5))
    for name, site in two.sites.items():
        weight = tiny_model.get_submodule(name).weight.detach()
        lacking = weight - one.sites[name].base.dense()
        assert far(site.scale * (site.B @ site.A).detach(), best(lacking, 8)) < 1e-4
        assert five.sites[name].delta(weight).norm() < one.sites[name].delta(weight).norm()


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_starts_that_know_the_quantiser_are_nearer(bits, tiny_model):
    """LoftQ and QPiSSA leave less of W out than QLoRA does."""
    adapters = [attached(tiny_model, name, rank=16, bits=bits) for name in ("qlora", "qpissa", "loftq")]
    for name in adapters[0].sites:
        weight = tiny_model.get_submodule(name).weight.detach()
        plain, first, aware = (adapter.sites[name].delta(weight).norm() for adapter in adapters)
        assert first < 0.95 * plain and aware < 0.95 * plain, name


@pytest.mark.parametrize("name", ["qlora", "qpissa", "loftq"])
def test_mixed_precision_holds_the_first_layers_in_four_bits(name, tiny_model):
    adapter = attached(tiny_model, name, rank=4, bits=2, high_share=0.5)
    assert [site.base.bits for site in adapter.sites.values()] == [4] * 7 + [2] * 7
    for site, weight in weights(adapter, tiny_model):
        numbers = weight.numel()
        assert site.base.packed.numel() * 8 == site.base.bits * numbers
    four, two = (attached(tiny_model, name, rank=4, bits=bits) for bits in (4, 2))
    for i, (key, site) in enumerate(adapter.sites.items()):
        same = (four if i < 7 else two).sites[key]
        assert torch.equal(site.base.packed, same.base.packed) and torch.equal(site.B, same.B)


@pytest.mark.parametrize(("share", "average"), [(0.125, 2.25), (0.25, 2.5), (0.5, 3)])
def test_shares_are_the_papers_averages(share, average, make_model):
    """On eight blocks of equal layers, as the paper counts."""
    model = make_model(num_hidden_layers=8)
    adapter = attached(model, "qlora", rank=4, bits=2, high_share=share)
    numbers = sum(weight.numel() for _, weight in weights(adapter, model))
    bits = sum(site.base.bits * weight.numel() for site, weight in weights(adapter, model))
    assert bits / numbers == average


def test_a_mixed_adapter_computes_its_own_weights(tiny_model, tokens):
    adapter = attached(tiny_model, "loftq", rank=4, bits=2, high_share=0.5)
    with routed(tiny_model, adapter):
        got = tiny_model(tokens).logits
    with torch.no_grad():
        for name, delta in adapter.deltas():
            tiny_model.get_parameter(name).add_(delta)
    torch.testing.assert_close(got, tiny_model(tokens).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("qlora:bits=8", "qlora: bits must be one of 2, 3, 4, got 8"),
        ("qpissa:bits=1", "qpissa: bits must be one of 2, 3, 4, got 1"),
        ("qpissa:iterations=0", "qpissa: iterations must be 1 or more, got 0"),
        ("loftq:bits=2,high_share=1", "loftq: high_share must be 0 or more and below 1, got 1"),
        ("loftq:bits=2,high_share=-0.5", "high_share must be 0 or more and below 1, got -0.5"),
        ("loftq:high_share=0.5", "high_share=0.5 has no effect at bits=4; give 2 or 3"),
    ],
)
def test_mistakes(spec, message):
    with pytest.raises(VariantError) as caught:
        parse(spec)
    assert message in str(caught.value) and "\n" not in str(caught.value)
