"""Plain text in pieces, budgets of tokens, and prompts by a chat template."""

from __future__ import annotations

from copy import deepcopy

import pytest
from transformers import PreTrainedTokenizerFast

from suite.errors import UserError
from suite.training.encode import encode, encode_all
from tasks.interface import Example

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def chatty(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The byte tokenizer with a template that writes its own beginning of text."""
    made = deepcopy(tokenizer)
    made.bos_token = made.eos_token
    made.chat_template = TEMPLATE
    return made


def test_plain_text_is_learned_whole_in_pieces(tokenizer: PreTrainedTokenizerFast) -> None:
    """Every token but the first once, none of them twice, in rows of the most that fits."""
    text = "abcdefghijklmnopqrstuvwxyz"
    found = encode_all([Example("", text)], tokenizer, 10, "response")
    assert [len(row.ids) for row in found] == [10, 10, 9]
    learned = [token for row in found for token in row.ids[row.first :]]
    assert tokenizer.decode(learned) == text[1:] + "<eos>"
    assert all(row.first == 1 for row in found)
    assert encode_all([Example("", "abc")], tokenizer, 10, "response")[0].ids == (*found[0].ids[:3], 0)


def test_a_budget_of_tokens_ends_the_data(tokenizer: PreTrainedTokenizerFast) -> None:
    examples = [Example("ab", "cd")] * 9  # five tokens each
    assert len(encode_all(examples, tokenizer, 99, "response", tokens=15)) == 3
    assert len(encode_all(examples, tokenizer, 99, "response", tokens=16)) == 4
    assert len(encode_all(examples, tokenizer, 99, "response", tokens=10_000)) == 9
    assert sum(len(r.ids) for r in encode_all([Example("", "x" * 99)], tokenizer, 9, "all", tokens=30)) == 36


def test_a_prompt_goes_through_the_chat_template(chatty: PreTrainedTokenizerFast) -> None:
    row = encode(Example("hi", " yo"), chatty, 99, "response", chat_template=True)
    assert row is not None
    assert chatty.decode(row.ids[: row.first]) == "<eos><user>hi<assistant>", "one beginning of text, not two"
    assert chatty.decode(row.ids[row.first :]) == "yo<eos>", "a reply has no space of its own"
    turns = (("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"))
    long = encode(Example("flat", "d", turns), chatty, 99, "response", chat_template=True)
    assert long is not None
    shown = "<eos><system>s<user>a<assistant>b<user>c<assistant>"
    assert chatty.decode(long.ids[: long.first]) == shown
    flat = encode(Example("flat", "d", turns), chatty, 99, "response")
    assert flat is not None and "flat" in chatty.decode(flat.ids)


def test_what_a_template_cannot_do_is_one_line(
    tokenizer: PreTrainedTokenizerFast, chatty: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(
        UserError, match="no chat template; take a model that has one, or chat_template=false"
    ):
        encode(Example("a", "b"), tokenizer, 99, "response", chat_template=True)
    chatty.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(UserError, match=r"refuses a conversation of system, user .*no system role"):
        turns = (("system", "s"), ("user", "a"))
        encode(Example("", "b", turns), chatty, 99, "response", chat_template=True)
