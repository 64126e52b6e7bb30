"""Dense weights that quantised ones stand in for: not read in training, and out of a GPU's memory."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch

from suite.cost import LiveTensors
from variants import parking, registry
from variants.route import routed

QUANTISED = ["qlora:rank=4", "loftq:rank=4,iterations=1"]


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU passes for a GPU: what is parked is copied."""
    monkeypatch.setattr(parking, "away", lambda weight: True)
    monkeypatch.setattr(parking, "to_host", lambda weight: weight.clone())


def storages(model: Any, names: Any) -> list[Any]:
    """Weak references to the storages of these layers' weights."""
    return [weakref.ref(model.get_submodule(name).weight.data.untyped_storage()) for name in names]


def content(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(model: Any, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("spec", QUANTISED)
def test_training_reads_no_dense_weight_of_a_quantised_layer(spec: str, make_model: Any, tokens: Any) -> None:
    """The peak is below that of LoRA by what the codes save."""
    peaks = {}
    for one in ("lora:rank=4", spec):
        model = make_model(hidden_size=256, intermediate_size=512, num_hidden_layers=4)
        adapter = registry.parse(one).attach(model, 0)
        with routed(model, adapter), LiveTensors() as live:
            model(tokens, labels=tokens).loss.backward()
        peaks[one] = live.peak
        dense = sum(model.get_submodule(name).weight.numel() * 4 for name in adapter.sites)
        codes = dense // 8 + dense // 64
    largest = 4 * 256 * 512
    assert peaks["lora:rank=4"] - peaks[spec] > dense - codes - 4 * largest


@pytest.mark.parametrize("spec", QUANTISED)
def test_parked_weights_leave_and_come_back_bit_for_bit(
    spec: str, tiny_model: Any, tokens: Any, far: None
) -> None:
    before = content(tiny_model)
    with torch.no_grad():
        plain = tiny_model(tokens).logits
    adapter = registry.parse(spec).attach(tiny_model, 0)
    held = storages(tiny_model, adapter.sites)
    with torch.no_grad(), routed(tiny_model, adapter):
        first = tiny_model(tokens).logits
        assert all(ref() is None for ref in held), "a dense weight is still there"
        assert torch.equal(tiny_model(tokens).logits, first)
    assert all(tiny_model.get_submodule(name) in parking._places for name in adapter.sites)
    with torch.no_grad():
        assert torch.equal(tiny_model(tokens).logits, plain), "without adapters it is the pretrained model"
    assert not any(tiny_model.get_submodule(name) in parking._places for name in adapter.sites)
    with torch.no_grad(), routed(tiny_model, adapter):
        assert torch.equal(tiny_model(tokens).logits, first)
    assert all(delta.isfinite().all() for _, delta in adapter.deltas())
    with routed(tiny_model, adapter):
        pass
    adapter.detach()
    assert same(tiny_model, before)
    assert not any("forward" in module.__dict__ for module in tiny_model.modules())
    assert not any(module in parking._places for module in tiny_model.modules())


def test_a_member_that_needs_the_dense_weight_keeps_it(tiny_model: Any, tokens: Any, far: None) -> None:
    before = content(tiny_model)
    pack = [registry.parse(spec).attach(tiny_model, 0) for spec in ("qlora:rank=4", "lora:rank=4")]
    with torch.no_grad():
        plain = tiny_model(tokens).logits
    with torch.no_grad(), routed(tiny_model, *pack):
        found = tiny_model(tokens).logits
    torch.testing.assert_close(found[4:], plain[4:])
    held = [tiny_model.get_submodule(name).weight.data_ptr() for name in pack[0].sites]
    with torch.no_grad(), routed(tiny_model, *pack):
        assert torch.equal(tiny_model(tokens).logits, found)
    now = [tiny_model.get_submodule(name).weight.data_ptr() for name in pack[0].sites]
    assert held == now, "weights went to and fro"
    for one in pack:
        one.detach()
    assert same(tiny_model, before)


def test_another_adapter_finds_the_weights_there(tiny_model: Any, tokens: Any, far: None) -> None:
    adapter = registry.parse("qlora:rank=4").attach(tiny_model, 0)
    for spec in ("fullft", "pissa:rank=4", "peft:lora"):
        with torch.no_grad(), routed(tiny_model, adapter):
            tiny_model(tokens)
        assert any(module in parking._places for module in tiny_model.modules())
        other = registry.parse(spec).attach(tiny_model, 0)
        assert not any(module in parking._places for module in tiny_model.modules())
        other.detach()


def test_a_weight_that_stands_in_two_places_stays(make_model: Any, tokens: Any, far: None) -> None:
    model = make_model(tie_word_embeddings=True)
    adapter = registry.parse("qlora:rank=4,targets=all+lm_head").attach(model, 0)
    with torch.no_grad(), routed(model, adapter):
        model(tokens)
    assert model.lm_head not in parking._places and len(parking._places) >= len(adapter.sites) - 1
    adapter.detach()


@pytest.mark.gpu
@pytest.mark.parametrize("spec", QUANTISED)
def test_a_gpu_holds_codes_in_place_of_weights(spec: str, make_model: Any, tokens: Any) -> None:
    model = make_model(hidden_size=1024, intermediate_size=4096).cuda()
    tokens = tokens.cuda()
    before = content(model)
    adapter = registry.parse(spec).attach(model, 0)
    torch.cuda.empty_cache()
    held = torch.cuda.memory_allocated()
    dense = sum(model.get_submodule(name).weight.numel() * 4 for name in adapter.sites)
    with torch.no_grad(), routed(model, adapter):
        model(tokens)
        assert held - torch.cuda.memory_allocated() > 0.95 * dense
        assert model.model.layers[0].mlp.up_proj.weight.device.type == "cpu"
    adapter.detach()
    assert same(model, before) and {p.device.type for p in model.parameters()} == {"cuda"}
