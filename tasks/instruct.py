"""Instructions whose obedience a program can verify: IFEval, and its pocket form.

{"key": 0, "prompt": "Repeat these words: ship feather. Put commas between the words. ...",
 "instruction_id_list": ["content:words", "format:separator", "format:mark"],
 "kwargs": [{"words": ["ship", "feather"]}, {"separator": ", ", "words": ["ship", "feather"]}, {"mark": "!"}],
 "response": "ship, feather!"}
"""

from __future__ import annotations

from typing import Any

from tasks import forms, sources
from tasks.interface import Evaluation, Example, Task
from tasks.lm_eval import OWN, over
from tasks.sets import Domain, TrainingSet

REVISION = 1
SUMMARY = "instructions about words and format, scored by verifying every one of them"


def pocket() -> Task:
    """Instructions of the pocket world."""
    splits = {split: sources.pocket("instruct", split) for split in ("train", "validation", "test")}
    config = over(OWN / "pocket_instruct.yaml", "pocket_instruct", splits["test"])
    return Task(
        name="instruct",
        source="pocket",
        revision=REVISION,
        summary=SUMMARY,
        digest=sources.digest_of_rows(*splits.values()),
        examples=lambda split: [example(row) for row in sources.split_of(splits, split)],
        evaluations=(Evaluation("pocket_instruct", "prompt_level_strict_acc", config),),
    )


def prompt(row: dict[str, Any]) -> str:
    """What the model reads, in training and in evaluation."""
    return f"Instruction: {row['prompt']}\nResponse:"


def example(row: dict[str, Any]) -> Example:
    """A row with a right answer to it."""
    return Example(prompt(row), f" {row['response']}")


ALPACA = forms.Pair("instruction", "output", context="input")
DOMAIN = Domain(
    "instruct",
    SUMMARY,
    sets=(
        TrainingSet("alpaca", "alpaca/train.jsonl", ALPACA, "52,000 instructions"),
        TrainingSet("tulu3", "tulu3/train.jsonl", forms.Chat(), "939,000 conversations"),
    ),
    evaluations=("ifeval",),
    pocket=pocket,
)
