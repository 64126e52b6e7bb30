"""Inference beside and merged: the model is what it was, and what stands in its place is the trained one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from suite import latency as timing
from suite.effect import logits
from suite.latency import ROUNDS, TOKENS, latency, merged
from variants import parking, registry
from variants.route import routed

IDS = torch.tensor([list(range(3, 23))])


def moved(model: Any, spec: str) -> Any:
    """An adapter that has left its start."""
    adapter = registry.parse(spec).attach(model, 0)
    with torch.no_grad():
        for group in adapter.groups():
            for p in group.params.values():
                p.add_(0.02 * torch.randn_like(p))
    return adapter


@pytest.mark.parametrize("spec", ["lora:rank=4", "loftq:rank=4", "fullft", "peft:ia3"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_model_is_bit_for_bit_what_it_was(spec: str, tied: bool, make_model: Any) -> None:
    model = make_model(tie_word_embeddings=tied)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    adapter = moved(model, spec)
    own = {name: p.data_ptr() for name, p in model.named_parameters()}
    trained = [p.clone() for group in adapter.groups() for p in group.params.values()]
    found = latency(model, IDS, adapter)
    assert found.tokens == 20 and found.merged is not None
    for times in (found.base, found.adapter, found.merged):
        assert 0 < times.token_ms < times.prompt_ms * 50 and times.prompt_ms > 0
    assert {name: p.data_ptr() for name, p in model.named_parameters()} == own
    assert all(torch.equal(p, q) for p, q in zip(trained, _params(adapter), strict=True))
    adapter.detach()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def _params(adapter: Any) -> Iterator[torch.Tensor]:
    for group in adapter.groups():
        yield from group.params.values()


@pytest.mark.parametrize("spec", ["lora:rank=4,targets=all+lm_head", "loftq:rank=4", "dora", "fullft"])
def test_what_is_timed_as_merged_computes_what_the_adapter_does(spec: str, make_model: Any) -> None:
    model = make_model(tie_word_embeddings=True)
    adapter = moved(model, spec)
    weights = merged(adapter)
    assert weights is not None
    base, beside = logits(model, IDS), logits(model, IDS, adapter)
    assert (beside - base).abs().max() > 1e-3
    with timing._in_place(adapter, weights), torch.no_grad():
        torch.testing.assert_close(model(input_ids=IDS).logits[0], beside, rtol=1e-4, atol=1e-5)
    with timing._in_place(adapter, {}):
        assert torch.equal(model(input_ids=IDS).logits[0], base)


def test_medians_of_all_rounds_but_the_first(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three take turns: a warm-up, the text, and its first token; here each forward takes its number."""
    seen: list[tuple[int, bool]] = []

    def counted(model: Any, ids: torch.Tensor) -> float:
        seen.append((ids.numel(), "forward" in model.model.layers[0].mlp.up_proj.__dict__))
        return float(len(seen))

    monkeypatch.setattr(timing, "_forward_ms", counted)
    found = latency(tiny_model, IDS, moved(tiny_model, "lora:rank=4"))
    turn = 2 + TOKENS
    assert seen[: 3 * turn] == [
        (n, adapted) for adapted in (False, True, False) for n in (1, 20, *[1] * TOKENS)
    ]
    assert len(seen) == 3 * turn * ROUNDS
    middle = 3 * turn * (1 + (ROUNDS - 2) // 2)  # forwards before the middle one of the rounds that count
    assert ROUNDS % 2 == 0 and found.base.prompt_ms == middle + 2
    assert found.adapter.prompt_ms == middle + turn + 2
    assert found.merged is not None and found.merged.token_ms == middle + 2 * turn + 3.5


def test_what_has_no_deltas_or_does_not_fit_is_not_merged(
    tiny_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = moved(tiny_model, "peft:ia3")
    assert merged(adapter) is not None

    def full(_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(timing, "merge", full)
    assert latency(tiny_model, IDS, adapter).merged is None
    monkeypatch.undo()
    adapter.detach()
    biases = moved(tiny_model, "peft:beft")  # on layers that have none
    assert merged(biases) is None and latency(tiny_model, IDS, biases).merged is None


def test_another_fault_of_merging_is_not_hidden(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(timing, "merge", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        latency(tiny_model, IDS, moved(tiny_model, "lora:rank=4"))


def test_weights_that_wait_elsewhere_are_back_in_their_turn(
    tiny_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where a quantised adapter sends the dense weights away: the CPU passes for one."""
    monkeypatch.setattr(parking, "away", lambda weight: True)
    monkeypatch.setattr(parking, "to_host", lambda weight: weight.clone())
    adapter, parked = moved(tiny_model, "qlora:rank=4"), []

    def counted(model: Any, ids: torch.Tensor) -> float:
        parked.append(sum(layer in parking._places for layer in model.modules()))
        return 1.0

    monkeypatch.setattr(timing, "_forward_ms", counted)
    latency(tiny_model, IDS, adapter)
    turn = 2 + TOKENS
    assert parked == [count for count in (0, len(adapter.sites), 0) for _ in range(turn)] * ROUNDS


def test_dropout_is_off(tiny_model: Any) -> None:
    adapter = moved(tiny_model, "lora:rank=4,dropout=0.5")
    with routed(tiny_model, adapter), torch.no_grad():
        one, two = (tiny_model(input_ids=IDS).logits for _ in range(2))
    assert torch.equal(one, two)
