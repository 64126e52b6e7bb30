"""How our own lm-eval tasks score one answer; the yaml files beside this one name these functions."""

from __future__ import annotations

from typing import Any

from tasks import instruct, sandbox
from tasks.pocket.instruct import follows


def runs(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """pass@1: whether the prompt with its completion passes the tests, run in the sandbox."""
    program = f"{doc['prompt']}{results[0]}\n\n{doc['test']}\n\ncheck({doc['entry_point']})\n"
    return {"pass@1": float(sandbox.run(program).passed)}


def instruction(doc: dict[str, Any]) -> str:
    """The prompt, in exactly the form that the training examples have."""
    return instruct.prompt(doc)


def obeys(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """prompt_level_strict_acc: whether the answer follows every instruction.

    A table of rows gives every instruction the same keywords, empty where it has none: those are dropped.
    """
    asked = zip(doc["instruction_id_list"], doc["kwargs"], strict=True)
    obeyed = (
        follows(id_, {k: v for k, v in given.items() if v is not None}, results[0]) for id_, given in asked
    )
    return {"prompt_level_strict_acc": float(all(obeyed))}
