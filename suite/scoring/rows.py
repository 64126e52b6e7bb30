"""A text under way: what was asked, which token comes next, and whether it has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

TIE = 1e-4  # of the larger logit: two that lie closer may change places with the batch's rounding


@dataclass(frozen=True)
class Ask:
    """A text to be continued: its token ids, by at most how many tokens, and up to which strings.

    Temperature 0 takes the likeliest token; above it, tokens are drawn with a stream of `seed` alone.
    """

    ids: Sequence[int]
    most: int
    stops: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int = 0


@dataclass
class Row:
    """An Ask under way; `number` is its place among all that were asked."""

    ask: Ask
    number: int
    new: list[int] = field(default_factory=list)
    draws: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.ask.temperature:
            stream = torch.Generator().manual_seed(self.ask.seed)
            self.draws = torch.rand(self.ask.most, generator=stream, dtype=torch.float64).tolist()

    @property
    def columns(self) -> int:
        """How many of its tokens the model has read: all but the last new one."""
        return len(self.ask.ids) + len(self.new) - 1


class Finished:
    """Whether a row has ended: by a token of ending, one of its stop strings, or its length."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        ends: Any = getattr(model.generation_config, "eos_token_id", None)
        own: Any = tokenizer.eos_token_id
        self.ends = {own, *(ends if isinstance(ends, list) else [ends])}
        self.tokenizer = tokenizer
        self.last: dict[tuple[str, ...], dict[int, bool]] = {}

    def __call__(self, row: Row) -> bool:
        if len(row.new) >= row.ask.most or row.new[-1] in self.ends:
            return True
        stops = row.ask.stops
        if not stops or not self._may_end(row.new[-1], stops):
            return False
        # A token is at least a byte, so a stop string lies within as many tokens as it has bytes; one more
        # for a blank that a text loses at its beginning.
        window = 1 + max(len(stop.encode()) for stop in stops)
        tail = self._text(row.new[-window:])
        return any(stop in tail for stop in stops)

    def _may_end(self, token: int, stops: tuple[str, ...]) -> bool:
        """Whether a stop string can be complete with this token: it holds the last character of one."""
        known = self.last.setdefault(stops, {})
        if token not in known:
            last, text = {stop[-1] for stop in stops}, self._text([token])
            unsure = any(end.isspace() or not end.isascii() for end in last)  # may not show in one token
            known[token] = unsure or any(end in text for end in last)
        return known[token]

    def _text(self, tokens: list[int]) -> str:
        text = self.tokenizer.decode(tokens)
        assert isinstance(text, str), f"one list of tokens is one text, got {type(text)}"
        return text


def exact(model: PreTrainedModel) -> bool:
    """Whether this model computes in float32 here and now, without autocast or the shorter TF32."""
    device = model.device.type
    short = device == "cuda" and torch.get_float32_matmul_precision() != "highest"
    return model.dtype == torch.float32 and not torch.is_autocast_enabled(device) and not short


class Choice:
    """Gives rows their next tokens: the likeliest, or one drawn at the row's temperature.

    In float32, where the two likeliest are as good as equal, a row is read again alone, so that its answer
    does not depend on which rows were read with it. `reread(row)` gives its logits, (vocabulary).
    """

    def __init__(self, model: PreTrainedModel, reread: Callable[[Row], Tensor]) -> None:
        settings: Any = model.generation_config
        self.penalty = float(getattr(settings, "repetition_penalty", None) or 1.0)
        self.settles_ties = exact(model)
        self.reread = reread

    def __call__(self, logits: Tensor, rows: Sequence[Row]) -> None:
        """One token more for every row. `logits` is (rows, vocabulary)."""
        logits = self._penalised(logits.float(), rows)
        best = logits.topk(2)
        close = best.values[:, 0] - best.values[:, 1] < TIE * best.values.abs().amax(-1)
        picked = zip(rows, best.indices[:, 0].tolist(), close.tolist(), strict=True)
        for i, (row, token, tied) in enumerate(picked):
            if row.ask.temperature:
                token = _draw(logits[i], row)
            elif tied and self.settles_ties:
                token = int(self._penalised(self.reread(row).float()[None], [row]).argmax())
            row.new.append(token)

    def _penalised(self, logits: Tensor, rows: Sequence[Row]) -> Tensor:
        """transformers' repetition penalty, over each row's own tokens."""
        if self.penalty == 1.0:
            return logits
        logits = logits.clone()
        for i, row in enumerate(rows):
            seen = torch.tensor(sorted({*row.ask.ids, *row.new}), device=logits.device)
            part = logits[i, seen]
            logits[i, seen] = torch.where(part < 0, part * self.penalty, part / self.penalty)
        return logits


def _draw(logits: Tensor, row: Row) -> int:
    """A token drawn at the row's temperature with its next random number, computed on the CPU in float64."""
    shares = (logits.double().cpu() / row.ask.temperature).softmax(-1).cumsum(-1)
    point = row.draws[len(row.new)] * shares[-1]
    return min(int(torch.searchsorted(shares, point, right=True)), len(shares) - 1)
