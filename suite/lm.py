"""lm-eval's view of a model under a route.

`PackLM` is lm-eval's own Hugging Face model with the adapters routed around every forward and every
generation, so that per-item outcomes are lm-eval's. It differs in two things that change no outcome: a
sequence stops generating at its own first stop string instead of waiting for the whole batch, and text is
scored in batches whose logits stay small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models import huggingface
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList

from variants.interface import Adapter
from variants.route import routed

HFLM: Any = huggingface.HFLM  # its registering decorator hides the type from a checker

LOGITS = 2**27  # numbers: the most logits that one batch of text may hold (half a gibibyte in float32)


class PackLM(HFLM):
    """A causal model and its tokenizer under a route, as lm-eval calls it. `done` hears of every request."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        adapters: Sequence[Adapter] = (),
        batch_size: int = 64,
        done: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(model, backend="causal", tokenizer=tokenizer, batch_size=batch_size)
        if len(adapters) > 1:
            raise ValueError(f"one member is scored at a time, got {len(adapters)} adapters")
        self.adapters = tuple(adapters)
        if done is not None:
            self.cache_hook = _Heard(done)  # lm-eval tells it every finished request

    def route(self) -> AbstractContextManager[None]:
        """The adapters on, for one forward or one generation."""
        return routed(self.model, *self.adapters) if self.adapters else nullcontext()

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        usual = self.batch_size_per_gpu
        self.batch_size_per_gpu = min(usual, max(1, LOGITS // (self.max_length * self.config.vocab_size)))
        try:
            return super().loglikelihood_rolling(requests, disable_tqdm=True)
        finally:
            self.batch_size_per_gpu = usual

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        return super().generate_until(requests, disable_tqdm=True)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        return super().loglikelihood(requests, disable_tqdm=True)

    def _loglikelihood_tokens(
        self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        return super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=override_bs)

    def _model_call(self, inps: Tensor, *rest: Any, **more: Any) -> Tensor:
        with self.route():
            return super()._model_call(inps, *rest, **more)

    def _model_generate(self, context: Tensor, max_length: int, stop: list[str], **kwargs: Any) -> Tensor:
        greedy = {key: value for key, value in kwargs.items() if key not in ("temperature", "do_sample")}
        if kwargs.get("do_sample") or kwargs.get("temperature"):
            raise ValueError(f"evaluation is greedy; the task asks for {kwargs}")
        stops = StopStrings(self.tokenizer, stop, context.shape[1])
        with self.route():
            return self.model.generate(
                input_ids=context,
                max_length=max_length,
                do_sample=False,
                stopping_criteria=StoppingCriteriaList([stops]),
                pad_token_id=self.tokenizer.pad_token_id,
                use_cache=True,
                **greedy,
            )

    def get_model_info(self) -> dict[str, Any]:
        """Nothing: records keep their own provenance, and lm-eval's version asks the hub."""
        return {}


class StopStrings(StoppingCriteria):
    """Stops each sequence at its own first stop string.

    Looks back over two tokens more than a stop string takes, as lm-eval does: a model may write it in other
    tokens than the tokenizer would.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str], prompt_length: int) -> None:
        self.tokenizer = tokenizer
        self.stops = [stop for stop in stops if stop]
        self.prompt_length = prompt_length
        lengths = [len(tokenizer.encode(stop, add_special_tokens=False)) for stop in self.stops]
        self.lookback = 2 + max(lengths, default=0)
        self.finished: list[bool] = []

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not self.finished:
            self.finished = [False] * len(input_ids)
        open_rows = [row for row, finished in enumerate(self.finished) if not finished]
        tails = input_ids[open_rows, self.prompt_length :][:, -self.lookback :]
        for row, tail in zip(open_rows, self.tokenizer.batch_decode(tails), strict=True):
            self.finished[row] = any(stop in tail for stop in self.stops)
        return torch.tensor(self.finished, device=input_ids.device)


class _Heard:
    """Takes the place of lm-eval's cache of responses; counts instead of storing."""

    def __init__(self, done: Callable[[], None]) -> None:
        self.done = done

    def add_partial(self, kind: str, request: Any, response: Any) -> None:
        """One request is finished."""
        self.done()
