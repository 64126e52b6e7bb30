"""Rows to batches: a fixed order from (task, seed), and rows that hold one example each, or several.

Batches are padded on the right and carry no attention mask. Under causal attention position t sees
positions 0..t only, so that padding, which comes after every real token of its row, can change no real
position; and no padded position is scored. (A test compares with the masked forward.) Where a row holds
several examples, positions start again with each, by which transformers keeps them apart
(`suite.training.packing`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from suite.cost import out_of_memory
from suite.record import HeldOut
from suite.seeds import seed_for
from suite.training.encode import Encoded as Encoded
from suite.training.encode import encode as encode
from suite.training.encode import encode_all as encode_all
from suite.training.losses import IGNORE as IGNORE
from suite.training.losses import logits_at as logits_at
from suite.training.losses import losses_and_hits as losses_and_hits
from suite.training.losses import row_mean as row_mean
from suite.training.losses import token_losses as token_losses
from suite.training.packing import arguments
from variants.dropout import numbered

MULTIPLE = 8
DIGITS = 5  # of an example's held-out nats

Numbered = tuple[int, Encoded]  # an example, and which it is of the step's batch


@dataclass(frozen=True)
class Batch:
    """Rows of one length. `labels[b, r]` is the token to be predicted at position `positions[b, r]`.

    `learned` are the places (b, r) that have a label, in order; `places` is where each token stands in its
    example, None if that is where it stands in its row; `numbers` are the tokens' numbers for dropout.
    """

    ids: Tensor  # [B, L]
    positions: Tensor  # [B, R]
    labels: Tensor  # [B, R], IGNORE where a row has fewer than R labels
    tokens: int
    learned: Tensor  # [2, N]
    places: Tensor | None  # [B, L]
    numbers: Tensor  # [B, L] int32

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        if self.ids.device == device:
            return self
        tensors = {key: value for key, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{key: value.to(device, non_blocking=True) for key, value in tensors.items()})

    def inputs(self, model: Any) -> dict[str, Any]:
        """What the model is called with."""
        packed = {} if self.places is None else arguments(model, self.places)
        return {"input_ids": self.ids, **packed}


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
    """One example a row, padded on the right to one length, a multiple of 8 if not told otherwise."""
    return lay([[one] for one in enumerate(rows)], pad, multiple)


def lay(rows: Sequence[Sequence[Numbered]], pad: int, multiple: int = MULTIPLE) -> Batch:
    """Rows of examples laid end to end, padded on the right to one length."""
    sizes = [sum(len(one.ids) for _, one in row) for row in rows]
    length = -(-max(sizes) // multiple) * multiple
    width = max(sum(len(one.ids) - one.first for _, one in row) for row in rows)
    ids = torch.full((len(rows), length), pad)
    positions = torch.zeros((len(rows), width), dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORE)
    places = torch.arange(length).repeat(len(rows), 1)
    owners = torch.full((len(rows), length), -1)
    for b, row in enumerate(rows):
        at = learned = 0
        for number, one in row:
            tokens, count = torch.tensor(one.ids), len(one.ids)
            new = count - one.first
            ids[b, at : at + count] = tokens
            places[b, at:] -= places[b, at].clone()
            owners[b, at : at + count] = number
            positions[b, learned : learned + new] = torch.arange(at + one.first - 1, at + count - 1)
            labels[b, learned : learned + new] = tokens[one.first :]
            at, learned = at + count, learned + new
        if at < length:
            places[b, at:] -= places[b, at].clone()  # what fills the row is no example's
    several = any(len(row) > 1 for row in rows)
    where = (labels != IGNORE).nonzero().T.contiguous()
    numbers = numbered(owners, places)
    return Batch(ids, positions, labels, sum(sizes), where, places if several else None, numbers)


@torch.no_grad()
def held_out(
    model: Any,
    rows: Sequence[Encoded],
    pad: int,
    batch_size: int = 32,
    say: Callable[[str], None] = lambda line: None,
) -> HeldOut:
    """What the model makes of the learned tokens of each example. Call it inside a route.

    Where memory runs out the batch is halved, and `say` hears of it; the error of a single row is raised.
    """
    device = next(model.parameters()).device
    places = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    nats, tokens, hits, at = [0.0] * len(rows), [0] * len(rows), 0.0, 0
    while at < len(places):
        chosen = places[at : at + batch_size]
        try:
            batch = collate([rows[i] for i in chosen], pad).to(device)
            losses, right = losses_and_hits(model, batch)
            found = losses.double().sum(1).tolist()
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or batch_size == 1:
                raise
            found = None
        if found is None:  # outside of the handler, whose traceback holds on to tensors
            batch_size //= 2
            torch.cuda.empty_cache()
            say(f"memory ran out in the held-out loss; went on with {batch_size} rows at a time")
            continue
        for i, lost in zip(chosen, found, strict=True):
            nats[i], tokens[i] = round(lost, DIGITS), len(rows[i].ids) - rows[i].first
        hits, at = hits + float(right.double().sum()), at + batch_size
    return HeldOut(accuracy=hits / sum(tokens), nats=nats, tokens=tokens)
