"""Continuing texts in a batch whose rows come and go.

A row leaves the batch as soon as it is finished, and waiting rows take the places that come free, so that a
step costs what its unfinished rows cost. All rows end at the same column of the key-value cache and begin
where their own text begins; what lies before is masked, and cut off when no row needs it any more. Every
row's tokens depend on its own text alone: exactly in float32 (see `suite.scoring.rows.Choice`), in bfloat16
up to the rounding of batched products.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from suite.cost import out_of_memory
from suite.scoring.rows import Ask, Choice, Finished, Row

PREFILL = 2**14  # tokens: the most, padding included, that are read in one forward
REFILL = 4  # new rows come in when this share of the places (1/4) is free
LAYERS = frozenset({"full_attention", "sliding_attention", "chunked_attention"})

# Generation settings of a model that would change greedy text and that nothing here carries out.
FOREIGN = {
    "num_beams": 1,
    "no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": None,
    "bad_words_ids": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "sequence_bias": None,
    "exponential_decay_length_penalty": None,
    "guidance_scale": 1,
    "penalty_alpha": None,
}


def why_not(model: PreTrainedModel) -> str | None:
    """Why this model cannot be decoded here, in words; None if it can.

    Needs a cache of keys and values in every layer; a recurrent state cannot be cut and joined.
    """
    kinds = set(getattr(model.config.get_text_config(decoder=True), "layer_types", None) or ())
    if kinds - LAYERS:
        return f"its layers are {', '.join(sorted(kinds))}"
    if getattr(model, "_is_stateful", False) or not cast(Any, model)._supports_default_dynamic_cache():
        return "its memory of a text is not keys and values"
    for name, neutral in FOREIGN.items():
        if (value := getattr(model.generation_config, name, None)) not in (None, neutral):
            return f"its generation settings ask for {name} = {value}"
    return None


class Decoder:
    """Continues texts with a model, at most `rows` at a time; fewer once memory has run out.

    `say` hears a line when the batch is halved. The caller keeps routes and `torch.no_grad` around a call.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        rows: int = 64,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.model, self.rows, self.say = model, rows, say
        self.finished = Finished(model, tokenizer)
        self.choose = Choice(model, self._alone)
        self.pad = tokenizer.pad_token_id or 0
        known = inspect.signature(model.forward).parameters
        self.last_only = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        self.takes_positions = "position_ids" in known

    def __call__(
        self, asks: Sequence[Ask], done: Callable[[int, list[int]], None] | None = None
    ) -> list[list[int]]:
        """The new tokens of every ask (a token of ending included), and `done(number, tokens)` as each ends.

        Raises the error of the accelerator where memory is too small for one row.
        """
        found: dict[int, list[int]] = {}
        order = sorted(range(len(asks)), key=lambda i: (-len(asks[i].ids) - asks[i].most, i))
        waiting = deque(Row(asks[i], i) for i in order)
        batch = _Batch(self)
        while waiting or batch.rows:
            taken: list[Row] = []
            try:
                if not batch.rows or REFILL * (self.rows - len(batch.rows)) >= self.rows:
                    taken = _take(waiting, self.rows - len(batch.rows))
                ended = batch.admit(taken) if taken else batch.step()
            except RuntimeError as error:
                back = {row.number: row for row in (*batch.rows, *taken)}
                if not out_of_memory(error) or len(back) <= 1:
                    raise
                ended = None
            if ended is None:  # outside of the handler, whose traceback holds on to tensors
                waiting.extendleft(Row(row.ask, row.number) for row in reversed(back.values()))
                self.rows, batch = len(back) // 2, _Batch(self)
                torch.cuda.empty_cache()
                self.say(f"memory ran out while generating; went on with {self.rows} rows at a time")
                continue
            for row in ended:
                found[row.number] = row.new
                if done is not None:
                    done(row.number, row.new)
        return [found[i] for i in range(len(asks))]

    def read(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
        """Logits of the last column, (rows, vocabulary); keys and values go into the cache."""
        where = {"position_ids": positions} if self.takes_positions else {}
        found = self.model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            **where,
            **self.last_only,
        )
        return found.logits[:, -1]

    def _alone(self, row: Row) -> Tensor:
        """Logits of a row's next token, (vocabulary), from its own text and nothing else."""
        ids = torch.tensor([[*row.ask.ids, *row.new]], device=self.model.device)
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        return self.read(ids, torch.ones_like(ids), positions, DynamicCache())[0]


class _Batch:
    """Rows under way, with the keys and values of what they have read. `mask` is (rows, columns), 0 or 1."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.device = decoder.model.device
        self.rows: list[Row] = []
        self.cache = DynamicCache()
        self.mask = torch.zeros(0, 0, dtype=torch.long, device=self.device)

    def admit(self, rows: list[Row]) -> list[Row]:
        """Read new rows and take them in, one token further. Returns those that end with it."""
        width = max(len(row.ask.ids) for row in rows)
        ids = [[self.decoder.pad] * (width - len(row.ask.ids)) + list(row.ask.ids) for row in rows]
        lengths = torch.tensor([[len(row.ask.ids)] for row in rows], device=self.device)
        mask = (torch.arange(width, device=self.device) >= width - lengths).long()
        cache = DynamicCache()
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        logits = self.decoder.read(torch.tensor(ids, device=self.device), mask, positions, cache)
        if self.rows:  # what an empty batch remembers is of rows that are gone
            cache, mask = _join((self.cache, self.mask), (cache, mask))
        self.cache, self.mask = cache, mask
        self.decoder.choose(logits, rows)
        self.rows += rows
        return self._drop()

    def step(self) -> list[Row]:
        """One token more for every row. Returns those that end with it, which leave."""
        ids = torch.tensor([[row.new[-1]] for row in self.rows], device=self.device)
        positions = torch.tensor([[row.columns] for row in self.rows], device=self.device)
        self.mask = pad(self.mask, (0, 1), value=1)
        logits = self.decoder.read(ids, self.mask, positions, self.cache)
        self.decoder.choose(logits, self.rows)
        return self._drop()

    def _drop(self) -> list[Row]:
        """Take out the rows that have ended, and the columns that no other row needs."""
        ended = [row for row in self.rows if self.decoder.finished(row)]
        if not ended:
            return ended
        gone = {row.number for row in ended}
        stay = [i for i, row in enumerate(self.rows) if row.number not in gone]
        if stay:
            first = self.mask.shape[1] - max(self.rows[i].columns for i in stay)
            chosen = torch.tensor(stay, device=self.device)
            self.mask = self.mask[chosen, first:]
            for layer in _layers(self.cache):
                layer.keys, layer.values = layer.keys[chosen, :, first:], layer.values[chosen, :, first:]
        self.rows = [self.rows[i] for i in stay]
        return ended


def _take(waiting: deque[Row], room: int) -> list[Row]:
    """The next rows, as many as there is room for and as one forward may read."""
    taken, width = [], 0
    while waiting and len(taken) < room:
        width = max(width, len(waiting[0].ask.ids))
        if taken and width * (len(taken) + 1) > PREFILL:
            break
        taken.append(waiting.popleft())
    return taken


def _join(old: tuple[DynamicCache, Tensor], new: tuple[DynamicCache, Tensor]) -> tuple[DynamicCache, Tensor]:
    """Two batches as one, the shorter of the two padded on the left."""
    width = max(old[1].shape[1], new[1].shape[1])
    mask = torch.cat([pad(mask, (width - mask.shape[1], 0)) for _, mask in (old, new)])
    for mine, theirs in zip(_layers(old[0]), _layers(new[0]), strict=True):
        for name in ("keys", "values"):
            parts = [getattr(layer, name) for layer in (mine, theirs)]
            setattr(mine, name, torch.cat([pad(p, (0, 0, width - p.shape[2], 0)) for p in parts]))
    return old[0], mask


def _layers(cache: DynamicCache) -> list[Any]:
    """The layers that hold something: some models let several layers share one."""
    return [layer for layer in cast(list[Any], cache.layers) if layer.is_initialized]
