"""What the settings of an evaluation change (shots, lengths, drawn answers, chat template); what is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from suite.record import EvaluationSettings, Score
from suite.scoring.endings import loglikelihoods
from suite.scoring.evaluate import evaluate
from suite.scoring.lm import PackLM
from tasks import evaluations as stock
from tasks import registry
from tasks.interface import TaskError
from tests.needs import real_data, refused

Scored = Callable[..., dict[str, Score]]


@pytest.fixture
def model(make_model: Any, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A random two-layer Llama over bytes with a context of 8192."""
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 8192, "initializer_range": 0.2}
    return make_model(**sizes, pad_token_id=0, bos_token_id=None, eos_token_id=0)


@pytest.fixture
def score(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> Scored:
    """score(evaluations, setting=..., ...): on the random model."""

    def scored(evaluations: Any, limit: int = 4, **settings: Any) -> dict[str, Score]:
        how = EvaluationSettings(target=[], general=[], **settings)
        return evaluate(model, tokenizer, evaluations, settings=how, limit=limit)

    return scored


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every prompt that the model is asked to continue; it answers nothing."""
    seen: list[str] = []

    def generate(self: PackLM, requests: Any) -> list[str]:
        seen.extend(request.args[0] for request in requests)
        return [""] * len(requests)

    monkeypatch.setattr(PackLM, "generate_until", generate)
    return seen


@pytest.fixture
def sandboxed() -> Iterator[None]:
    if reason := refused():
        pytest.skip(reason)
    yield


@pytest.mark.usefixtures("sandboxed")
def test_shots(score: Scored, prompts: list[str]) -> None:
    data = real_data()
    math, code, programs = stock.build(["gsm8k", "humaneval", "mbpp"], data)
    for shots, shown in ((None, 5), (2, 2), (0, 0)):
        score([math], shots=shots)
        assert [prompt.count("Question: ") for prompt in prompts] == [shown + 1] * 4
        prompts.clear()
    score([code, programs], shots=2)
    assert [prompt.count("[BEGIN]") for prompt in prompts] == [0] * 4 + [3] * 4  # HumanEval's file says 0
    with pytest.raises(TaskError, match="mbpp has 3 examples to show, and 4 are asked for; use shots: 3"):
        score([programs], shots=4)
    (skill,) = stock.build(["winogrande"], data)
    with pytest.raises(TaskError, match="winogrande has 0 examples to show, and 1 are asked for"):
        score([skill], shots=1)
    assert score(registry.general().evaluations, shots=3, limit=1)  # 0-shot, whatever is asked


def test_lengths(score: Scored) -> None:
    asked = registry.get("math").evaluations
    whole, short = (score(asked, max_new_tokens=most)["pocket_math"] for most in (None, 7))
    for item, cut in zip(whole.items, short.items, strict=True):
        assert item.response and cut.response and item.response[:3] == cut.response[:3]
        assert len(cut.response) <= 7 < len(item.response)
    told = "pocket_math generates up to 9000 tokens, .* is 8192; set max_new_tokens well below 8192"
    with pytest.raises(TaskError, match=told):
        score(asked, max_new_tokens=9000)


@pytest.mark.usefixtures("sandboxed")
def test_pass_at_k_is_the_share_of_draws_that_hold_a_right_answer(
    score: Scored, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, samples = registry.get("code"), 5
    right = {example.prompt: example.response for example in task.examples("test")[:4]}
    which = list(right)

    def generate(lm: PackLM, requests: Any) -> list[str]:
        """Item i is answered rightly in its last i draws."""
        asked = [request.args[0] for request in requests]
        assert all(request.args[1]["temperature"] == 0.7 for request in requests)
        return [right[prompt] if lm.draw >= samples - which.index(prompt) else " no" for prompt in asked]

    monkeypatch.setattr(PackLM, "generate_until", generate)
    found = score(task.evaluations, samples=samples, temperature=0.7)["pocket_code"]
    assert [item.correct for item in found.items] == [0, 0.2, 0.4, 0.6]
    assert found.value == found.metrics["pass@1,none"] == pytest.approx(0.3)
    for k in (1, 2, 4, 5):
        by_hand = [
            sum(max(draw) >= samples - i for draw in combinations(range(samples), k))
            / len(list(combinations(range(samples), k)))
            for i in range(4)
        ]
        assert found.metrics[f"pass@{k},none"] == pytest.approx(sum(by_hand) / 4)


@pytest.mark.usefixtures("sandboxed")
def test_drawn_answers_repeat_and_differ(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,), (math,) = registry.get("code").evaluations, registry.get("math").evaluations
    how = EvaluationSettings(target=[], general=[], samples=3, temperature=1.0, max_new_tokens=12)
    made: list[list[str]] = []
    generate = PackLM.generate_until
    monkeypatch.setattr(
        PackLM, "generate_until", lambda lm, asked: made.append(generate(lm, asked)) or made[-1]
    )

    def drawn(seed: int = 0, batch: int = 64) -> list[list[str]]:
        made.clear()
        settings = how.model_copy(update={"seed": seed})
        evaluate(model, tokenizer, [code, math], settings=settings, limit=4, batch_size=batch)
        return list(made)

    first = drawn()
    assert [len(answers) for answers in first] == [8, 4, 4]  # both, then code alone
    texts = [answers[:4] for answers in first]
    assert len({text for answers in texts for text in answers}) > 8
    assert drawn(batch=3) == first
    assert [answers[:4] for answers in drawn(seed=1)] != texts
    assert drawn(seed=1)[0][4:] == first[0][4:]  # what runs no code is greedy


def test_samples_without_temperature(score: Scored) -> None:
    with pytest.raises(TaskError, match="at temperature 0 all 4 samples are one answer"):
        score(registry.get("math").evaluations, samples=4)


def test_chat_template(score: Scored, prompts: list[str], tokenizer: PreTrainedTokenizerFast) -> None:
    (math,) = stock.build(["gsm8k"], real_data())
    with pytest.raises(TaskError, match="tokenizer has no chat template; use chat_template: false"):
        score([math], chat_template=True)
    template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    template += "{% if add_generation_prompt %}[assistant]{% endif %}"
    tokenizer.chat_template = template
    try:
        score([math], chat_template=True, shots=2)
    finally:
        tokenizer.chat_template = None
    assert [prompt.count("[user]Question: ") for prompt in prompts] == [3] * 4
    assert all(
        prompt.endswith("Answer:[assistant]") and prompt.count("[assistant]") == 3 for prompt in prompts
    )


def test_cut_prompts_are_counted_and_told(make_model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    sizes = {"vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 0}
    asked = [*registry.get("math").evaluations, *registry.general().evaluations[:1]]
    lengths = sorted(len(example.prompt.encode()) for example in registry.get("math").examples("test")[:6])
    room = lengths[2]
    longer = sum(length > room for length in lengths)
    small = make_model(**sizes, max_position_embeddings=room + 8)
    how, notes = EvaluationSettings(target=[], general=[], max_new_tokens=8), []
    found = evaluate(small, tokenizer, asked, settings=how, limit=6, on_note=notes.append)
    assert found["pocket_math"].metrics["truncated_prompts"] == longer >= 2
    assert (
        notes[0]
        == f"pocket_math: {longer} requests were longer than the context and lost the beginning of the prompt"
    )
    told = {
        name: s.metrics["truncated_prompts"] for name, s in found.items() if "truncated_prompts" in s.metrics
    }
    assert len(notes) == len(told)


def test_what_a_batch_changes_is_measured_in_bfloat16_alone(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [*registry.get("math").evaluations, *registry.general().evaluations[:1]]
    how = EvaluationSettings(target=[], general=[], max_new_tokens=8)
    plain = evaluate(model, tokenizer, asked, settings=how, limit=12)
    assert [found.batch_changes for found in plain.values()] == [None, None]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = evaluate(model, tokenizer, asked, settings=how, limit=12)["pocket_math"].batch_changes
    assert mixed is not None and (mixed * 8).is_integer()
    coarse = evaluate(model.to(torch.bfloat16), tokenizer, asked, settings=how, limit=12)
    share = coarse["pocket_math"].batch_changes
    assert share is not None and 0 <= share <= 1 and (share * 8).is_integer()
    assert coarse["pocket_hellaswag"].batch_changes is None
    alone = PackLM._generate_alone

    def shaken(lm: PackLM, requests: Any, asks: Any, found: list[str]) -> None:
        alone(
            lm, requests, [replace(ask, most=1 if i < 2 else ask.most) for i, ask in enumerate(asks)], found
        )

    monkeypatch.setattr(PackLM, "_generate_alone", shaken)
    moved = evaluate(model, tokenizer, asked, settings=how, limit=12)["pocket_math"].batch_changes
    assert moved is not None and moved >= 0.25


def test_out_of_memory_while_scoring_halves_the_batch(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    skill, notes = registry.general().evaluations[:1], []
    usual = evaluate(model, tokenizer, skill, limit=6)

    def small(*args: Any, rows: int, **rest: Any) -> list[tuple[float, bool]]:
        if rows > 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loglikelihoods(*args, rows=rows, **rest)

    monkeypatch.setattr("suite.scoring.lm.loglikelihoods", small)
    assert evaluate(model, tokenizer, skill, limit=6, batch_size=24, on_note=notes.append) == usual
    assert notes == [f"memory ran out while scoring; went on with {n} rows at a time" for n in (12, 6)]
