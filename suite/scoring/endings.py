"""Log-likelihoods of endings, where endings of one beginning share its reading.

A multiple-choice item asks for several endings of one text. The text is read once; its keys and values are
then repeated for every ending, and only the endings are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


@dataclass(frozen=True)
class Pair:
    """Token ids of a beginning (one at least) and of what may follow it (one at least)."""

    start: tuple[int, ...]
    end: tuple[int, ...]


def loglikelihoods(
    model: PreTrainedModel,
    pairs: Sequence[Pair],
    *,
    rows: int = 64,
    done: Callable[[int], None] = lambda number: None,
) -> list[tuple[float, bool]]:
    """(log-likelihood of the end after the start, whether greedy decoding would write it), pair by pair.

    About `rows` ends are read at once; `done(number)` tells every finished pair. As in lm-eval, logarithms
    and their sum are taken in the model's own precision. Keep `torch.no_grad` and routes around the call.
    """
    found: dict[int, tuple[float, bool]] = {}
    for batch in _batches(pairs, rows):
        starts = list(batch)
        cache, mask = _read(model, starts)
        places = {start: place for place, start in enumerate(starts)}
        numbers = [number for start in starts for number in batch[start]]
        read = list(dict.fromkeys((places[pairs[n].start], pairs[n].end[:-1]) for n in numbers))
        row_of = {inputs: row for row, inputs in enumerate(read)}  # ends of one token share a row
        logits = _continue(model, cache, mask, [(starts[place], place, end) for place, end in read])
        rows_of = [row_of[places[pairs[n].start], pairs[n].end[:-1]] for n in numbers]
        for number, one in zip(
            numbers, _judged(logits, rows_of, [pairs[n].end for n in numbers]), strict=True
        ):
            found[number] = one
            done(number)
    return [found[number] for number in range(len(pairs))]


Batch = dict[tuple[int, ...], list[int]]  # start -> numbers of its pairs


def _batches(pairs: Sequence[Pair], rows: int) -> Iterator[Batch]:
    """Starts with all their pairs, the longest first, until a batch has `rows` ends."""
    groups: Batch = {}
    for number, pair in enumerate(pairs):
        groups.setdefault(pair.start, []).append(number)
    batch: Batch = {}
    for start in sorted(groups, key=lambda start: (-len(start), start)):
        if batch and sum(map(len, batch.values())) + len(groups[start]) > rows:
            yield batch
            batch = {}
        batch[start] = groups[start]
    if batch:
        yield batch


def _read(model: PreTrainedModel, starts: Sequence[tuple[int, ...]]) -> tuple[DynamicCache, Tensor]:
    """Keys and values of all but each start's last token, padded on the left; the mask of those columns."""
    width, device = max(map(len, starts)) - 1, model.device
    cache = DynamicCache()
    lengths = torch.tensor([[len(start) - 1] for start in starts], device=device)
    mask = (torch.arange(width, device=device) >= width - lengths).long()
    if width:
        ids = [[0] * (width + 1 - len(start)) + list(start[:-1]) for start in starts]
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        model.base_model(
            input_ids=torch.tensor(ids, device=device),
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
    return cache, mask


def _continue(
    model: PreTrainedModel,
    cache: DynamicCache,
    mask: Tensor,
    asked: Sequence[tuple[tuple[int, ...], int, tuple[int, ...]]],
) -> Tensor:
    """Logits (rows, tokens, vocabulary) after each start's last token and after each token that follows.

    A row is (start, its place among those that were read, what follows).
    """
    device, width = mask.device, 1 + max(len(end) for _, _, end in asked)
    chosen = torch.tensor([place for _, place, _ in asked], device=device)
    cache.batch_select_indices(chosen)
    ids = [[start[-1], *end, *[0] * (width - 1 - len(end))] for start, _, end in asked]
    columns = torch.arange(width, device=device)
    begun = torch.tensor([[len(start) - 1] for start, _, _ in asked], device=device)
    last = torch.tensor([[len(end)] for _, _, end in asked], device=device)
    return model(
        input_ids=torch.tensor(ids, device=device),
        attention_mask=torch.cat([mask[chosen], (columns <= last).long()], dim=1),
        position_ids=begun + columns.minimum(last),
        past_key_values=cache,
        use_cache=True,
    ).logits


def _judged(logits: Tensor, rows: Sequence[int], ends: Sequence[tuple[int, ...]]) -> list[tuple[float, bool]]:
    """Log-likelihood of every end, and whether it is the likeliest, under its row of logits."""
    device, width = logits.device, logits.shape[1]
    of = torch.tensor(rows, device=device)
    tokens = torch.tensor([[*end, *[0] * (width - len(end))] for end in ends], device=device)
    real = torch.arange(width, device=device) < torch.tensor([[len(end)] for end in ends], device=device)
    likeliest = logits.argmax(-1)[of] == tokens
    logs = logits.log_softmax(-1)[of[:, None], torch.arange(width, device=device), tokens]
    sums = torch.where(real, logs, 0).sum(-1)
    return list(zip(sums.tolist(), (likeliest | ~real).all(-1).tolist(), strict=True))
