"""PackLM: adapters act as their merged weights do, stop strings cut as lm-eval cuts, memory is made do with.

That the outcomes are those of lm-eval's own command line is held in test_equal_cli.py.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from suite.record import Score
from suite.scoring.evaluate import evaluate
from suite.scoring.lm import PackLM
from tasks import registry
from tasks.interface import Evaluation
from variants.interface import Adapter
from variants.registry import parse

NEW_TOKENS = 24
UNTIL = ["Question:", "</s>", "<|im_end|>"]


@pytest.fixture(scope="module")
def words() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 400 tokens, so that a text has more than one way into tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    pages = [example.prompt + example.response for example in registry.get("math").examples("test")]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options: dict[str, Any] = {
        "special_tokens": ["<eos>"],
        "initial_alphabet": alphabet,
        "show_progress": False,
    }
    bpe.train_from_iterator(pages, trainers.BpeTrainer(vocab_size=400, **options))
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<eos>", pad_token="<eos>")


@pytest.fixture
def model(make_model: Any, words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A random two-layer Llama with a context of 1024 and sharp opinions: ten times the usual weights."""
    sizes = {"vocab_size": len(words), "max_position_embeddings": 1024, "initializer_range": 0.2}
    return make_model(**sizes, pad_token_id=0, bos_token_id=None, eos_token_id=0)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    level = logging.getLogger("lm_eval").level
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    yield
    logging.getLogger("lm_eval").setLevel(level)


def short(evaluation: Evaluation) -> Evaluation:
    """The same evaluation with few new tokens, so that a test is quick."""
    generation = {"until": UNTIL, "max_gen_toks": NEW_TOKENS}
    return dataclasses.replace(evaluation, config={**evaluation.config, "generation_kwargs": generation})


def outcomes(score: Score) -> list[tuple[str, float | None, str | None]]:
    return [(item.id, item.correct, item.response) for item in score.items]


def stir(adapter: Adapter) -> None:
    """Move every parameter of an adapter, as training would."""
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for group in adapter.groups():
            for parameter in group.params.values():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=noise))


@pytest.mark.parametrize("spec", ["lora:rank=4", "pissa:rank=4", "fullft"])
def test_under_an_adapter_items_equal_those_of_merged_weights(
    spec: str, model: LlamaForCausalLM, words: PreTrainedTokenizerFast
) -> None:
    skills = registry.general().evaluations
    asked = [*skills, *map(short, registry.get("math").evaluations)]
    before = evaluate(model, words, asked, limit=20)
    adapter = parse(spec).attach(model, seed=1)
    stir(adapter)
    merged = copy.deepcopy(model)
    with torch.no_grad():
        for name, delta in adapter.deltas():
            merged.get_parameter(name).add_(delta)
    under = evaluate(model, words, asked, adapters=[adapter], limit=20)
    plain = evaluate(merged, words, asked, limit=20)
    assert [outcomes(s) for s in under.values()] == [outcomes(s) for s in plain.values()]
    assert [outcomes(s) for s in under.values()] != [outcomes(s) for s in before.values()]
    unrouted = evaluate(model, words, asked, limit=20)
    adapter.detach()
    assert unrouted == before == evaluate(model, words, asked, limit=20)


@pytest.mark.parametrize("until", [["e"], ["ab", "s", "\n"], [" the", "q"], ["zzzzz"]])
def test_stop_strings_cut_the_same_text(
    until: list[str], model: LlamaForCausalLM, words: PreTrainedTokenizerFast
) -> None:
    prompts = [example.prompt for example in registry.get("math").examples("test")[:24]]

    def texts(lm: Any) -> list[str]:
        asked = {"until": until, "max_gen_toks": NEW_TOKENS, "do_sample": False, "temperature": 0.0}
        requests = [Instance("generate_until", {}, (prompt, dict(asked)), 0) for prompt in prompts]
        return lm.generate_until(requests, disable_tqdm=True)

    ours = texts(PackLM(model, words, batch_size=10))
    assert ours == texts(HFLM(pretrained=model, tokenizer=words, batch_size=7))  # type: ignore[call-arg]
    assert len({len(text) for text in ours}) > 3


def test_text_is_scored_as_by_hand_in_any_batches(
    model: LlamaForCausalLM, words: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = registry.general().text
    assert text is not None
    pages = [row["page"] for row in text.config["custom_dataset"]()["test"]][:6]
    nats = 0.0
    for page in pages:
        ids = torch.tensor([[words.eos_token_id, *words.encode(page)]])
        assert ids.shape[1] <= 1025
        with torch.no_grad():
            logs = model(ids[:, :-1]).logits.double().log_softmax(-1)
        nats -= float(logs.gather(2, ids[:, 1:, None]).sum())
    bits = (
        nats / torch.log(torch.tensor(2.0, dtype=torch.float64)).item() / sum(len(p.encode()) for p in pages)
    )
    score = evaluate(model, words, [text], limit=6)["pocket_text"]
    assert score.value == pytest.approx(bits, rel=1e-5)
    assert [(item.correct, item.response) for item in score.items] == [(None, None)] * 6
    monkeypatch.setattr("suite.scoring.lm.LOGITS", 1)  # one window at a time
    assert evaluate(model, words, [text], limit=6)["pocket_text"].value == pytest.approx(bits, rel=1e-5)


def test_one_member_at_a_time(model: LlamaForCausalLM, words: PreTrainedTokenizerFast) -> None:
    adapters = [parse("lora:rank=4").attach(model, seed=seed) for seed in (1, 2)]
    with pytest.raises(ValueError, match="one member is scored at a time, got 2"):
        PackLM(model, words, adapters=adapters)


def test_endings_that_share_a_start_are_scored_as_lm_eval_scores_them(
    make_model: Any, words: PreTrainedTokenizerFast
) -> None:
    """Ends of one and more tokens, greedy ones; starts of one token, and longer than the context."""
    sizes = {"vocab_size": len(words), "max_position_embeddings": 48, "initializer_range": 0.2}
    small = make_model(**sizes, eos_token_id=None, pad_token_id=0)
    texts = [words.encode(example.prompt) for example in registry.get("math").examples("test")[:7]]
    asked: list[tuple[Any, list[int], list[int]]] = []
    for ids, length in zip(texts, (1, 2, 3, 9, 20, 40, 60), strict=True):
        start = (ids * 2)[:length]
        read = torch.tensor([start[-44:]])
        written = small.generate(read, max_new_tokens=3, do_sample=False)[0, read.shape[1] :].tolist()
        for end in ([7], [8], written[:1], written, [9, 10, 11, 12, 13, 14], [9, 10], [9, 10, 12]):
            asked.append((("", ""), start, end))
    lm = PackLM(small, words, batch_size=10)
    lm.scored = ["task"] * len(asked)
    ours = lm._loglikelihood_tokens(asked)
    theirs = HFLM(pretrained=small, tokenizer=words, batch_size=7)._loglikelihood_tokens(asked)  # type: ignore[call-arg]
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in theirs], rel=1e-5)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    assert sum(greedy for _, greedy in ours) >= 12
    assert lm.truncated["task"] == sum(len(start) + len(end) > 49 for _, start, end in asked) == 7
