"""What every low-rank variant can be told: dropout, initial scale, and what they must not change."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from variants import VariantError, parse, routed
from variants.site import LowRank, Start
from variants.starts import checked, scaled


def loss_at(model, adapters, tokens, steps, rows=None):
    """The loss of a training step: `steps` gives each adapter's step."""
    for adapter, step in zip(adapters, steps, strict=True):
        adapter.step = step
    with routed(model, *adapters, rows=rows):
        logits = model(tokens).logits
    for adapter in adapters:
        adapter.step = None
    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    return losses.view(len(tokens), -1).mean(dim=1)


def moved(model, spec, seed=0):
    adapter = parse(spec).attach(model, seed)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for site in adapter.sites.values():
            site.B.add_(0.05 * torch.randn(site.B.shape, generator=rng))
    return adapter


@pytest.mark.parametrize("name", ["lora", "pissa", "loftq", "lori-d"])
def test_dropout_is_a_draw_from_seed_phase_and_step(name, tiny_model, tokens):
    adapter = moved(tiny_model, f"{name}:rank=4,dropout=0.5")
    first = loss_at(tiny_model, [adapter], tokens, [0])
    assert torch.equal(first, loss_at(tiny_model, [adapter], tokens, [0]))
    assert not torch.equal(first, loss_at(tiny_model, [adapter], tokens, [1]))
    still = loss_at(tiny_model, [adapter], tokens, [None])
    assert not torch.equal(first, still)
    adapter.variant, plain = parse(f"{name}:rank=4"), moved(tiny_model, f"{name}:rank=4")
    assert torch.equal(still, loss_at(tiny_model, [plain], tokens, [3])), "without dropout steps are alike"


def test_dropout_keeps_the_mean():
    site = LowRank(Start(A=torch.eye(64), B=torch.eye(64)), scale=1.0, dropout=0.25)
    site.moment = (0, 0)
    x = torch.ones(500, 8, 64)
    y = site(x, torch.zeros_like(x))
    assert y.unique().tolist() == pytest.approx([0, 4 / 3])
    assert y.mean().item() == pytest.approx(1, abs=0.01)


def test_dropout_of_a_member_does_not_depend_on_its_pack(tiny_model, tokens):
    """Two alike are computed together; steps of their own; each draws as it does alone."""
    specs = [("lora:rank=4,dropout=0.5", 0), ("lora:rank=4,dropout=0.5", 1), ("lora:rank=4", 2)]
    adapters = [moved(tiny_model, spec, seed) for spec, seed in specs]
    rows = [slice(0, 3), slice(3, 6), slice(6, 8)]
    together = loss_at(tiny_model, adapters, tokens, [5, 9, 5], rows)
    for adapter, span, step in zip(adapters, rows, [5, 9, 5], strict=True):
        alone = loss_at(tiny_model, [adapter], tokens[span], [step])
        torch.testing.assert_close(together[span], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["lora", "lori-d", "pissa", "loftq"])
def test_initial_scale(name, tiny_model, tokens):
    """A times c; where the start's product is not zero, it stays."""
    one = parse(f"{name}:rank=4").attach(tiny_model, 0)
    three = parse(f"{name}:rank=4,init_scale=3").attach(tiny_model, 0)
    for key, site in three.sites.items():
        torch.testing.assert_close(site.A, 3 * one.sites[key].A)
        torch.testing.assert_close(site.B @ site.A, one.sites[key].B @ one.sites[key].A)
    with routed(tiny_model, one):
        want = tiny_model(tokens).logits
    with routed(tiny_model, three):
        torch.testing.assert_close(tiny_model(tokens).logits, want, rtol=0, atol=1e-5)


def test_scale_is_the_same_with_and_without_the_root_at_matching_alpha(tiny_model):
    plain = parse("lora:rank=4,alpha=8").attach(tiny_model, 0)
    root = parse("lora:rank=4,alpha=4,rslora=true").attach(tiny_model, 0)
    for key, site in plain.sites.items():
        assert site.scale == root.sites[key].scale == 2


def test_initial_scale_of_a_start_whose_a_is_zero():
    """What is not zero is scaled: with A zero that is B."""
    start = scaled(Start(A=torch.zeros(2, 3), B=torch.ones(4, 2)), 3)
    assert not start.A.any() and torch.equal(start.B, torch.full((4, 2), 3.0))


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ((torch.zeros(2, 3), torch.zeros(4, 2)), "must give a Start(A, B), got tuple"),
        (Start(torch.zeros(3, 2), torch.zeros(4, 2)), "A [r, 3], B [4, r]"),
        (Start(torch.zeros(2, 3), torch.zeros(4, 1)), "got A [2, 3] and B [4, 1]"),
        (Start(torch.zeros(2, 3), torch.zeros(4, 2), trains=("A", "b")), "trains may name 'A' and 'B'"),
        (Start(torch.full((2, 3), torch.nan), torch.zeros(4, 2)), "not finite"),
    ],
)
def test_a_start_that_cannot_be_is_refused_by_name(start, told):
    with pytest.raises(VariantError) as caught:
        checked(parse("lora"), start, torch.zeros(4, 3))
    assert told in str(caught.value) and "\n" not in str(caught.value)
