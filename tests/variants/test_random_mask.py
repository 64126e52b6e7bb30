"""The random mask: LoRI-S in everything but the choice of the entries."""

from __future__ import annotations

import pytest
import torch

from tests.variants.pieces import attached, pack_against_solo
from variants import VariantError, lori, parse, routed


def train(model, adapter, tokens, steps=4):
    params = [p for g in adapter.groups() for p in g.params.values()]
    optimiser = torch.optim.AdamW(params, lr=1e-2, weight_decay=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        with routed(model, adapter):
            model(input_ids=tokens, labels=tokens).loss.backward()
        optimiser.step()


def masks(adapter):
    return [site.mask for site in adapter.sites.values()]


@pytest.mark.parametrize("sparsity", [0.5, 0.9, 0.99])
def test_exactly_k_of_one_pool(sparsity, tiny_model):
    adapter = attached(tiny_model, "random-mask", seed=1, rank=8, sparsity=sparsity)
    total = sum(site.B.numel() for site in adapter.sites.values())
    kept = int((1 - sparsity) * total)
    assert sum(int(mask.sum()) for mask in masks(adapter)) == kept == adapter.trainable()
    assert adapter.variant.phases == 1


def test_the_pool_is_the_model_and_not_a_layer(tiny_model):
    """A layer's count varies with the seed as a draw from the whole pool does; the total never does."""
    counts = torch.tensor(
        [
            [int(m.sum()) for m in masks(attached(tiny_model, "random-mask", seed=seed, rank=8))]
            for seed in range(60)
        ]
    ).double()
    sizes = [site.B.numel() for site in attached(tiny_model, "random-mask", rank=8).sites.values()]
    sizes = torch.tensor(sizes).double()
    assert (counts.sum(dim=1) == counts[0].sum()).all()
    share = counts[0].sum() / sizes.sum()
    spread = (sizes * share * (1 - share) * (1 - sizes / sizes.sum())).sqrt()  # hypergeometric
    assert ((counts.mean(dim=0) - share * sizes).abs() < 4 * spread / 60**0.5).all()
    assert ((counts.std(dim=0) / spread - 1).abs() < 0.35).all()


def test_every_entry_is_equally_likely(tiny_model):
    drawn = [
        masks(attached(tiny_model, "random-mask", seed=seed, rank=2, targets="k_proj"))[0]
        for seed in range(400)
    ]
    often = torch.stack(drawn).double().mean(dim=0)
    assert often.mean().item() == pytest.approx(0.1, abs=0.01)
    assert often.min() > 0.02 and often.max() < 0.18


def test_same_a_as_lori_and_b_from_zero(tiny_model):
    one, lori_s = (attached(tiny_model, name, seed=3, rank=8) for name in ("random-mask", "lori-s"))
    for name, site in one.sites.items():
        assert torch.equal(site.A, lori_s.sites[name].A)
        assert not site.A.requires_grad and not site.B.any()
    assert one.variant.scale == lori_s.variant.scale


def test_the_mask_is_the_only_difference_to_lori_s(tiny_model, tokens, monkeypatch):
    """LoRI-S given this mask after its dense phase ends bit for bit where one phase of the control does."""
    control = attached(tiny_model, "random-mask", seed=3, rank=8)
    lori_s = attached(tiny_model, "lori-s", seed=3, rank=8)
    train(tiny_model, lori_s, tokens)
    dense = [site.B.clone() for site in lori_s.sites.values()]
    monkeypatch.setattr(lori, "largest", lambda tensors, sparsity: masks(control))
    lori_s.enter(1)
    train(tiny_model, lori_s, tokens)
    train(tiny_model, control, tokens)
    for site, other, found in zip(control.sites.values(), lori_s.sites.values(), dense, strict=True):
        assert torch.equal(site.B, other.B) and site.B.any()
        assert not torch.equal(site.B, found)
        assert not site.B[~site.mask].any()
        assert site.B[site.mask].all(), "every entry inside the mask moved"


def test_seeds(tiny_model):
    one, again, other = (masks(attached(tiny_model, "random-mask", seed=s, rank=8)) for s in (1, 1, 2))
    assert all(map(torch.equal, one, again)) and not all(map(torch.equal, one, other))


def test_pack_and_solo_agree(tiny_model, tokens):
    adapters = [attached(tiny_model, "random-mask", seed, rank=8) for seed in (1, 2)]
    assert pack_against_solo(tiny_model, adapters, tokens) < 2e-5


def test_sparsity_out_of_range():
    with pytest.raises(VariantError, match="random-mask: sparsity must lie between 0 and 1, got 1"):
        parse("random-mask:sparsity=1")
    with pytest.raises(VariantError, match="unknown setting 'fresh_a'"):
        parse("random-mask:fresh_a=true")
