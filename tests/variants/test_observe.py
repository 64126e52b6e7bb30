"""Looking at examples: what is seen is exact, and looking leaves no trace."""

from __future__ import annotations

import weakref

import pytest
import torch

from tests.variants.pieces import calibration, far, seen_inputs, weight_gradients
from variants import Calibration, VariantError, observe, parse
from variants.targets import select

DATA_DRIVEN = ["eva", "lora-ga", "corda"]


@pytest.fixture
def layers(tiny_model):
    return select(tiny_model)


def test_moments(tiny_model, layers, tokens):
    found = observe.inputs(tiny_model, layers, calibration(tiny_model, tokens))
    for name, examples in seen_inputs(tiny_model, layers, tokens).items():
        rows = torch.cat(examples)
        assert found[name].count == len(rows) and found[name].examples == len(examples) == 8
        assert far(found[name].square, rows.T @ rows) < 1e-12
        assert far(found[name].covariance(), torch.cov(rows.T, correction=0)) < 1e-12


def test_gradients(make_model, layers, tokens):
    """1e-5: float32 against a float64 copy, whose norms and softmax stay float32."""
    model = make_model().requires_grad_(False)
    found = observe.gradients(model, layers, calibration(model, tokens))
    want = weight_gradients(make_model().double(), layers, tokens)
    for name in layers:
        assert found[name].dtype == torch.float32
        assert far(found[name], want[name]) < 1e-5, name


def test_gradients_of_a_head_that_is_tied(make_model, tokens):
    """The head's own use of the shared weight counts, not the embedding's."""
    model = make_model(tie_word_embeddings=True)
    found = observe.gradients(model, select(model, "lm_head"), calibration(model, tokens))["lm_head"]
    both = weight_gradients(model, ["lm_head"], tokens)["lm_head"]
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    own = weight_gradients(model, ["lm_head"], tokens)["lm_head"]
    assert far(found, own) < 1e-4 < far(both, own)


@pytest.mark.parametrize("look", [observe.inputs, observe.gradients])
def test_a_row_is_let_go_before_the_next(look, tiny_model, layers, tokens):
    """What a layer gave out in a row is not kept: memory does not grow with the examples."""
    given, alive = [], []
    for name in layers:
        tiny_model.get_submodule(name).register_forward_hook(lambda _, args, y: given.append(weakref.ref(y)))

    def losses():
        for loss in calibration(tiny_model, tokens).losses():
            yield loss
            alive.append(sum(y() is not None for y in given))

    look(tiny_model, layers, Calibration(losses))
    assert len(given) == 8 * 14 and len(alive) == 8
    assert max(alive) <= 14 and alive[-1] == alive[1]


def traces(model):
    """Everything about a model that looking at it could leave changed."""
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()
    ]
    flags = [(p.requires_grad, p.grad is None) for p in model.parameters()]
    return hooks, flags, [m.training for m in model.modules()], [m.__dict__.keys() for m in model.modules()]


@pytest.mark.parametrize("name", DATA_DRIVEN)
@pytest.mark.parametrize("breaks", [False, True])
def test_looking_leaves_no_trace(name, breaks, tiny_model, tokens):
    """Also when a loss raises: no hook, flags, modes, gradients and global draws as before."""
    tiny_model.train()
    tiny_model.model.layers[1].eval()
    tiny_model.model.embed_tokens.weight.requires_grad_(False)
    state = {key: value.clone() for key, value in tiny_model.state_dict().items()}
    before, draws = traces(tiny_model), torch.get_rng_state()

    def losses():
        for i, loss in enumerate(calibration(tiny_model, tokens).losses()):
            if breaks and i == 2:
                raise RuntimeError("the third row is bad")
            yield loss

    if breaks:
        with pytest.raises(RuntimeError, match="third row"):
            parse(f"{name}:rank=4").attach(tiny_model, 0, Calibration(losses))
    else:
        parse(f"{name}:rank=4").attach(tiny_model, 0, Calibration(losses)).detach()
    assert traces(tiny_model) == before
    assert torch.equal(torch.get_rng_state(), draws)
    assert all(torch.equal(value, state[key]) for key, value in tiny_model.state_dict().items())


@pytest.mark.parametrize("name", DATA_DRIVEN)
def test_nothing_to_look_at(name, tiny_model):
    with pytest.raises(VariantError, match="attach it with a calibration"):
        parse(f"{name}:rank=4").attach(tiny_model, 0)
    with pytest.raises(VariantError, match="no examples to start from"):
        parse(f"{name}:rank=4").attach(tiny_model, 0, Calibration(lambda: iter(())))
    assert all(p.requires_grad for p in tiny_model.parameters())
