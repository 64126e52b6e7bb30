"""lm-eval's view of a model under a route.

`PackLM` is lm-eval's own Hugging Face model with the adapters routed around every forward and every
generation, so that per-item outcomes are lm-eval's. It differs in two things that change no outcome: texts
are continued by `suite.scoring.decode`, where rows come and go, and text is scored in batches whose logits
stay small. Where memory runs out it goes on with half the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models import huggingface
from lm_eval.models.utils import (
    handle_stop_sequences,
    has_bos_prefix,
    normalize_gen_kwargs,
    postprocess_generated_text,
)
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList

from suite.cost import out_of_memory
from suite.scoring.decode import Decoder, why_not
from suite.scoring.endings import Pair, loglikelihoods
from suite.scoring.rows import Ask, exact
from suite.seeds import seed_for
from tasks.interface import TaskError
from variants.interface import Adapter
from variants.route import routed

HFLM: Any = huggingface.HFLM  # its registering decorator hides the type from a checker

ALONE = 8  # answers of each task that are generated once more, alone, where rounding is coarse
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
        seed: int = 0,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        super().__init__(model, backend="causal", tokenizer=tokenizer, batch_size=batch_size)
        if len(adapters) > 1:
            raise ValueError(f"one member is scored at a time, got {len(adapters)} adapters")
        self.adapters = tuple(adapters)
        self.seed, self.say = seed, say
        self.undecodable = why_not(model)
        self.truncated: Counter[str] = Counter()  # task -> prompts whose beginning did not fit
        self.scored: list[str] = []  # the tasks of the requests that are about to be scored
        self.draw = 0  # which of an item's answers is generated, where several are drawn
        self.changes: dict[str, float] = {}  # task -> share of a sample of answers that a batch moved

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
        if self.undecodable is not None:
            return self._by_generate(requests)
        asks = self._asks(requests)
        found = [""] * len(asks)

        def done(number: int, tokens: list[int]) -> None:
            context, given = _args(requests[number])
            found[number] = self._text(tokens, asks[number])
            self.cache_hook.add_partial("generate_until", (context, given), found[number])

        decoder = Decoder(self.model, self.tokenizer, rows=self.batch_size, say=self.say)
        with self.route(), torch.no_grad():
            decoder(asks, done)
        if not exact(self.model) and self.draw == 0:
            self._generate_alone(requests, asks, found)
        return found

    def _generate_alone(self, requests: Sequence[Instance], asks: Sequence[Ask], found: list[str]) -> None:
        """Sets `changes`: how many of each task's first answers are others when nothing is beside them."""
        firsts: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            firsts.setdefault(str(request.task_name), []).append(number)
        for name, numbers in firsts.items():
            sample = numbers[:ALONE]
            with self.route(), torch.no_grad():
                alone = Decoder(self.model, self.tokenizer, rows=1)([asks[number] for number in sample])
            moved = [self._text(a, asks[i]) != found[i] for a, i in zip(alone, sample, strict=True)]
            self.changes[name] = sum(moved) / len(moved)

    def _text(self, tokens: list[int], ask: Ask) -> str:
        """New tokens as text, up to the first stop string."""
        return postprocess_generated_text(self.tok_decode(tokens), list(ask.stops), None)

    def _by_generate(self, requests: list[Instance]) -> list[str]:
        """transformers' own loop, for a model that `suite.scoring.decode` cannot continue."""
        if any(_args(request)[1].get("do_sample") for request in requests):
            raise TaskError(
                f"no answers can be drawn from this model: {self.undecodable}; use samples 1, temperature 0"
            )
        self.say(f"generated by transformers' own loop: {self.undecodable}")
        return super().generate_until(requests, disable_tqdm=True)

    def _asks(self, requests: Sequence[Instance]) -> list[Ask]:
        """What lm-eval would have its own loop do, request by request; those with a seed are drawn."""
        eos = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        ids: dict[tuple[str, int], list[int]] = {}
        asks = []
        for request in requests:
            context, given = _args(request)
            kwargs: Any = normalize_gen_kwargs(given, self.max_gen_toks)
            most = kwargs["max_gen_toks"]
            if (context, most) not in ids:
                ids[context, most] = self._ids(request, most)
            stops = handle_stop_sequences(kwargs["until"], eos=eos)
            asks.append(
                Ask(
                    ids[context, most],
                    most,
                    tuple(stop for stop in stops if stop),
                    kwargs["temperature"] if kwargs["do_sample"] else 0.0,
                    seed_for("answer", self.seed, request.task_name, request.doc_id, self.draw),
                )
            )
        return asks

    def _ids(self, request: Instance, most: int) -> list[int]:
        """A prompt's tokens as lm-eval makes them; its beginning is cut off where it leaves no room."""
        context, _ = _args(request)
        own_start = has_bos_prefix(context, self.tokenizer.bos_token)
        ids = self.tokenizer(context, **({"add_special_tokens": False} if own_start else {}))["input_ids"]
        room = self.max_length - most
        if len(ids) > room:
            self.truncated[str(request.task_name)] += self.draw == 0
        return ids[-room:]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        self.scored = [str(request.task_name) for request in requests]
        return super().loglikelihood(requests, disable_tqdm=True)

    def _loglikelihood_tokens(
        self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        owners, self.scored = self.scored, []
        for (_, context, continuation), name in zip(requests, owners, strict=False):
            self.truncated[name] += len(context) + len(continuation) > self.max_length + 1
        while True:
            try:
                if owners and self.undecodable is None:
                    return self._with_shared_starts(requests)
                return super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=override_bs)
            except RuntimeError as error:
                if not out_of_memory(error) or self.batch_size_per_gpu <= 1:
                    raise
            self.batch_size_per_gpu //= 2
            torch.cuda.empty_cache()
            self.say(f"memory ran out while scoring; went on with {self.batch_size_per_gpu} rows at a time")

    def _with_shared_starts(
        self, requests: Sequence[tuple[Any, list[int], list[int]]]
    ) -> list[tuple[float, bool]]:
        """What lm-eval's own loop gives; a context too long loses its beginning, as there."""
        pairs = []
        for _, context, continuation in requests:
            assert len(continuation) <= self.max_length, (
                f"an ending of {len(continuation)} tokens does not fit"
            )
            pairs.append(Pair(tuple(context[len(continuation) - self.max_length - 1 :]), tuple(continuation)))

        def done(number: int) -> None:
            self.cache_hook.add_partial("loglikelihood", requests[number][0], None)

        with self.route(), torch.no_grad():
            return loglikelihoods(self.model, pairs, rows=self.batch_size, done=done)

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


def _args(request: Instance) -> tuple[str, dict[str, Any]]:
    """The prompt and the generation settings of a request."""
    args: Any = request.args
    return args


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


class Heard:
    """Takes the place of lm-eval's cache of responses; counts instead of storing."""

    def __init__(self, done: Callable[[], None]) -> None:
        self.done = done

    def add_partial(self, kind: str, request: Any, response: Any) -> None:
        """One request is finished."""
        self.done()
