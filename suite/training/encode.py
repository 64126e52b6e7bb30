"""Examples to tokens: prompt and response apart, plain text in pieces, prompts by a chat template."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from suite.errors import UserError, one_line
from tasks.interface import Example, up_to


@dataclass(frozen=True)
class Encoded:
    """One example as tokens: prompt, response, end of text. Tokens from `first` on are learned."""

    ids: tuple[int, ...]
    first: int


def encode(
    example: Example, tokenizer: Any, max_length: int, loss_on: str, chat_template: bool = False
) -> Encoded | None:
    """Prompt and response are tokenised apart, so that the prompt's tokens are those seen at evaluation.

    What exceeds `max_length` is cut from the right (end of text and the tail of the response first). None if
    the prompt alone fills it, so that nothing is left to learn.
    """
    prompt = _by_template(example, tokenizer) if chat_template else _plain(example.prompt, tokenizer)
    response = example.reply if chat_template else example.response
    ids = [*prompt, *_ids(response, tokenizer), tokenizer.eos_token_id][:max_length]
    first = max(1, len(prompt)) if loss_on == "response" else 1
    return Encoded(tuple(ids), first) if first < len(ids) else None


def encode_all(
    examples: Iterable[Example],
    tokenizer: Any,
    max_length: int,
    loss_on: str,
    chat_template: bool = False,
    tokens: int | None = None,
) -> list[Encoded]:
    """All examples that leave something to learn, in order, until `tokens` are used up if that is given.

    The example that reaches the budget is the last. Raises UserError if nothing is left to learn.
    """
    kept, used, seen = [], 0, 0
    for example in examples:
        seen += 1
        for one in pieces(example, tokenizer, max_length, loss_on, chat_template):
            kept.append(one)
            used += len(one.ids)
            if tokens is not None and used >= tokens:
                return kept
    if not kept:
        raise UserError(f"all {seen} examples have prompts of {max_length} tokens or more; raise max_length")
    return kept


def within(
    examples: Iterable[Example],
    tokenizer: Any,
    max_length: int,
    loss_on: str,
    chat_template: bool = False,
    tokens: int | None = None,
) -> Iterator[Example]:
    """The examples themselves that `encode_all` takes its rows from."""
    if tokens is None:
        return iter(examples)

    def count(example: Example) -> int:
        return sum(len(one.ids) for one in pieces(example, tokenizer, max_length, loss_on, chat_template))

    return up_to(examples, tokens, count)


def digest_of(rows: Iterable[Encoded]) -> str:
    """16 hex digits of the SHA-256 of rows as tokens and of which are learned, in their order."""
    total = hashlib.sha256()
    for row in rows:
        total.update(array("q", (len(row.ids), row.first, *row.ids)).tobytes())
    return total.hexdigest()[:16]


def pieces(
    example: Example, tokenizer: Any, max_length: int, loss_on: str, chat_template: bool = False
) -> Iterator[Encoded]:
    """What an example gives to learn: one row or none, and of plain text (no prompt) as many as it fills.

    All but the first piece begin with the last token of the one before, so that every token of the text is
    learned once.
    """
    if example.prompt or example.turns:
        one = encode(example, tokenizer, max_length, loss_on, chat_template)
        yield from () if one is None else (one,)
        return
    ids = [*_plain("", tokenizer), *_ids(example.response, tokenizer), tokenizer.eos_token_id]
    for at in range(0, len(ids) - 1, max_length - 1):
        yield Encoded(tuple(ids[at : at + max_length]), 1)


def _ids(text: str, tokenizer: Any) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def _plain(prompt: str, tokenizer: Any) -> list[int]:
    """The prompt as the tokenizer begins a text: after its beginning-of-text token, where it puts one."""
    begin = tokenizer.bos_token_id
    if begin is None or tokenizer("").input_ids[:1] != [begin]:
        return _ids(prompt, tokenizer)
    return [begin, *_ids(prompt, tokenizer)]


def _by_template(example: Example, tokenizer: Any) -> list[int]:
    """The conversation up to the answer, by the chat template, which brings its own special tokens."""
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            "the tokenizer has no chat template; take a model that has one, or chat_template=false"
        )
    turns = example.turns or (("user", example.prompt),)
    messages = [{"role": role, "content": text} for role, text in turns]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is a program of the model's authors and raises what it likes
        roles = ", ".join(role for role, _ in turns)
        raise UserError(
            f"the chat template refuses a conversation of {roles} ({one_line(error, 120)})"
        ) from None
    begun = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
    return _ids(text, tokenizer) if begun else _plain(text, tokenizer)
