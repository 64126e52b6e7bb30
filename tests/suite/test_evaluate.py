"""evaluate(): right answers score 1, wrong ones 0; it repeats, stays quiet and offline, leaves no trace."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from suite.record import Item, Score
from suite.scoring.evaluate import evaluate
from suite.scoring.lm import PackLM
from tasks import registry, sandbox
from tasks.interface import Evaluation, Example, TaskError
from tasks.lm_eval import scoring
from tests.needs import refused


@pytest.fixture
def model(make_model: Any, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A random two-layer Llama over bytes with a context of 1024."""
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 1024, "initializer_range": 0.2}
    return make_model(**sizes, pad_token_id=0, bos_token_id=None, eos_token_id=0)


@pytest.fixture
def score(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> Callable[..., dict[str, Score]]:
    """evaluate() on the random model."""
    return lambda evaluations, **options: evaluate(model, tokenizer, evaluations, **options)


def needs_sandbox(name: str) -> None:
    if name == "code" and (reason := refused()):
        pytest.skip(reason)


def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], str]) -> None:
    """Let the model generate `answer(prompt)`."""
    monkeypatch.setattr(PackLM, "generate_until", lambda self, asked: [answer(a.args[0]) for a in asked])


@pytest.mark.parametrize("name", registry.pocket_names())
def test_right_answers_score_one_and_wrong_ones_zero(
    name: str, score: Callable[..., dict[str, Score]], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_sandbox(name)
    task = registry.get(name)
    tests: list[Example] = task.examples("test")[:12]
    right = {example.prompt: example.response for example in tests}
    (evaluation,) = task.evaluations
    answering(monkeypatch, right.__getitem__)  # a KeyError if a prompt were not that of the example
    found = score([evaluation], limit=12)[evaluation.name]
    assert (found.value, found.n, found.metric) == (1.0, 12, evaluation.metric)
    assert found.items == [Item(id=str(i), correct=1, response=e.response) for i, e in enumerate(tests)]

    wrong = {tests[i].prompt: tests[(i + 1) % 12].response if i % 3 else "" for i in range(12)}
    answering(monkeypatch, wrong.__getitem__)
    found = score([evaluation], limit=12)[evaluation.name]
    assert found.value == sum(item.correct or 0 for item in found.items) / 12 <= 0.25

    half = {e.prompt: e.response if i % 2 else " no" for i, e in enumerate(tests)}
    answering(monkeypatch, half.__getitem__)
    assert [i.correct for i in score([evaluation], limit=12)[evaluation.name].items] == [0, 1] * 6


def test_every_instruction_counts() -> None:
    rows = registry.get("instruct").evaluations[0].config["custom_dataset"]()["test"]
    for row in rows.select(range(20)):
        words = " ".join(row["kwargs"][0]["words"])  # the words asked for, not the marks between them
        for answer, right in ((row["response"], 1.0), (words, 0.0), (row["response"] * 2, 0.0), ("", 0.0)):
            assert scoring.obeys(row, [answer]) == {"prompt_level_strict_acc": right}


@pytest.mark.parametrize("leave", ["import sys; sys.exit(0)", "import os; os._exit(0)", "raise SystemExit"])
def test_code_that_leaves_before_its_tests_is_wrong(
    leave: str, score: Callable[..., dict[str, Score]], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_sandbox("code")
    answering(monkeypatch, lambda prompt: f"    {leave}\n")
    assert score(registry.get("code").evaluations, limit=2)["pocket_code"].value == 0


def test_one_pass_over_everything(score: Callable[..., dict[str, Score]]) -> None:
    skills = registry.general()
    assert skills.text is not None
    asked = [*skills.evaluations, skills.text, *registry.get("math").evaluations]
    heard: list[tuple[int, int]] = []
    found = score(asked, limit=3, on_progress=lambda done, total: heard.append((done, total)))
    assert list(found) == [e.name for e in asked] == [s.evaluation for s in found.values()]
    assert [s.n for s in found.values()] == [3] * 5
    assert all(
        s.value == s.metrics[f"{e.metric},{e.filter}"] for s, e in zip(found.values(), asked, strict=True)
    )
    assert {"acc,none", "acc_norm,none"} == set(found["pocket_hellaswag"].metrics)
    assert [i.id for i in found["pocket_math"].items] == ["0", "1", "2"]
    assert all(i.response is None and i.correct in (0, 1) for i in found["pocket_arc"].items)
    assert all(i.response is None and i.correct is None for i in found["pocket_text"].items)
    total = 3 * (4 + 4 + 2 + 1 + 1)
    assert heard == [(done, total) for done in range(1, total + 1)]


def test_the_same_call_gives_the_same_scores(score: Callable[..., dict[str, Score]]) -> None:
    asked = [*registry.general().evaluations, *registry.get("instruct").evaluations]
    first = score(asked, limit=5)
    torch.manual_seed(99)
    assert score(asked, limit=5) == first
    assert {name: s.items for name, s in score(asked, limit=5, batch_size=3).items()} == {
        name: s.items for name, s in first.items()
    }


def test_nothing_is_left_changed(model: LlamaForCausalLM, score: Callable[..., dict[str, Score]]) -> None:
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    states = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    score([*registry.general().evaluations, *registry.get("math").evaluations], limit=2)
    assert model.training
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), str(np.random.get_state()))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_quiet_and_offline(
    score: Callable[..., dict[str, Score]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def refuse(*address: object) -> None:
        raise AssertionError(f"a connection to {address} was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    skills = registry.general()
    assert skills.text is not None
    asked = [*skills.evaluations, skills.text, *registry.get("math").evaluations]
    score(asked, limit=2)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_nothing_asked_nothing_done(score: Callable[..., dict[str, Score]]) -> None:
    assert score([]) == {}


def test_no_sandbox_no_code(score: Callable[..., dict[str, Score]], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> None:
        raise AssertionError("a program was run")

    monkeypatch.setattr(sandbox, "available", lambda: "the network can be reached")
    monkeypatch.setattr(sandbox, "run", run)
    told = "pocket_code runs model-written code, and there is no sandbox for it: the network can be reached"
    with pytest.raises(TaskError, match=told):
        score([*registry.get("math").evaluations, *registry.get("code").evaluations], limit=1)


def test_a_sandbox_that_breaks_is_not_a_wrong_answer(
    score: Callable[..., dict[str, Score]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> None:
        raise sandbox.SandboxError("no memory")

    monkeypatch.setattr(sandbox, "available", lambda: None)
    monkeypatch.setattr(sandbox, "run", run)
    answering(monkeypatch, lambda prompt: "")
    with pytest.raises(sandbox.SandboxError, match="no memory"):
        score(registry.get("code").evaluations, limit=1)


def test_a_context_too_short_for_the_answer(make_model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    small = make_model(vocab_size=len(tokenizer), max_position_embeddings=64, eos_token_id=0, pad_token_id=0)
    evaluations: tuple[Evaluation, ...] = registry.get("math").evaluations
    with pytest.raises(
        TaskError, match="pocket_math generates up to 96 tokens, and this model's context is 64;"
    ):
        evaluate(small, tokenizer, evaluations, limit=1)
