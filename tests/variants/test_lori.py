"""LoRI's two phases: one model-wide mask of exactly k entries, B trained inside it from zero."""

from __future__ import annotations

import pytest
import torch

from variants import build, routed
from variants.lori import largest


def train(model, adapter, tokens, steps=4, decay=0.1):
    params = [p for g in adapter.groups() for p in g.params.values()]
    optimiser = torch.optim.AdamW(params, lr=1e-2, weight_decay=decay)
    for _ in range(steps):
        optimiser.zero_grad()
        with routed(model, adapter):
            model(input_ids=tokens, labels=tokens).loss.backward()
        optimiser.step()


@pytest.fixture
def entered(tiny_model, tokens):
    """lori-s after its dense phase: (model, adapter, its |B| by site, its A by site)."""

    def enter(**settings):
        adapter = build("lori-s", {"rank": 8, "alpha": 16, **settings}).attach(tiny_model, seed=4)
        adapter.enter(0)
        train(tiny_model, adapter, tokens)
        dense = {name: site.B.detach().abs().clone() for name, site in adapter.sites.items()}
        before = {name: site.A.detach().clone() for name, site in adapter.sites.items()}
        adapter.enter(1)
        return tiny_model, adapter, dense, before

    return enter


def test_only_b_trains_and_counts(tiny_model):
    adapter = build("lori-d", {"rank": 8}).attach(tiny_model, seed=0)
    d_out = sum(tiny_model.get_submodule(n).out_features for n in adapter.adapted())
    assert adapter.trainable() == 8 * d_out
    assert all(key.endswith(".B") for g in adapter.groups() for key in g.params)


def test_mask_is_the_models_largest_k(entered):
    _, adapter, dense, _ = entered()
    masks = {name: site.mask for name, site in adapter.sites.items()}
    total = sum(b.numel() for b in dense.values())
    kept = int((1 - 0.9) * total)
    assert sum(int(m.sum()) for m in masks.values()) == kept == adapter.trainable()
    inside = min(dense[n][m].min() for n, m in masks.items() if m.any())
    outside = max(dense[n][~m].max() for n, m in masks.items())
    assert inside >= outside
    shares = [m.float().mean().item() for m in masks.values()]
    assert max(shares) - min(shares) > 0.02, "one pool for the model, not a share per layer"


def test_b_restarts_at_zero_and_stays_zero_outside(entered, tokens):
    model, adapter, _, before = entered()
    for name, site in adapter.sites.items():
        assert not site.B.any()
        assert torch.equal(site.A, before[name])
        assert not site.A.requires_grad
    train(model, adapter, tokens, steps=5)
    for site in adapter.sites.values():
        assert not site.B[~site.mask].any()
        assert site.B[site.mask].all(), "every entry inside the mask moved"


def test_fresh_a_draws_anew(entered):
    _, adapter, _, before = entered(fresh_a=True)
    for name, site in adapter.sites.items():
        assert not torch.equal(site.A, before[name])
        assert site.A.abs().max() <= site.A.shape[1] ** -0.5
        assert not site.A.requires_grad


def test_ties_go_to_the_earlier_entry():
    masks = largest([torch.tensor([[1.0, -2.0], [1.0, 0.0]]), torch.tensor([[1.0, 3.0]])], sparsity=0.5)
    assert masks[0].tolist() == [[True, True], [False, False]]
    assert masks[1].tolist() == [[False, True]]


def test_phases_out_of_range(tiny_model):
    adapter = build("lori-s", {"rank": 8}).attach(tiny_model, seed=0)
    with pytest.raises(ValueError, match=r"phases 0\.\.1, got 2"):
        adapter.enter(2)
