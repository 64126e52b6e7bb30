"""Cross-entropy in pieces against the whole: loss, every gradient, and the memory that it saves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from suite.cost import LiveTensors
from suite.training import losses
from suite.training.batches import Encoded, collate, held_out, token_losses
from tests.suite.architectures import OWN, build
from variants import registry
from variants.route import routed

PAD = 0


def rows(seed: int = 3, count: int = 6, vocabulary: int = 160) -> list[Encoded]:
    rng = torch.Generator().manual_seed(seed)
    sizes = torch.randint(6, 26, (count,), generator=rng).tolist()
    made = [torch.randint(3, vocabulary, (size,), generator=rng).tolist() for size in sizes]
    return [Encoded(tuple(ids), 4) for ids in made]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    losses._bodies.clear()
    yield
    losses._bodies.clear()


def learned(model: Any, batch: Any, params: Any, limit: int, patch: Any) -> tuple[torch.Tensor, list[Any]]:
    """Losses and gradients with at most `limit` logits at once."""
    patch.setattr(losses, "LIMIT", limit)
    weights = torch.rand(len(batch.ids), generator=torch.Generator().manual_seed(1))
    for p in params:
        p.grad = None
    found = losses.learn(model, batch, weights)
    return found, [None if p.grad is None else p.grad.clone() for p in params]


def alike(one: list[Any], two: list[Any]) -> float:
    """The largest relative difference of two lists of gradients."""
    assert [g is None for g in one] == [g is None for g in two]
    pairs = [(a, b) for a, b in zip(one, two, strict=True) if a is not None and a.norm() > 1e-5]
    assert pairs
    return max(float((a - b).norm() / a.norm()) for a, b in pairs)


@pytest.mark.parametrize("family", sorted(OWN))
def test_pieces_equal_the_whole_in_every_family(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full fine-tuning, tied or not, softcapped, scaled: each by the model's own head."""
    model = build(family).requires_grad_(True)
    batch = collate(rows(), PAD)
    whole, expected = learned(model, batch, list(model.parameters()), 1 << 30, monkeypatch)
    assert model not in losses._bodies
    pieces, found = learned(model, batch, list(model.parameters()), 160 * 7, monkeypatch)
    assert losses._bodies[model] is not None, "the pieces were not tried"
    torch.testing.assert_close(pieces, whole, rtol=1e-6, atol=1e-6)
    assert alike(expected, found) <= 1e-6


def test_the_whole_is_the_models_own_loss() -> None:
    model, batch = build("gemma2").requires_grad_(True), collate(rows(), PAD)
    labels = torch.full_like(batch.ids, losses.IGNORE)
    labels[batch.learned[0], batch.positions[tuple(batch.learned)] + 1] = batch.labels[tuple(batch.learned)]
    count = batch.learned.shape[1]
    theirs = model(input_ids=batch.ids, labels=labels).loss
    theirs.backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    found = losses.learn(model, batch, torch.full((len(batch.ids),), 1 / count))
    assert float(found.sum() / count) == pytest.approx(theirs.item(), rel=1e-6)
    assert alike(expected, [p.grad for p in model.parameters()]) <= 2e-6


@pytest.mark.parametrize(
    "spec", ["lora:rank=4,targets=all+lm_head", "peft:lora,r=4,target_modules=all-linear"]
)
@pytest.mark.parametrize("family", ["llama", "cohere"])
def test_an_adapted_head_learns_in_pieces(spec: str, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = build(family, tie_word_embeddings=False), collate(rows(), PAD)
    adapter = registry.parse(spec).attach(model, 0)
    params = [p for group in adapter.groups() for p in group.params.values()]
    for p in params:
        p.data.normal_(0, 0.1)
    with routed(model, adapter):
        whole, expected = learned(model, batch, params, 1 << 30, monkeypatch)
        pieces, found = learned(model, batch, params, 160 * 7, monkeypatch)
    assert losses._bodies[model] is not None
    torch.testing.assert_close(pieces, whole, rtol=1e-6, atol=1e-6)
    assert alike(expected, found) <= 1e-6


@pytest.mark.parametrize("targets", ["all", "all+lm_head"])
def test_members_of_a_pack_keep_their_rows(targets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = build("gemma2", tie_word_embeddings=False), collate(rows(), PAD)
    pack = [registry.parse(f"lora:rank=4,targets={targets}").attach(model, seed) for seed in range(2)]
    params = [p for one in pack for group in one.groups() for p in group.params.values()]
    for p in params:
        p.data.normal_(0, 0.1)
    with routed(model, *pack, rows=[slice(0, 4), slice(4, 6)]):
        whole, expected = learned(model, batch, params, 1 << 30, monkeypatch)
        pieces, found = learned(model, batch, params, 160 * 7, monkeypatch)
    assert losses._bodies[model] is not None
    torch.testing.assert_close(pieces, whole, rtol=1e-6, atol=1e-6)
    assert alike(expected, found) <= 1e-6
    for member, span in zip(pack, (slice(0, 4), slice(4, 6)), strict=True):
        with torch.no_grad(), routed(model, member):
            torch.testing.assert_close(token_losses(model, batch)[span], whole[span], rtol=1e-5, atol=1e-5)


def test_a_model_that_cannot_be_run_in_pieces_is_run_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its logits depend on all positions, which pieces do not show."""
    model, batch = build("llama").requires_grad_(True), collate(rows(), PAD)
    own = type(model).forward

    def forward(self: Any, **given: Any) -> Any:
        output = own(self, **given)
        output.logits = output.logits - output.logits.mean(dim=1, keepdim=True)
        return output

    monkeypatch.setattr(type(model), "forward", forward)
    params = list(model.parameters())
    whole, expected = learned(model, batch, params, 1 << 30, monkeypatch)
    pieces, found = learned(model, batch, params, 160 * 7, monkeypatch)
    assert losses._bodies[model] is None
    assert torch.equal(whole, pieces) and alike(expected, found) == 0


def test_held_out_loss_goes_in_pieces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("gemma2")
    expected = held_out(model, rows(), PAD).log_loss
    monkeypatch.setattr(losses, "LIMIT", 160 * 7)
    assert held_out(model, rows(), PAD).log_loss == pytest.approx(expected, rel=1e-6)
    assert losses._bodies[model] is not None


@pytest.mark.parametrize("learning", [True, False])
def test_the_peak_is_one_piece(learning: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary of 128k on a toy: the logits of all labels would be most of what a step holds."""
    size = 128_000
    model = build("llama", vocab_size=size, hidden_size=16, intermediate_size=16)
    batch = collate(rows(vocabulary=size), PAD)
    adapter = registry.parse("lora:rank=2").attach(model, 0)
    peaks = []
    for limit in (1 << 40, 8 * size):
        monkeypatch.setattr(losses, "LIMIT", limit)
        with routed(model, adapter), torch.set_grad_enabled(learning):
            token_losses(model, batch) if not learning else losses.learn(model, batch, torch.ones(6))
            with LiveTensors() as live:
                token_losses(model, batch) if not learning else losses.learn(model, batch, torch.ones(6))
        peaks.append(live.peak)
    labels = batch.learned.shape[1]
    logits = 4 * size * labels
    base = sum(p.numel() * 4 for p in model.parameters())
    assert peaks[0] > base + 2 * logits and labels > 40
    assert peaks[1] < base + 4.5 * 4 * size * 8
