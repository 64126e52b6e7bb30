"""Decoder: the tokens of model.generate alone, whatever stands beside them, however rows come and go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import Metaspace
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    RepetitionPenaltyLogitsProcessor,
)

from suite.scoring.decode import Decoder, why_not
from suite.scoring.rows import Ask, Finished, Row
from tasks import pocket, registry

BASE = Path(pocket.__file__).parent / "base"
SIZES: dict[str, Any] = {
    "vocab_size": 1536,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "pocket": lambda: AutoModelForCausalLM.from_pretrained(BASE),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**GROUPED)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**GROUPED, head_dim=8)),
    "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**SIZES)),
    "mixtral": lambda: MixtralForCausalLM(MixtralConfig(**GROUPED, num_local_experts=4)),
    "gemma3_window_of_6": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(
            **GROUPED,
            head_dim=8,
            sliding_window=6,
            layer_types=["sliding_attention", "full_attention"],
        )
    ),
}
MOST, STOPS = 12, ("e t", ".\n")


@pytest.fixture(scope="module")
def words() -> PreTrainedTokenizerBase:
    """The tokenizer of the pocket base."""
    return AutoTokenizer.from_pretrained(BASE)


@pytest.fixture
def asks(words: PreTrainedTokenizerBase) -> list[Ask]:
    """Prompts of very different lengths, some with stop strings, some that may write little."""
    prompts = [
        example.prompt for name in ("math", "code") for example in registry.get(name).examples("test")[:6]
    ]
    cut = [words.encode(prompt)[i % 5 :] for i, prompt in enumerate(prompts)]
    return [
        Ask(ids, 3 if i % 7 == 6 else MOST, STOPS if i % 2 else ())
        for i, ids in enumerate([*cut, [5], [9, 7]])
    ]


def made(name: str) -> PreTrainedModel:
    torch.manual_seed(11)
    return MODELS[name]().eval()


def alone(model: PreTrainedModel, words: PreTrainedTokenizerBase, ask: Ask) -> list[int]:
    """What model.generate makes of one prompt by itself, up to the token that ends its first stop string."""
    ids = torch.tensor([ask.ids])
    generate: Any = model.generate
    found = generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=ask.most,
        do_sample=False,
        eos_token_id=words.eos_token_id,
        pad_token_id=0,
    )[0, ids.shape[1] :].tolist()
    for length in range(1, len(found) + 1):
        if any(stop in str(words.decode(found[:length])) for stop in ask.stops):
            return found[:length]
    return found


@pytest.mark.parametrize("name", MODELS)
def test_the_tokens_of_generate_in_any_batch(
    name: str, words: PreTrainedTokenizerBase, asks: list[Ask]
) -> None:
    model = made(name)
    assert why_not(model) is None
    theirs = [alone(model, words, ask) for ask in asks]
    lengths = {len(tokens) for tokens in theirs}
    assert len({tuple(tokens) for tokens in theirs}) > len(asks) // 2
    assert len(lengths) > 1, f"every row ends at the same step: {lengths}"
    with torch.no_grad():
        for rows in (1, 3, 64):
            assert Decoder(model, words, rows=rows)(asks) == theirs, rows


@pytest.fixture
def llama(words: PreTrainedTokenizerBase) -> PreTrainedModel:
    return made("llama")


@torch.no_grad()
def test_a_step_costs_what_its_unfinished_rows_cost(
    llama: PreTrainedModel, words: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Decoder(llama, words, rows=4)
    read, seen = decoder.read, []

    def reading(ids: torch.Tensor, mask: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append((tuple(ids.shape), mask.shape[1]))
        return read(ids, mask, *rest)

    monkeypatch.setattr(decoder, "read", reading)
    decoder.choose.settles_ties = False
    lengths = {40: 2, 30: 3, 20: 9, 10: 12, 5: 4, 6: 1}  # tokens of the prompt -> new ones
    asks = [Ask(list(range(1, 1 + n)), most) for n, most in lengths.items()]
    assert [len(tokens) for tokens in decoder(asks)] == [2, 3, 9, 12, 4, 1]
    shapes = [shape for shape, _ in seen]
    assert sum(rows for rows, width in shapes if width == 1) == sum(most - 1 for most in lengths.values())
    assert [shape for shape in shapes if shape[1] > 1] == [(4, 40), (1, 5), (1, 6)]
    assert [width for shape, width in seen if shape[1] == 1][:3] == [41, 32, 23]  # no row, no columns


@torch.no_grad()
def test_a_stop_string_is_found_however_it_is_written(
    llama: PreTrainedModel, words: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Decoder(llama, words)
    letters = [words.encode(letter)[0] for letter in "xQuestion:yz"]
    script = iter(letters)
    monkeypatch.setattr(
        decoder, "choose", lambda logits, rows: [row.new.append(next(script)) for row in rows]
    )
    (tokens,) = decoder([Ask([5, 6], 12, ("zebra", "Question:"))])
    assert words.decode(tokens) == "xQuestion:"


def test_a_stop_string_may_end_in_a_blank_that_no_token_shows(llama: PreTrainedModel) -> None:
    pieces = Tokenizer(WordLevel({"</s>": 0, "▁so": 1, "▁": 2, "▁it": 3}, unk_token="</s>"))
    pieces.decoder = Metaspace()
    finished = Finished(llama, PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token="</s>"))
    assert finished.tokenizer.decode([2]) == "" and finished.tokenizer.decode([1, 2]) == "so "
    ask = Ask([3], 9, ("so ",))
    assert [finished(Row(ask, 0, new)) for new in ([1], [1, 2], [3, 2], [3, 1, 3])] == [
        False,
        True,
        False,
        True,
    ]


@torch.no_grad()
@pytest.mark.parametrize("ends", [[7, 9], 9])
def test_the_ends_of_the_generation_settings_are_kept(
    ends: Any, llama: PreTrainedModel, words: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast(Any, llama.generation_config).eos_token_id = ends
    decoder = Decoder(llama, words)
    script = iter([5, 9, 5])
    monkeypatch.setattr(
        decoder, "choose", lambda logits, rows: [row.new.append(next(script)) for row in rows]
    )
    assert decoder([Ask([5, 6], 3)]) == [[5, 9]]


@torch.no_grad()
def test_repetition_is_penalised_as_in_generate(
    llama: PreTrainedModel, words: PreTrainedTokenizerBase, asks: list[Ask]
) -> None:
    plain = Decoder(llama, words)(asks)
    cast(Any, llama.generation_config).repetition_penalty = 1.8
    theirs = [alone(llama, words, ask) for ask in asks]
    decoder = Decoder(llama, words)
    assert decoder(asks) == theirs != plain
    logits, row = torch.randn(1, 1536), Row(Ask([5, 6, 7, 8, 9], 3), 0, [10, 11])
    expected = RepetitionPenaltyLogitsProcessor(1.8)(torch.tensor([[5, 6, 7, 8, 9, 10, 11]]), logits)
    assert torch.equal(decoder.choose._penalised(logits, [row]), cast(torch.Tensor, expected))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"num_beams": 3}, "its generation settings ask for num_beams = 3"),
        ({"suppress_tokens": [4]}, "its generation settings ask for suppress_tokens = [4]"),
    ],
)
def test_settings_that_it_does_not_carry_out_are_told(
    change: dict[str, Any], told: str, llama: PreTrainedModel
) -> None:
    cast(Any, llama.generation_config).update(**change)
    assert why_not(llama) == told


def test_a_recurrent_model_is_told() -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "vocab_size": 64, "state_size": 4}
    assert why_not(MambaForCausalLM(MambaConfig(**sizes))) is not None


@torch.no_grad()
def test_out_of_memory_halves_the_batch_and_goes_on(
    llama: PreTrainedModel, words: PreTrainedTokenizerBase, asks: list[Ask], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, told = Decoder(llama, words)(asks), []
    decoder = Decoder(llama, words, rows=64, say=told.append)
    read = decoder.read

    def small(ids: torch.Tensor, mask: torch.Tensor, *rest: Any) -> torch.Tensor:
        if len(ids) * mask.shape[1] > 130:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(ids, mask, *rest)

    monkeypatch.setattr(decoder, "read", small)
    assert decoder(asks) == usual
    assert told[0] == "memory ran out while generating; went on with 7 rows at a time"
    assert 1 <= decoder.rows < 7
    monkeypatch.setattr(decoder, "read", lambda *_: small(torch.ones(1, 1), torch.ones(1, 999)))
    with pytest.raises(torch.OutOfMemoryError):
        decoder(asks[:1])


@torch.no_grad()
def test_as_good_as_equal_tokens_are_settled_by_the_row_alone(
    llama: PreTrainedModel, words: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Decoder(llama, words)
    asks = [Ask([5, 6, 7], 1), Ask([9], 1)]
    usual = decoder(asks)
    read = decoder.read

    def shaken(ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        """As if rounding in a batch had made token 3 the likeliest by a hair."""
        logits = read(ids, *rest)
        if len(ids) > 1:
            logits[:, 3] = logits.amax(-1) * (1 + 1e-6)
        return logits

    monkeypatch.setattr(decoder, "read", shaken)
    assert decoder(asks) == usual
    decoder.choose.settles_ties = False  # as in bfloat16
    assert decoder(asks) == [[3], [3]]


@torch.no_grad()
def test_drawn_answers_depend_on_their_seed_alone(
    llama: PreTrainedModel, words: PreTrainedTokenizerBase, asks: list[Ask]
) -> None:
    drawn = [replace(ask, temperature=0.8, seed=i) for i, ask in enumerate(asks)]
    usual = Decoder(llama, words)(drawn)
    assert Decoder(llama, words, rows=3)(drawn) == usual
    assert Decoder(llama, words)(drawn[5:8]) == usual[5:8]
    assert Decoder(llama, words)([replace(ask, seed=ask.seed + 1) for ask in drawn]) != usual
    assert Decoder(llama, words)(asks) != usual


@torch.no_grad()
def test_drawn_tokens_have_the_models_shares(llama: PreTrainedModel, words: PreTrainedTokenizerBase) -> None:
    logits = llama(torch.tensor([[5, 6]])).logits[0, -1].double()
    shares = (logits / 1.5).softmax(-1)
    tokens = Decoder(llama, words, rows=512)([Ask([5, 6], 1, temperature=1.5, seed=i) for i in range(4000)])
    counts = torch.bincount(torch.tensor(tokens).flatten(), minlength=len(shares)) / len(tokens)
    likely = shares > 0.01
    assert likely.sum() > 3
    errors = (counts - shares)[likely] / (shares * (1 - shares) / len(tokens))[likely].sqrt()
    assert errors.abs().max() < 4, errors
