"""Full fine-tuning: a trained copy in the model's place, ties kept, the pretrained weights untouched."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from variants import build, routed


def step(model, adapter, tokens):
    params = [p for g in adapter.groups() for p in g.params.values()]
    optimiser = torch.optim.SGD(params, lr=0.5)
    with routed(model, adapter):
        model(input_ids=tokens, labels=tokens).loss.backward()
    optimiser.step()


@pytest.mark.parametrize("tied", [False, True])
def test_trains_like_training_the_model_itself(tied, make_model, tokens):
    model, twin = make_model(tie_word_embeddings=tied), make_model(tie_word_embeddings=tied)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    adapter = build("fullft", {}).attach(model, seed=0)
    assert adapter.trainable() == sum(p.numel() for p in twin.parameters())
    step(model, adapter, tokens)
    twin(input_ids=tokens, labels=tokens).loss.backward()
    torch.optim.SGD(twin.parameters(), lr=0.5).step()
    with routed(model, adapter):
        assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
        assert torch.equal(model(tokens).logits, twin(tokens).logits)
    adapter.detach()
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied


def test_deltas_inside_and_outside_a_route(tiny_model, make_model, tokens):
    adapter = build("fullft", {}).attach(tiny_model, seed=0)
    step(tiny_model, adapter, tokens)
    outside = dict(adapter.deltas())
    with routed(tiny_model, adapter):
        inside = dict(adapter.deltas())
    assert outside.keys() == dict(tiny_model.named_parameters()).keys()
    assert all(torch.equal(outside[k], inside[k]) and outside[k].any() for k in outside)


@pytest.mark.parametrize("tied", [False, True])
def test_export_loads_as_a_plain_model(tied, make_model, tokens, tmp_path):
    model = make_model(tie_word_embeddings=tied)
    adapter = build("fullft", {}).attach(model, seed=0)
    step(model, adapter, tokens)
    folder = adapter.export(tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(folder).eval()
    with routed(model, adapter):
        torch.testing.assert_close(loaded(tokens).logits, model(tokens).logits, rtol=0, atol=1e-6)
