"""Tokens, order and loss of batches: against Hugging Face's own loss, and its masked forward."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from suite.training.batches import (
    IGNORE,
    Encoded,
    collate,
    encode,
    encode_all,
    held_out,
    losses_and_hits,
    order,
    row_mean,
    token_losses,
)
from tasks.interface import Example

PAD = 0
ROWS = [Encoded(tuple(range(1, 1 + n)), first) for n, first in ((13, 5), (30, 22), (7, 1), (21, 20))]


def padded_labels(batch: Any, rows: list[Encoded]) -> torch.Tensor:
    """What Hugging Face calls labels: the ids, IGNORE on prompt and padding."""
    labels = torch.full_like(batch.ids, IGNORE)
    for b, row in enumerate(rows):
        labels[b, row.first : len(row.ids)] = torch.tensor(row.ids[row.first :])
    return labels


def test_only_response_and_end_of_text_are_learned(tokenizer: PreTrainedTokenizerFast) -> None:
    row = encode(Example("ab", " cd"), tokenizer, 99, "response")
    assert row is not None
    assert tokenizer.decode(row.ids[: row.first]) == "ab"
    assert tokenizer.decode(row.ids[row.first :]) == " cd<eos>"
    whole = encode(Example("ab", " cd"), tokenizer, 99, "all")
    assert whole is not None and whole.first == 1 and whole.ids == row.ids


def test_what_is_too_long_is_cut_from_the_right(tokenizer: PreTrainedTokenizerFast) -> None:
    row = encode(Example("abcd", "efgh"), tokenizer, 6, "response")
    assert row is not None and tokenizer.decode(row.ids) == "abcdef" and row.first == 4
    assert encode(Example("abcd", "efgh"), tokenizer, 4, "response") is None
    with pytest.raises(ValueError, match="all 2 examples have prompts of 4 tokens or more"):
        encode_all([Example("abcd", "efgh")] * 2, tokenizer, 4, "response")


def test_the_order_of_the_data_is_fixed() -> None:
    first = list(itertools.islice(order(10, 4, (0, "math")), 6))
    assert first == list(itertools.islice(order(10, 4, (0, "math")), 6))
    assert first != list(itertools.islice(order(10, 4, (1, "math")), 6))
    assert first != list(itertools.islice(order(10, 4, (0, "code")), 6))
    # Written down once: whoever changes the order changes every number of every cell.
    assert first[0] == [0, 1, 8, 7]
    stream = list(itertools.chain.from_iterable(itertools.islice(order(10, 4, (0, "math")), 5)))
    assert sorted(stream[:10]) == sorted(stream[10:]) == list(range(10))
    assert stream[:10] != stream[10:]


def test_a_batch_larger_than_the_data_takes_several_epochs() -> None:
    batch = next(order(3, 6, (0, "x")))
    assert sorted(batch) == [0, 0, 1, 1, 2, 2]


def test_rows_are_padded_to_a_multiple_of_eight() -> None:
    batch = collate(ROWS, PAD)
    assert batch.ids.shape == (4, 32)
    assert batch.labels.shape == (4, 8)
    assert batch.tokens == 13 + 30 + 7 + 21


def test_loss_equals_hugging_face_with_mask_and_labels(tiny_model: Any) -> None:
    batch = collate(ROWS, PAD)
    mask = torch.zeros_like(batch.ids)
    for b, row in enumerate(ROWS):
        mask[b, : len(row.ids)] = 1
    theirs = tiny_model(input_ids=batch.ids, attention_mask=mask, labels=padded_labels(batch, ROWS)).loss
    ours = row_mean(token_losses(tiny_model, batch), batch.labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_gradients_equal_hugging_face(tiny_model: Any) -> None:
    batch = collate(ROWS, PAD)
    weight = tiny_model.model.layers[0].self_attn.q_proj.weight
    theirs = tiny_model(input_ids=batch.ids, labels=padded_labels(batch, ROWS)).loss
    (reference,) = torch.autograd.grad(theirs, weight)
    (mine,) = torch.autograd.grad(row_mean(token_losses(tiny_model, batch), batch.labels), weight)
    torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-7)


def test_padding_changes_no_loss(tiny_model: Any) -> None:
    with torch.no_grad():
        together = token_losses(tiny_model, collate(ROWS, PAD))
        for b, row in enumerate(ROWS):
            alone = token_losses(tiny_model, collate([row], 77))[0]
            torch.testing.assert_close(together[b, : len(alone)], alone, rtol=1e-5, atol=1e-5)


def test_log_loss_is_the_mean_over_tokens_whatever_the_batches(tiny_model: Any) -> None:
    with torch.no_grad():
        losses = [token_losses(tiny_model, collate([row], PAD)).flatten() for row in ROWS]
    expected = float(torch.cat(losses).mean())
    for size in (1, 3, 32):
        assert held_out(tiny_model, ROWS, PAD, size).log_loss == pytest.approx(expected, rel=1e-5)


def test_what_is_held_out_is_told_example_by_example(tiny_model: Any) -> None:
    found = held_out(tiny_model, ROWS, PAD, 2)
    for i, row in enumerate(ROWS):
        with torch.no_grad():
            logits = tiny_model(torch.tensor([row.ids])).logits[0].float()
        labels = torch.tensor(row.ids[row.first :])
        expected = torch.nn.functional.cross_entropy(logits[row.first - 1 : -1], labels, reduction="sum")
        assert found.nats[i] == pytest.approx(float(expected), abs=1e-4)
        assert found.tokens[i] == len(labels)
    assert 0 <= found.accuracy <= 1


def test_accuracy_counts_first_choices(tiny_model: Any) -> None:
    with torch.no_grad():
        best = [tiny_model(torch.tensor([row.ids])).logits[0].argmax(-1).tolist() for row in ROWS]
    right = sum(
        int(one[row.first - 1 + i] == label)
        for one, row in zip(best, ROWS, strict=True)
        for i, label in enumerate(row.ids[row.first :])
    )
    assert held_out(tiny_model, ROWS, PAD).accuracy == right / sum(len(r.ids) - r.first for r in ROWS)


def test_log_loss_halves_its_batches_where_memory_runs_out(
    tiny_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, said = held_out(tiny_model, ROWS, PAD).log_loss, []

    def small(model: Any, batch: Any) -> Any:
        if len(batch.ids) > 1:
            raise torch.OutOfMemoryError("no room")
        return losses_and_hits(model, batch)

    monkeypatch.setattr("suite.training.batches.losses_and_hits", small)
    assert held_out(tiny_model, ROWS, PAD, 8, said.append).log_loss == pytest.approx(expected, rel=1e-5)
    assert said[-1] == "memory ran out in the held-out loss; went on with 1 rows at a time"
    monkeypatch.setattr(
        "suite.training.batches.losses_and_hits", lambda *_: small(tiny_model, collate(ROWS, PAD))
    )
    with pytest.raises(torch.OutOfMemoryError):
        held_out(tiny_model, ROWS, PAD, 8)
