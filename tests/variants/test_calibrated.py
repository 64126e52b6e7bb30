"""Data-driven starts: what is made of the examples. How they are looked at is in test_observe.py."""

from __future__ import annotations

import pytest
import torch

from tests.variants.pieces import attached, far, moved, pack_against_solo, seen_inputs, weight_gradients
from variants import Calibration, VariantError, parse, routed
from variants.eva import shared_out
from variants.targets import select

DATA_DRIVEN = ["eva", "lora-ga", "corda"]


@pytest.fixture
def layers(tiny_model):
    return select(tiny_model)


@pytest.mark.parametrize("rho", [1, 2, 3.5])
def test_eva_directions_and_ranks(rho, tiny_model, layers, tokens):
    adapter = attached(tiny_model, "eva", shown=tokens, rank=4, alpha=8, rho=rho)
    spectra = {}
    for name, examples in seen_inputs(tiny_model, layers, tokens).items():
        rows = torch.cat(examples)
        _, S, Vh = torch.linalg.svd(rows - rows.mean(dim=0), full_matrices=False)
        spectra[name] = (S.square() / S.square().sum())[: round(4 * rho)], Vh
    cut = torch.cat([shares for shares, _ in spectra.values()]).sort(descending=True).values[4 * 14 - 1]
    ranks = {name: len(site.A) for name, site in adapter.sites.items()}
    assert sum(ranks.values()) == 4 * 14
    assert max(ranks.values()) <= 4 * rho and (rho > 1 or set(ranks.values()) == {4})
    for name, (shares, Vh) in spectra.items():
        rank = ranks.get(name, 0)
        assert int((shares > cut * (1 + 1e-9)).sum()) <= rank <= int((shares > cut * (1 - 1e-9)).sum())
        if rank:
            site = adapter.sites[name]
            agree = (site.A.double() * Vh[:rank]).sum(dim=1).abs()
            assert (agree > 1 - 1e-5).all(), name
            assert (site.A.gather(1, site.A.abs().argmax(dim=1, keepdim=True)) > 0).all()
            assert not site.B.any() and site.scale == 2
    assert len(set(ranks.values())) > 1 or rho == 1


def test_eva_leaves_a_layer_without_rank_alone(tiny_model, layers, tokens):
    adapter = moved(attached(tiny_model, "eva", shown=tokens, rank=1))
    assert sum(len(site.A) for site in adapter.sites.values()) == 14
    left = [name for name in layers if name not in adapter.sites]
    assert left and adapter.adapted() == [name for name in layers if name in adapter.sites]
    layer = tiny_model.get_submodule(left[0])
    x = torch.randn(2, 3, layer.in_features)
    before = layer(x)
    with routed(tiny_model, adapter):
        assert torch.equal(layer(x), before)
    assert pack_against_solo(tiny_model, [adapter, moved(attached(tiny_model, "lora", 5))], tokens) < 2e-5


def test_ranks_are_shared_out_by_the_largest_shares():
    shares = [torch.tensor([0.5, 0.3]), torch.tensor([0.9, 0.3]), torch.tensor([0.2, 0.1])]
    assert shared_out(shares, 3) == [2, 1, 0], "the last tie goes to the earlier layer"
    assert shared_out(shares, 6) == [2, 2, 2]
    assert shared_out([*shares, torch.tensor([0.0, -1e-18])], 8) == [2, 2, 2, 0], "nothing varies there"


class Routed(torch.nn.Module):
    """Two layers side by side, as experts are: what a row does not need is given no token, or not called."""

    def __init__(self):
        super().__init__()
        self.used, self.empty, self.never = (torch.nn.Linear(8, 8) for _ in range(3))

    def forward(self, x):
        return self.used(x).square().mean() + self.empty(x[:0]).sum()


@pytest.mark.parametrize("name", DATA_DRIVEN)
def test_a_layer_that_sees_no_token_is_left_alone(name):
    model = Routed()
    rows = torch.randn(5, 20, 8, generator=torch.Generator().manual_seed(1))
    adapter = parse(f"{name}:rank=2,targets=used+empty+never").attach(
        model, 0, Calibration(lambda: (model(row) for row in rows))
    )
    site = adapter.sites.pop("used")
    assert not adapter.sites and site.A.isfinite().all() and site.A.any()
    assert len(site.A) == (4 if name == "eva" else 2)


def test_lora_ga_takes_two_sets_of_the_gradients_directions(make_model, layers, tokens):
    model = make_model()
    adapter = attached(model, "lora-ga", shown=tokens, rank=4, gamma=9)
    assert adapter.variant.scale == 2
    for name, gradient in weight_gradients(make_model().double(), layers, tokens).items():
        site, c = adapter.sites[name], len(gradient) ** 0.25 / 3
        U, _, Vh = torch.linalg.svd(gradient)
        for mine, theirs in ((site.A, Vh[:4]), (site.B.T, U.T[4:8])):
            agree = (mine.double() * theirs).sum(dim=1).abs() / c
            assert (agree - 1).abs().max() < 1e-4, name
        assert torch.equal(site.A, site.A0) and torch.equal(site.B, site.B0)


@pytest.mark.parametrize("mode", ["ipm", "kpm"])
@pytest.mark.parametrize("alpha", [4, 12])
def test_corda_is_the_oriented_svd(mode, alpha, tiny_model, layers, tokens):
    """Against the paper's own form, with the inverse, in float64: product and balance of the factors."""
    adapter = attached(tiny_model, "corda", shown=tokens, rank=4, alpha=alpha, mode=mode)
    for name, examples in seen_inputs(tiny_model, layers, tokens).items():
        C = sum((x / x.max().abs()).T @ (x / x.max().abs()) for x in examples) / len(examples)
        C = C + 0.01 * C.diagonal().mean() * torch.eye(len(C))
        U, S, Vh = torch.linalg.svd(tiny_model.get_submodule(name).weight.double() @ C, full_matrices=False)
        part = slice(0, 4) if mode == "ipm" else slice(len(S) - 4, len(S))
        root, site = (S[part] / (alpha / 4)).sqrt(), adapter.sites[name]
        A, B = root[:, None] * (Vh[part] @ C.inverse()), U[:, part] * root
        assert far(site.B @ site.A, B @ A) < 1e-5, name
        assert far(site.A.norm(dim=1), A.norm(dim=1)) < 1e-5
        assert far(site.B.norm(dim=0), B.norm(dim=0)) < 1e-5


def test_corda_on_a_weight_that_lacks_rank():
    """Directions that the weight does not have start at zero and not at nan."""
    variant = parse("corda:rank=3,mode=kpm")
    weight, C = torch.zeros(6, 8), torch.eye(8, dtype=torch.float64)
    weight[0, 0] = 1
    start = variant.start_from(weight, C, torch.Generator())
    assert start.A.isfinite().all() and start.A.abs().max() < 1e-6 and start.B.abs().max() < 1e-6


@pytest.mark.parametrize("name", ["eva", "corda"])
def test_a_layer_that_is_given_zeros_is_left_alone(name, tiny_model, tokens):
    with torch.no_grad():
        tiny_model.model.layers[1].mlp.up_proj.weight.zero_()
    adapter = attached(tiny_model, name, shown=tokens, rank=4)
    assert "model.layers.1.mlp.down_proj" not in adapter.sites and len(adapter.sites) >= 12
    assert all(p.isfinite().all() for g in adapter.groups() for p in g.params.values())


@pytest.mark.parametrize("name", DATA_DRIVEN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_starts_as_the_base(name, dtype, tiny_model, tokens):
    model = tiny_model.to(dtype)
    before = model(tokens).logits
    adapter = attached(model, name, shown=tokens, rank=8)
    with routed(model, adapter):
        torch.testing.assert_close(model(tokens).logits, before, rtol=0, atol=1e-6)
    assert all(p.dtype == torch.float32 for g in adapter.groups() for p in g.params.values())
    with routed(model, moved(adapter)):
        assert (model(tokens).logits - before).abs().max() > 1e-2


@pytest.mark.parametrize("name", DATA_DRIVEN)
def test_equal_examples_and_seed_give_equal_bits(name, make_model, tokens):
    def start(shown, seed=1):
        sites = attached(make_model(), name, seed, shown, rank=4).sites
        return {f"{n}.{k}": t for n, site in sites.items() for k, t in site.state_dict().items()}

    one, again, other = start(tokens), start(tokens), start(tokens.flip(1))
    assert one.keys() == again.keys() and all(torch.equal(one[key], again[key]) for key in one)
    assert any(key not in other or not torch.equal(one[key], other[key]) for key in one)


def test_pack_and_solo_agree(tiny_model, tokens):
    adapters = [moved(attached(tiny_model, name, i, tokens, rank=4)) for i, name in enumerate(DATA_DRIVEN)]
    adapters.append(moved(attached(tiny_model, "lora", 7, rank=4)))
    assert pack_against_solo(tiny_model, adapters, tokens) < 2e-5


def test_defaults_are_the_papers():
    assert parse("eva").rho == 2 and parse("eva").scale == 1
    assert parse("lora-ga").gamma == 16 and parse("lora-ga:rank=8").alpha == 16
    assert parse("corda").mode == "ipm" and parse("corda").scale == 1
    assert {parse(name).calibration_rows for name in DATA_DRIVEN} == {16}
    assert parse("lora").calibration_rows == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("eva:rho=0.5", "eva: rho must be 1 or more, got 0.5"),
        ("eva:examples=0", "eva: examples must be 1 or more, got 0"),
        ("lora-ga:gamma=0", "lora-ga: gamma must be above 0, got 0"),
        ("corda:mode=both", "corda: mode must be ipm or kpm, got 'both'"),
    ],
)
def test_mistakes_in_a_spec(spec, message):
    with pytest.raises(VariantError, match=message):
        parse(spec)


def test_what_a_model_cannot_give(tiny_model):
    with pytest.raises(VariantError, match=r"rank 17 takes 34 directions .*k_proj; at most 16"):
        parse("lora-ga:rank=17").check(tiny_model)
    parse("lora-ga:rank=16").check(tiny_model)
    with pytest.raises(VariantError, match="only linear"):
        parse("eva:targets=all+embed_tokens").check(tiny_model)
