"""Several examples in one row of at most `max_length` tokens, none of which sees another.

The positions of a row start again with each example, and the batch has no attention mask: by that
transformers (masking_utils.find_packed_sequence_indices) makes a block-diagonal causal mask, for sliding
windows too. Flash attention has no mask; there the rows are told by the lengths of their examples. What a
model does with neither (a recurrent layer, absolute positions taken from a mask) no one can tell from
outside, so every model is tried first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from suite.errors import UserError, one_line
from suite.kernels import narrowed
from suite.training.encode import Encoded

if TYPE_CHECKING:
    from suite.training.batches import Numbered

NEAR = {torch.float32: 1e-4, torch.float64: 1e-9}  # relative to the largest logit; other types as bfloat16
NEAR_NARROW = 5e-2
TRIED = (5, 1, 9, 3)  # lengths of the examples that a model is tried on


def packed(rows: Sequence[Numbered], length: int) -> list[list[Numbered]]:
    """Rows of at most `length` tokens: the longest example first, each into the first row that has room."""
    bins: list[tuple[int, list[Numbered]]] = []
    for one in sorted(rows, key=lambda one: -len(one[1].ids)):
        size = len(one[1].ids)
        at = next((i for i, (room, _) in enumerate(bins) if room >= size), None)
        if at is None:
            bins.append((length - size, [one]))
        else:
            bins[at] = (bins[at][0] - size, [*bins[at][1], one])
    return [row for _, row in bins]


def arguments(model: Any, places: Tensor) -> dict[str, Any]:
    """What a model is told of packed rows: `places` [B, L], and for flash attention where examples end."""
    told: dict[str, Any] = {"position_ids": places}
    if "flash" in str(getattr(model.config, "_attn_implementation", "")):
        starts = (places.flatten() == 0).nonzero().flatten().int()
        ends = torch.cat([starts, starts.new_tensor([places.numel()])])
        longest = int(ends.diff().max())
        told |= {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends}
        told |= {"max_length_q": longest, "max_length_k": longest}
    return told


@torch.no_grad()
def check(model: Any, pad: int) -> None:
    """Raise UserError if this model gives packed examples other logits than it gives them alone.

    Tried on four short examples in two rows, outside a route.
    """
    from suite.training.batches import collate, lay

    device = next(model.parameters()).device
    vocabulary = model.get_input_embeddings().weight.shape[0]
    rng = torch.Generator().manual_seed(0)
    rows = [
        (i, Encoded(tuple(torch.randint(0, vocabulary, (size,), generator=rng).tolist()), 1))
        for i, size in enumerate(TRIED)
    ]
    name = type(model).__name__
    try:
        batch = lay([rows[:2], rows[2:]], pad).to(device)
        together = model(**batch.inputs(model), use_cache=False).logits.float()
        apart = [
            model(**collate([one], pad).to(device).inputs(model), use_cache=False).logits[0].float()
            for _, one in rows
        ]
    except (TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"{name} does not take packed rows ({one_line(error, 100)}); use batching=padded"
        ) from None
    found = [together[0, :5], together[0, 5:6], together[1, :9], together[1, 9:12]]
    expected = [alone[:size] for alone, size in zip(apart, TRIED, strict=True)]
    worst = max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
    largest = max(float(b.abs().max()) for b in expected)
    computed = torch.bfloat16 if narrowed(device) else model.dtype
    if not worst <= NEAR.get(computed, NEAR_NARROW) * largest:
        raise UserError(
            f"{name} lets packed examples see each other (logits differ by {worst:.2g} of {largest:.2g}); "
            "use batching=padded"
        )
