"""Routing and taking off: who owns which rows, and a base that is never changed."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests.variants.pieces import calibration
from variants import build, merge, names, parse, routed

MIXED = [
    "lora:rank=4,alpha=8",
    "lora:rank=8,alpha=8",
    "lora:rank=8,alpha=8",
    "lora:rank=8,alpha=24",
    "pissa:rank=8,alpha=12",
    "loftq:rank=8,alpha=8",
    "lori-d:rank=8,alpha=16",
    "lora:rank=8,targets=q_proj+v_proj",
]


def attach(model, spec, seed=0, noise=0.02):
    """An adapter away from its start, so that no gradient is zero by construction."""
    adapter = parse(spec).attach(model, seed)
    rng = torch.Generator().manual_seed(seed + 100)
    with torch.no_grad():
        for group in adapter.groups():
            for p in group.params.values():
                p.add_(noise * torch.randn(p.shape, generator=rng))
    return adapter


def mean_loss(logits, ids):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def gradients(model, adapters, batches, rows=None):
    """Gradients of every member for the sum of the members' own mean losses, in one pass."""
    at, spans = 0, []
    for batch in batches:
        spans.append(slice(at, at + len(batch)))
        at += len(batch)
    with routed(model, *adapters, rows=rows or spans):
        logits = model(torch.cat(batches)).logits
        sum(mean_loss(logits[s], b) for s, b in zip(spans, batches, strict=True)).backward()
    found = []
    for adapter in adapters:
        params = {k: p for g in adapter.groups() for k, p in g.params.items()}
        found.append({k: p.grad.clone() for k, p in params.items()})
        for p in params.values():
            p.grad = None
    return found


def distance(one, two):
    """Largest difference between two sets of gradients, relative to the largest gradient of its tensor."""
    assert one.keys() == two.keys()
    return max(((one[k] - two[k]).abs().max() / two[k].abs().max()).item() for k in one)


def mixed_pack(model):
    rng = torch.Generator().manual_seed(5)
    adapters = [attach(model, spec, seed=i) for i, spec in enumerate(MIXED)]
    sizes = [2, 1, 1, 1, 3, 2, 1, 2]
    return adapters, [torch.randint(3, 256, (n, 10), generator=rng) for n in sizes]


def test_pack_and_solo_agree(tiny_model):
    adapters, batches = mixed_pack(tiny_model)
    packed = gradients(tiny_model, adapters, batches)
    for adapter, batch, together in zip(adapters, batches, packed, strict=True):
        (alone,) = gradients(tiny_model, [adapter], [batch])
        assert distance(together, alone) < 2e-5, adapter.variant


def test_swapped_rows_do_not_agree(tiny_model):
    """The check above can fail: two members with each other's rows have other gradients."""
    adapters, batches = mixed_pack(tiny_model)
    one, two = gradients(tiny_model, adapters[1:3], batches[1:3])
    swapped = gradients(tiny_model, adapters[1:3], batches[1:3], rows=[slice(1, 2), slice(0, 1)])
    assert distance(swapped[0], one) > 0.1
    assert distance(swapped[1], two) > 0.1


def test_equal_split_is_the_same_as_naming_the_rows(tiny_model, tokens):
    pair = [attach(tiny_model, "lora:rank=4", seed=s) for s in (1, 2)]
    with routed(tiny_model, *pair):
        implied = tiny_model(tokens).logits
    with routed(tiny_model, *pair, rows=[slice(0, 4), slice(4, 8)]):
        named = tiny_model(tokens).logits
    assert torch.equal(implied, named)
    for adapter, rows in zip(pair, (slice(0, 4), slice(4, 8)), strict=True):
        with routed(tiny_model, adapter):
            torch.testing.assert_close(tiny_model(tokens[rows]).logits, implied[rows], rtol=1e-4, atol=1e-5)


def test_rows_nobody_owns_see_the_base(tiny_model, tokens):
    before = tiny_model(tokens).logits
    adapter = attach(tiny_model, "loftq:rank=4")
    with routed(tiny_model, adapter, rows=[slice(2, 5)]):
        logits = tiny_model(tokens).logits
    free = [0, 1, 5, 6, 7]
    torch.testing.assert_close(logits[free], before[free], rtol=1e-4, atol=1e-5)
    assert (logits[2:5] - before[2:5]).abs().max() > 1e-3


@pytest.mark.parametrize("name", [name for name in names() if name != "peft"])  # test_peft_adapter.py has it
def test_base_is_never_changed(name, make_model, tokens):
    """After training: the same state_dict keys and bits, the same function outside a route, flags back."""
    model = make_model()
    model.model.embed_tokens.weight.requires_grad_(False)
    flags = [p.requires_grad for p in model.parameters()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    before = model(tokens).logits
    variant = build(name, {} if name == "fullft" else {"rank": 4})
    adapter = variant.attach(model, 0, calibration(model, tokens))
    assert not any(p.requires_grad for p in model.parameters())
    for phase in range(adapter.variant.phases):
        adapter.enter(phase)
        params = [p for g in adapter.groups() for p in g.params.values()]
        optimiser = torch.optim.AdamW(params, lr=1e-2)
        for _ in range(2):
            optimiser.zero_grad()
            with routed(model, adapter):
                mean_loss(model(tokens).logits, tokens).backward()
            optimiser.step()
    with routed(model, adapter):
        assert list(model.state_dict()) == list(state)
        assert (model(tokens).logits - before).abs().max() > 1e-3, "training changed nothing"
    assert torch.equal(model(tokens).logits, before)
    adapter.detach()
    adapter.detach()
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == flags
    assert not any("forward" in module.__dict__ for module in model.modules())


def test_flags_come_back_with_the_last_adapter(tiny_model):
    one, two = attach(tiny_model, "lora"), attach(tiny_model, "pissa")
    one.detach()
    assert not any(p.requires_grad for p in tiny_model.parameters())
    two.detach()
    assert all(p.requires_grad for p in tiny_model.parameters())


@pytest.mark.parametrize("spec", ["lora:rank=4", "pissa:rank=4", "loftq:rank=4", "lori-d:rank=4"])
def test_deltas_are_what_the_layers_compute(spec, make_model, tokens):
    """W + delta, merged into a second model, computes what the route computes; generate() too."""
    model, twin = make_model(), make_model()
    adapter = attach(model, spec)
    twin.load_state_dict(merge(adapter), strict=False)
    with routed(model, adapter):
        torch.testing.assert_close(model(tokens).logits, twin(tokens).logits, rtol=1e-4, atol=1e-4)
        written = model.generate(tokens[:2, :4], max_new_tokens=6, do_sample=False)
    assert torch.equal(written, twin.generate(tokens[:2, :4], max_new_tokens=6, do_sample=False))


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_keeps_the_gradients(reentrant, tiny_model):
    adapters, batches = mixed_pack(tiny_model)
    plain = gradients(tiny_model, adapters, batches)
    tiny_model.train()
    tiny_model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    tiny_model.enable_input_require_grads()
    calls = []
    tiny_model.model.layers[0].mlp.up_proj.register_forward_hook(lambda *_: calls.append(1))
    checkpointed = gradients(tiny_model, adapters, batches)
    assert len(calls) == 2, "computed once more in the backward"
    assert all(distance(a, b) < 1e-6 for a, b in zip(checkpointed, plain, strict=True))


def test_routes_do_not_nest(tiny_model, tokens):
    one, two = attach(tiny_model, "lora:rank=4"), attach(tiny_model, "pissa:rank=4")
    with routed(tiny_model, one), pytest.raises(RuntimeError, match="do not nest"), routed(tiny_model, two):
        pass
    with pytest.raises(ZeroDivisionError), routed(tiny_model, one):
        _ = 1 / 0
    with routed(tiny_model, two):
        tiny_model(tokens)


def test_impossible_routes(make_model, tokens):
    model, other = make_model(), make_model()
    one, two = attach(model, "lora:rank=4"), attach(model, "pissa:rank=4")
    full = build("fullft", {}).attach(model, 0)
    for adapters, rows, message in [
        ((one, two), [slice(0, 4)], "2 adapters"),
        ((one, two), [slice(0, 4), slice(3, 8)], "overlap"),
        ((one,), [slice(None)], "start and a stop"),
        ((one, full), None, "cannot share"),
    ]:
        with pytest.raises(RuntimeError, match=message), routed(model, *adapters, rows=rows):
            pass
    with pytest.raises(RuntimeError, match="another model"), routed(other, one):
        pass
    with pytest.raises(RuntimeError, match="split equally"), routed(model, one, two):
        model(tokens[:3])
    with pytest.raises(RuntimeError, match="the batch has 3"), routed(model, one, rows=[slice(0, 4)]):
        model(tokens[:3])
    one.detach()
    with pytest.raises(RuntimeError, match="no model any more"), routed(model, one):
        pass


def test_a_route_without_adapters_is_the_base(tiny_model, tokens):
    before = tiny_model(tokens).logits
    with routed(tiny_model):
        assert torch.equal(tiny_model(tokens).logits, before)
