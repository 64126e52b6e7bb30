"""peft's tuners as adapters: the base untouched outside a route, inside it peft's own numbers."""

from __future__ import annotations

import pytest
import torch
from peft import get_peft_model

from tests.variants.peft_specs import SPECS
from variants import VariantError, build, parse, routed
from variants.peft_mount import quiet


def noisy(adapter, scale=0.02):
    """The adapter away from its start, so that no gradient is zero by construction."""
    rng = torch.Generator().manual_seed(3)
    for p in params(adapter).values():
        p.data += scale * torch.randn(p.shape, generator=rng)
    return adapter


def params(adapter):
    return {key: p for group in adapter.groups() for key, p in group.params.items()}


def loss_of(model, adapter, tokens):
    loss = model(input_ids=tokens, labels=tokens).loss
    extra = adapter.penalty()
    return loss if extra is None else loss + extra


def train(model, adapter, tokens, steps=3, lr=5e-3):
    """AdamW as the suite's loop does it; gives the losses."""
    optimiser = torch.optim.AdamW(params(adapter).values(), lr=lr)
    losses = []
    adapter.begin(steps)
    for step in range(steps):
        adapter.step = step
        with routed(model, adapter):
            loss = loss_of(model, adapter, tokens)
            loss.backward()
        adapter.step = None
        losses.append(loss.item())
        optimiser.step()
        adapter.stepped(step)
        optimiser.zero_grad()
    return losses


def state(model):
    """All there is to see of a model from outside."""
    return {
        "tensors": {key: value.clone() for key, value in model.state_dict().items()},
        "modules": [(name, id(module), module.training) for name, module in model.named_modules()],
        "parameters": [(name, id(p), p.requires_grad) for name, p in model.named_parameters()],
        "attributes": [sorted(module.__dict__) for module in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
    }


def same(one, two, flags=True):
    if not flags:
        drop = [[row[:2] for row in each["parameters"]] for each in (one, two)]
        one, two = {**one, "parameters": drop[0]}, {**two, "parameters": drop[1]}
    assert list(one["tensors"]) == list(two["tensors"])
    assert all(torch.equal(value, two["tensors"][key]) for key, value in one["tensors"].items())
    assert {k: v for k, v in one.items() if k != "tensors"} == {
        k: v for k, v in two.items() if k != "tensors"
    }


@pytest.fixture
def text(tokens):
    """Rows in which the tokens that some methods adapt occur."""
    tokens = tokens[:4].clone()
    tokens[:, 3], tokens[:, 5] = 5, 7
    return tokens


@pytest.mark.parametrize("spec", SPECS)
def test_the_model_is_the_pretrained_one_outside_a_route(spec, tiny_model, text):
    before, rng = state(tiny_model), torch.get_rng_state()
    expected = tiny_model(text).logits
    adapter = parse(f"peft:{spec}").attach(tiny_model, seed=0)
    assert torch.equal(torch.get_rng_state(), rng)
    same(state(tiny_model), before, flags=False)
    assert not any(p.requires_grad for p in tiny_model.parameters())
    train(tiny_model, adapter, text)
    with pytest.raises(KeyError), routed(tiny_model, adapter):
        raise KeyError
    same(state(tiny_model), before, flags=False)
    assert torch.equal(tiny_model(text).logits, expected)
    with routed(tiny_model, adapter):
        assert not torch.equal(tiny_model(text).logits, expected)
    adapter.detach()
    same(state(tiny_model), before)
    assert torch.equal(torch.get_rng_state(), rng)


@pytest.mark.parametrize("spec", SPECS)
def test_logits_and_gradients_are_those_of_plain_peft(spec, tiny_model, make_model, text):
    variant = parse(f"peft:{spec}")
    adapter = noisy(variant.attach(tiny_model, seed=0))
    with quiet():
        plain = get_peft_model(make_model(), variant.resolved(make_model(), seed=0)).eval()
    twins = {
        name.removeprefix("base_model.").removeprefix("model.").replace(".default", ""): p
        for name, p in plain.named_parameters()
        if p.requires_grad
    }
    assert twins.keys() == params(adapter).keys()
    for name, p in params(adapter).items():
        twins[name].data.copy_(p.data)
    with routed(tiny_model, adapter):
        logits = tiny_model(text).logits
        loss_of(tiny_model, adapter, text).backward()
    plain(input_ids=text, labels=text).loss.backward()
    torch.testing.assert_close(logits, plain(text).logits, rtol=0, atol=1e-6)
    seen = 0
    for name, p in params(adapter).items():
        if p.grad is None:
            assert twins[name].grad is None or not twins[name].grad.any()
            continue
        seen += bool(p.grad.any())
        torch.testing.assert_close(p.grad, twins[name].grad, rtol=1e-5, atol=1e-7)
    assert seen


@pytest.mark.parametrize("spec", SPECS)
def test_the_same_seed_gives_the_same_bits(spec, make_model, text):
    runs = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        model = make_model()
        adapter = parse(f"peft:{spec}").attach(model, seed=0)
        start = {key: p.detach().clone() for key, p in params(adapter).items()}
        runs.append((start, train(model, adapter, text, steps=2)))
    (one, losses), (two, again) = runs
    assert losses == again
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("spec", ["vera,r=16", "fourierft,n_frequency=50", "shira,r=4", "randlora,r=8"])
def test_another_seed_draws_other_projections(spec, make_model, text):
    logits = []
    for seed in (0, 1):
        model = make_model()
        adapter = noisy(parse(f"peft:{spec}").attach(model, seed))
        with routed(model, adapter):
            logits.append(model(text).logits)
    assert not torch.allclose(*logits, atol=1e-5)


def test_a_seed_that_is_given_stays(make_model):
    variant = parse("peft:vera,r=16,projection_prng_key=7")
    assert {variant.resolved(make_model(), seed).projection_prng_key for seed in (0, 1)} == {7}


@pytest.mark.parametrize("spec", ["lora,lora_dropout=0.5", "boft,boft_dropout=0.5", "pvera,r=16"])
def test_noise_in_training_follows_seed_and_step(spec, tiny_model, text):
    adapter = noisy(parse(f"peft:{spec}").attach(tiny_model, seed=0), scale=0.1)

    def logits(step):
        adapter.step = step
        with routed(tiny_model, adapter):
            found = tiny_model(text).logits
        adapter.step = None
        return found

    rng = torch.get_rng_state()
    calm, first, second = logits(None), logits(0), logits(1)
    assert torch.equal(torch.get_rng_state(), rng)
    torch.manual_seed(99)
    assert torch.equal(logits(0), first) and torch.equal(logits(None), calm)
    assert not torch.equal(first, second) and not torch.equal(first, calm)


def test_adalora_shares_out_its_ranks(tiny_model, text):
    """From 12 to 8 on average, within the steps that the training has; the penalty is peft's own."""
    adapter = parse("peft:adalora").attach(tiny_model, seed=0)
    train(tiny_model, adapter, text, steps=10)
    config = adapter.config
    assert (config.total_step, config.tinit, config.tfinal) == (10, 1, 5)
    ranks = [int((p != 0).sum()) for key, p in params(adapter).items() if key.endswith("lora_E")]
    assert sum(ranks) == 8 * len(ranks) and len(set(ranks)) > 1
    flat = {key: p for key, p in params(adapter).items() if key.endswith(("lora_A", "lora_B"))}
    grams = [p @ p.T if key.endswith("lora_A") else p.T @ p for key, p in flat.items()]
    expected = 0.5 * sum(torch.dist(g, torch.eye(len(g))) for g in grams) / len(grams)
    torch.testing.assert_close(adapter.penalty(), expected)


def test_adalora_is_given_its_schedule(tiny_model):
    adapter = parse("peft:adalora,total_step=100,tinit=20,tfinal=40").attach(tiny_model, seed=0)
    adapter.begin(10)
    assert (adapter.config.total_step, adapter.config.tinit, adapter.config.tfinal) == (10, 2, 4)
    adapter = parse("peft:adalora,tinit=20").attach(tiny_model, seed=0)
    with pytest.raises(VariantError, match="tinit 20 and tfinal 10 leave no step of 20"):
        adapter.begin(20)


@pytest.mark.parametrize("spec", SPECS)
def test_float32_whatever_the_base(spec, make_model, text):
    counts = []
    for dtype in (torch.float32, torch.bfloat16):
        model = make_model().to(dtype)
        adapter = parse(f"peft:{spec}").attach(model, seed=0)
        assert {p.dtype for p in params(adapter).values()} == {torch.float32}
        counts.append(adapter.trainable())
        with routed(model, adapter):
            output = model(input_ids=text, labels=text)
            output.loss.backward()
        assert output.logits.dtype == dtype
        assert all(p.grad is None or p.grad.dtype == torch.float32 for p in params(adapter).values())
    assert counts[0] == counts[1]


def test_two_adapters_on_one_model_keep_apart(tiny_model, text):
    one, two = (noisy(parse("peft:loha").attach(tiny_model, seed)) for seed in (0, 1))
    with routed(tiny_model, one):
        first = tiny_model(text).logits
    with routed(tiny_model, two):
        assert not torch.equal(tiny_model(text).logits, first)
    two.detach()
    with routed(tiny_model, one):
        assert torch.equal(tiny_model(text).logits, first)


def test_a_pack_refuses_it(tiny_model):
    adapters = [parse("peft:ia3").attach(tiny_model, 0), build("lora", {}).attach(tiny_model, 0)]
    with pytest.raises(RuntimeError, match="peft cannot share a pass"), routed(tiny_model, *adapters):
        pass


def test_a_start_that_fails_leaves_nothing_behind(tiny_model):
    before = state(tiny_model)
    with pytest.raises(VariantError, match=r"peft road: .*group_size"):
        parse("peft:road,group_size=64").attach(tiny_model, seed=0)
    same(state(tiny_model), before)
