"""Rows to examples: pairs of a prompt and an answer, conversations, plain text.

A form is a frozen dataclass: all that decides what a model reads and learns is a field, so that the form's
`repr` is hashed into a task's digest. `check` names what is malformed; `example` is None where a row is well
formed and has nothing to learn: a real data set has rows with an empty answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

from tasks import sources
from tasks.interface import Example

Row = dict[str, Any]

# The prompt of Stanford Alpaca (tatsu-lab/stanford_alpaca, train.py), the usual one for such rows.
INSTRUCTION = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the "
    "request.\n\n### Instruction:\n{instruction}\n\n### Response:"
)
WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n"
    "### Input:\n{input}\n\n### Response:"
)
QUESTION = "Question: {instruction}\nAnswer:"  # of lm-eval's stock gsm8k
ROLES = ("system", "user", "assistant")


class Form(Protocol):
    """How rows of a data set become examples."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What every row must have."""
        ...

    def check(self, row: Row) -> str | None:
        """What is wrong with a row, if anything."""
        ...

    def example(self, row: Row) -> Example | None:
        """The row as an example; None where it has nothing to learn."""
        ...


@dataclass(frozen=True)
class Pair:
    """A row with an instruction and its answer, in columns of these names; learned is the answer.

    `context` is a column that may be missing, null or empty; where it holds text, `with_context` is the
    prompt. `pattern` is what every answer must hold. `bare`: the prompt is the instruction as it stands.
    """

    instruction: str
    answer: str
    prompt: str = INSTRUCTION
    before: str = "\n"  # what sets the answer off from the prompt
    context: str = ""
    with_context: str = WITH_INPUT
    pattern: str = ""
    chat: bool = True  # a chat template is given the bare instruction, not the prompt
    mask: str = "response"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.instruction, self.answer)

    def check(self, row: Row) -> str | None:
        if problem := sources.strings(row, *self.columns, empty=True):
            return problem
        if self.context and (
            problem := sources.text(row.get(self.context), f"column {self.context!r}", empty=True)
        ):
            return problem
        answer = row[self.answer] or ""
        if self.pattern and not re.search(self.pattern, answer):
            return f"column {self.answer!r} must hold '#### <number>', got {sources.shown(answer)}"
        return None

    def example(self, row: Row) -> Example | None:
        instruction, answer = row[self.instruction] or "", row[self.answer] or ""
        context = (row.get(self.context) or "") if self.context else ""
        if not answer.strip() or not (instruction + context).strip():
            return None
        prompt = self.with_context if context.strip() else self.prompt
        said = "\n\n".join(part for part in (instruction, context) if part.strip())
        return Example(
            prompt.format(instruction=instruction, input=context),
            self.before + answer,
            (("user", said),) if self.chat else (),
        )


@dataclass(frozen=True)
class Chat:
    """A conversation: a list of {"role", "content"}; learned is the last assistant turn.

    Turns after it are left out, and so is a conversation in which it answers no user. The plain form is that
    of Tulu (allenai/open-instruct).
    """

    column: str = "messages"
    turn: str = "<|{role}|>\n{text}\n"
    cue: str = "<|assistant|>"
    before: str = "\n"
    mask: str = "response"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def check(self, row: Row) -> str | None:
        if self.column not in row:
            return f"column {self.column!r} is missing; found {sorted(row)}"
        messages = row[self.column]
        if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
            return (
                f"column {self.column!r} must be a list of {{role, content}}, got {sources.shown(messages)}"
            )
        for one in messages:
            if one.get("role") not in ROLES:
                return f"a 'role' must be one of {', '.join(ROLES)}, got {sources.shown(one.get('role'))}"
            if problem := sources.strings(one, "content", empty=True):
                return f"in {self.column!r}: {problem}"
        return None

    def example(self, row: Row) -> Example | None:
        turns = [(one["role"], one["content"] or "") for one in row[self.column]]
        last = max((i for i, (role, _) in enumerate(turns) if role == "assistant"), default=0)
        if last == 0 or turns[last - 1][0] != "user" or not turns[last][1].strip():
            return None
        asked = tuple(turns[:last])
        if not any(text.strip() for role, text in asked if role == "user"):
            return None
        prompt = "".join(self.turn.format(role=role, text=text) for role, text in asked) + self.cue
        return Example(prompt, self.before + turns[last][1], asked)


@dataclass(frozen=True)
class Text:
    """Plain text to go on pretraining with: all of it is learned."""

    column: str = "text"
    mask: str = "all"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def check(self, row: Row) -> str | None:
        return sources.strings(row, self.column, empty=True)

    def example(self, row: Row) -> Example | None:
        text = row[self.column] or ""
        return Example("", text) if text.strip() else None
