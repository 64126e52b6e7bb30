"""Text to batches: tokenised examples, a fixed order from (task, seed), and the loss of a batch.

Batches are padded on the right and carry no attention mask. Under causal attention position t sees
positions 0..t only, so that padding, which comes after every real token of its row, can change no real
position; and no padded position is scored. (A test compares with the masked forward.)
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.seeds import seed_for
from tasks.interface import Example

IGNORE = -100
MULTIPLE = 8


@dataclass(frozen=True)
class Encoded:
    """One example as tokens: prompt, response, end of text. Tokens from `first` on are learned."""

    ids: tuple[int, ...]
    first: int


@dataclass(frozen=True)
class Batch:
    """Rows of one length. `labels[b, r]` is the token to be predicted at position `positions[b, r]`."""

    ids: Tensor  # [B, L]
    positions: Tensor  # [B, R]
    labels: Tensor  # [B, R], IGNORE where a row has fewer than R labels
    tokens: int

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(self.ids.to(device), self.positions.to(device), self.labels.to(device), self.tokens)


def encode(example: Example, tokenizer: Any, max_length: int, loss_on: str) -> Encoded | None:
    """Prompt and response are tokenised apart, so that the prompt's tokens are those seen at evaluation.

    What exceeds `max_length` is cut from the right (end of text and the tail of the response first). None if
    the prompt alone fills it, so that nothing is left to learn.
    """
    prompt = list(tokenizer(example.prompt, add_special_tokens=False).input_ids)
    if tokenizer.bos_token_id is not None and tokenizer("").input_ids[:1] == [tokenizer.bos_token_id]:
        prompt = [tokenizer.bos_token_id, *prompt]
    response = list(tokenizer(example.response, add_special_tokens=False).input_ids)
    ids = [*prompt, *response, tokenizer.eos_token_id][:max_length]
    first = max(1, len(prompt)) if loss_on == "response" else 1
    return Encoded(tuple(ids), first) if first < len(ids) else None


def encode_all(examples: Sequence[Example], tokenizer: Any, max_length: int, loss_on: str) -> list[Encoded]:
    """All examples that leave something to learn, in order. ValueError if none does."""
    found = [encode(example, tokenizer, max_length, loss_on) for example in examples]
    kept = [one for one in found if one is not None]
    if not kept:
        raise ValueError(f"all {len(examples)} examples have prompts of {max_length} tokens or more")
    return kept


def order(count: int, size: int, key: tuple[object, ...]) -> Iterator[list[int]]:
    """Endless batches of `size` indices below `count`: one shuffle per epoch, from (key, epoch) alone.

    An epoch's end does not end a batch: the next epoch fills it up.
    """
    pending: list[int] = []
    epoch = 0
    while True:
        while len(pending) < size:
            shuffled = list(range(count))
            random.Random(seed_for("data order", *key, epoch)).shuffle(shuffled)
            pending += shuffled
            epoch += 1
        yield pending[:size]
        pending = pending[size:]


def collate(rows: Sequence[Encoded], pad: int, multiple: int = MULTIPLE) -> Batch:
    """Rows padded on the right to one length, a multiple of 8 if not told otherwise."""
    length = -(-max(len(row.ids) for row in rows) // multiple) * multiple
    width = max(len(row.ids) - row.first for row in rows)
    ids = torch.full((len(rows), length), pad)
    positions = torch.zeros((len(rows), width), dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORE)
    for b, row in enumerate(rows):
        tokens = torch.tensor(row.ids)
        count = len(row.ids) - row.first
        ids[b, : len(row.ids)] = tokens
        positions[b, :count] = torch.arange(row.first - 1, len(row.ids) - 1)
        labels[b, :count] = tokens[row.first :]
    return Batch(ids, positions, labels, sum(len(row.ids) for row in rows))


@contextmanager
def logits_at(model: Any, positions: Tensor) -> Iterator[None]:
    """Inside, the output embedding sees only `positions` [B, R] of the hidden states: logits are [B, R, V].

    The gather happens before the model's own head, so that what a model does to its logits still happens,
    and rows stay rows, so that a route still holds.
    """
    head: nn.Module | None = model.get_output_embeddings()
    if head is None:
        raise ValueError(f"{type(model).__name__} has no output embedding")
    rows = torch.arange(positions.shape[0], device=positions.device)[:, None]
    handle = head.register_forward_pre_hook(lambda _, args: (args[0][rows, positions], *args[1:]))
    try:
        yield
    finally:
        handle.remove()


def token_losses(model: Any, batch: Batch) -> Tensor:
    """Negative log-likelihood in nats of every label, float32 [B, R]; 0 where there is no label."""
    with logits_at(model, batch.positions):
        logits = model(input_ids=batch.ids, use_cache=False).logits
    flat = F.cross_entropy(
        logits.float().flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORE, reduction="none"
    )
    return flat.view_as(batch.labels)


def row_mean(losses: Tensor, labels: Tensor) -> Tensor:
    """The mean loss per label over some rows of a batch: one member's own loss."""
    return losses.sum() / (labels != IGNORE).sum()


@torch.no_grad()
def log_loss(model: Any, rows: Sequence[Encoded], pad: int, batch_size: int = 32) -> float:
    """Mean negative log-likelihood per learned token over `rows`, nats. Call it inside a route."""
    device = next(model.parameters()).device
    by_length = sorted(rows, key=lambda row: len(row.ids))
    total, count = 0.0, 0
    for i in range(0, len(by_length), batch_size):
        batch = collate(by_length[i : i + batch_size], pad).to(device)
        total += float(token_losses(model, batch).double().sum())
        count += int((batch.labels != IGNORE).sum())
    return total / count
