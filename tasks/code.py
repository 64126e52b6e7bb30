"""Functions from a description, scored by running tests: HumanEval and MBPP, and their pocket form.

{"prompt": "def solve(xs):\\n    \\"\\"\\"Take the largest of xs, then add 4.\\"\\"\\"",
 "canonical_solution": "\\n    x = max(xs)\\n    return x + 4",
 "test": "def check(candidate):\\n    assert candidate([3, 9, 2]) == 13\\n", "entry_point": "solve"}
"""

from __future__ import annotations

from typing import Any

from tasks import forms, sources
from tasks.interface import Evaluation, Example, Task
from tasks.lm_eval import OWN, over
from tasks.sets import Domain, TrainingSet

REVISION = 1
SUMMARY = "Python functions from a description, scored by running tests in a sandbox"


def pocket() -> Task:
    """Functions of the pocket world."""
    splits = {split: sources.pocket("code", split) for split in ("train", "validation", "test")}
    config = over(OWN / "pocket_code.yaml", "pocket_code", splits["test"])
    return Task(
        name="code",
        source="pocket",
        revision=REVISION,
        summary=SUMMARY,
        digest=sources.digest_of_rows(*splits.values()),
        examples=lambda split: [example(row) for row in sources.split_of(splits, split)],
        evaluations=(Evaluation("pocket_code", "pass@1", config, runs_code=True),),
    )


def example(row: dict[str, Any]) -> Example:
    """A row in the form of the evaluation's prompt: the def line and its description, then the body."""
    return Example(row["prompt"], row["canonical_solution"])


ALPACA = forms.Pair("instruction", "output", context="input")
DOMAIN = Domain(
    "code",
    SUMMARY,
    sets=(
        TrainingSet("codealpaca", "codealpaca/train.jsonl", ALPACA, "20,000 instructions about code"),
        TrainingSet(
            "magicoder",
            "magicoder/train.jsonl",
            forms.Pair("instruction", "response"),
            "110,000 evolved instructions about code",
        ),
        TrainingSet("starcoder", "starcoder/train.jsonl", forms.Text("content"), "plain Python files"),
    ),
    evaluations=("humaneval", "mbpp"),
    pocket=pocket,
)
