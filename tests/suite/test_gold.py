"""Gold answers score 1 and wrong ones 0, through the whole path: tokens, stop strings, filters, sandbox.

The model is a stub that knows what it has to write. It runs on a key-value cache as any model does, so a row
that is mixed up with another one, or read at a wrong position, writes another answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.modeling_outputs import CausalLMOutputWithPast

from suite.record import EvaluationSettings, Score
from suite.scoring.evaluate import evaluate
from tasks import evaluations as stock
from tests.needs import real_data, refused

SETTINGS = EvaluationSettings(target=[], general=[], max_new_tokens=6000)
Row = dict[str, Any]


class Scripted(LlamaForCausalLM):
    """Writes `answer(prompt)`. Its keys hold the number of each row's script, its values nothing."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, answer: Callable[[str], str]) -> None:
        size = {"hidden_size": 2, "intermediate_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1}
        ends = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0}
        super().__init__(
            LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=2**16, **size, **ends)
        )
        self.words, self.answer = tokenizer, answer
        self.scripts: list[tuple[int, list[int]]] = []  # tokens of the prompt, and those to write

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        past_key_values: Any,
        use_cache: bool,
        logits_to_keep: int,
    ) -> CausalLMOutputWithPast:
        assert (use_cache, logits_to_keep) == (True, 1)
        if past_key_values.get_seq_length() == 0:
            scripts = [
                self._script(row[mask == 1]) for row, mask in zip(input_ids, attention_mask, strict=True)
            ]
            numbers = torch.tensor(scripts, dtype=torch.float64)
        else:
            numbers = past_key_values.layers[0].keys[:, 0, -1, 0]
        keys = numbers[:, None, None, None].expand(-1, 1, input_ids.shape[1], 1)
        past_key_values.update(keys, keys, 0)
        logits = torch.zeros(len(numbers), 1, len(self.words))
        for row, (number, position) in enumerate(
            zip(numbers.tolist(), position_ids[:, -1].tolist(), strict=True)
        ):
            length, script = self.scripts[int(number)]
            logits[row, 0, script[position + 1 - length]] = 1.0
        return CausalLMOutputWithPast(logits=logits, past_key_values=past_key_values)  # type: ignore[arg-type]

    def _script(self, ids: torch.Tensor) -> int:
        prompt = self.words.decode(ids)
        assert isinstance(prompt, str)
        self.scripts.append((len(ids), [*self.words.encode(self.answer(prompt)), 0]))
        return len(self.scripts) - 1


@pytest.fixture
def data() -> Path:
    return real_data()


@pytest.fixture
def score(data: Path, tokenizer: PreTrainedTokenizerFast) -> Callable[..., Score]:
    """score(name, answer, limit): a stock task's Score where `answer(prompt)` is what the model writes."""

    def scored(name: str, answer: Callable[[str], str], limit: int | None) -> Score:
        model = Scripted(tokenizer, answer)
        (evaluation,) = stock.build([name], data)
        if evaluation.runs_code and (reason := refused()):
            pytest.skip(reason)
        return evaluate(model, tokenizer, [evaluation], settings=SETTINGS, limit=limit)[name]

    return scored


def rows(data: Path, file: str) -> list[Row]:
    return [json.loads(line) for line in (data / file).read_text().strip().split("\n")]


def question(prompt: str) -> str:
    """GSM8K's question, after its five examples."""
    return prompt.rsplit("Question: ", 1)[1].removesuffix("\nAnswer:")


def described(prompt: str) -> str:
    """MBPP's task, after its three examples."""
    return prompt.rsplit("here is your task: ", 1)[1].rsplit(" Your code should pass", 1)[0]


LIMITS = [20, pytest.param(None, marks=pytest.mark.slow)]


@pytest.mark.parametrize("limit", LIMITS)
def test_gsm8k(limit: int | None, data: Path, score: Callable[..., Score]) -> None:
    answers = {row["question"]: row["answer"] for row in rows(data, "gsm8k/test.jsonl")}
    beyond = (
        "\n\nQuestion: And then?\nAnswer: #### 123454321"  # what stands after the stop string is not read
    )
    found = score("gsm8k", lambda prompt: f" {answers[question(prompt)]}{beyond}", limit)
    assert found.value == 1 and found.n == (limit or len(answers))
    assert found.metrics["exact_match,flexible-extract"] == 1
    assert [item.response for item in found.items] == [
        f" {answer}\n\n" for answer in list(answers.values())[:limit]
    ]

    def wrong(prompt: str) -> str:
        reason, number = answers[question(prompt)].split("#### ")
        return f" {reason}#### {int(number.replace(',', '')) + 1}"

    found = score("gsm8k", wrong, limit)
    assert (found.value, found.metrics["exact_match,flexible-extract"]) == (0, 0)
    assert {item.correct for item in found.items} == {0}


@pytest.mark.parametrize("limit", LIMITS)
def test_humaneval(limit: int | None, data: Path, score: Callable[..., Score]) -> None:
    solutions = {row["prompt"]: row["canonical_solution"] for row in rows(data, "humaneval/test.jsonl")}
    beyond = "\nif __name__ == '__main__':\n    raise ValueError('not to be run')"
    found = score("humaneval", lambda prompt: solutions[prompt] + beyond, limit)
    assert [item.correct for item in found.items] == [1] * (limit or len(solutions))
    assert found.value == 1
    found = score("humaneval", lambda prompt: "    return 'wrong'\n" + beyond, limit)
    assert {item.correct for item in found.items} == {0} and found.value == 0


@pytest.mark.parametrize("limit", LIMITS)
def test_mbpp(limit: int | None, data: Path, score: Callable[..., Score]) -> None:
    there = rows(data, "mbpp/test.jsonl")
    code = {(row["text"], row["test_list"][0]): row["code"] for row in there}

    def right(prompt: str) -> str:
        (found,) = {
            program for (text, test), program in code.items() if text == described(prompt) and test in prompt
        }
        return f"{found}\n[DONE] and no more of this"

    # The stock task runs no set-up code, so that the row which needs some cannot pass.
    passing = [float(not row["test_setup_code"]) for row in there[:limit]]
    assert len(passing) - sum(passing) == (1 if limit is None else 0)
    found = score("mbpp", right, limit)
    assert [item.correct for item in found.items] == passing
    assert found.value == sum(passing) / len(passing)
    found = score("mbpp", lambda prompt: "def wrong():\n    return 0\n[DONE]", limit)
    assert {item.correct for item in found.items} == {0} and found.value == 0


SENTENCE = "This is the reply that you asked for, and it is short enough to be read at once."
RULES = {
    "punctuation:no_comma",
    "length_constraints:number_words",
    "length_constraints:number_paragraphs",
    "detectable_format:number_highlighted_sections",
    "detectable_format:number_bullet_lists",
    "detectable_format:title",
    "detectable_format:json_format",
    "detectable_format:constrained_response",
    "detectable_content:number_placeholders",
    "detectable_content:postscript",
    "keywords:existence",
    "startend:quotation",
    "startend:end_checker",
    "change_case:english_lowercase",
    "change_case:english_capital",
    "combination:two_responses",
    "combination:repeat_prompt",
}
ALONE = {
    "combination:two_responses",
    "detectable_format:json_format",
    "detectable_format:constrained_response",
}


def obeying(row: Row) -> str:
    """A reply that follows every instruction of a row, built from what the instructions say."""
    given = {id_: kwargs for id_, kwargs in zip(row["instruction_id_list"], row["kwargs"], strict=True)}
    if "detectable_format:json_format" in given:
        return json.dumps({"reply": SENTENCE})
    if "detectable_format:constrained_response" in given:
        return "My answer is maybe."
    if "combination:two_responses" in given:
        return f"{SENTENCE}\n******\nAnd this is another reply."
    asked: dict[str, Any] = {}
    for kwargs in given.values():
        asked |= {key: value for key, value in kwargs.items() if value is not None}
    body = [SENTENCE.replace(",", ""), *(f"{word} is a word of it." for word in asked.get("keywords", ()))]
    body += [f"Here is *point {i}* of them." for i in range(asked.get("num_highlights") or 0)]
    body += [f"It says [thing {i}] there." for i in range(asked.get("num_placeholders") or 0)]
    body += body[:1] * ((asked.get("num_words") or 0) // 18)  # words of that sentence
    parts = [" ".join(body)]
    parts += [f"This is part {i} of it." for i in range(1, asked.get("num_paragraphs") or 1)]
    text = "\n***\n".join(parts)
    if "detectable_format:title" in given:
        text = f"<<A title>>\n{text}"
    if "combination:repeat_prompt" in given:
        text = f"{asked['prompt_to_repeat']}\n{text}"
    text += "".join(f"\n* thing {i}" for i in range(asked.get("num_bullets") or 0))
    if marker := asked.get("postscript_marker"):
        text += f"\n{marker} Thank you."
    text = f"{text}\n{asked.get('end_phrase', '')}".strip()
    if "change_case:english_lowercase" in given:
        text = text.lower()
    if "change_case:english_capital" in given:
        text = text.upper()
    return f'"{text}"' if "startend:quotation" in given else text


def ruled(row: Row) -> bool:
    """Whether `obeying` has a rule for all that a row asks, and no two of its rules are at odds."""
    ids = set(row["instruction_id_list"])
    bounded = any(kwargs.get("relation") == "less than" for kwargs in row["kwargs"])
    quoted_end = {"startend:quotation", "startend:end_checker"} <= ids
    repeats = "combination:repeat_prompt" in ids and len(ids) > 1
    return (
        ids <= RULES and not bounded and not quoted_end and not repeats and not (ids & ALONE and len(ids) > 1)
    )


@pytest.mark.parametrize("limit", LIMITS)
def test_ifeval(limit: int | None, data: Path, score: Callable[..., Score]) -> None:
    prompts = {row["prompt"]: row for row in rows(data, "ifeval/train.jsonl")}
    known = [prompt for prompt, row in prompts.items() if ruled(row)]
    assert len(known) > 100
    assert {id_ for prompt in known for id_ in prompts[prompt]["instruction_id_list"]} == RULES
    right = {prompt: obeying(prompts[prompt]) for prompt in known}
    found = score("ifeval", lambda prompt: right.get(prompt, ""), limit)
    order = list(prompts)[:limit]
    assert sum(prompt in right for prompt in order) >= 5
    assert [item.correct for item in found.items] == [float(prompt in right) for prompt in order]
    found = score("ifeval", lambda prompt: "I would rather not, thank you" if prompt in right else "", limit)
    assert {item.correct for item in found.items} == {0}
    assert all(value == 0 for value in found.metrics.values())
