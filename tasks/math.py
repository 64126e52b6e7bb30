"""Word problems with worked steps: GSM8K, and its pocket form.

    {"question": "Max has 10 coins. Max buys 4 more. Then Max gives 4 coins to Paul. How many are there now?",
     "answer": "10 + 4 = 14\\n14 - 4 = 10\\n#### 10"}

Scored by lm-eval's stock gsm8k, headline exact_match under its strict-match filter (the number after "####").
0-shot: the model is fine-tuned in just this form, and a context of 1024 tokens does not hold five shots.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tasks import sources
from tasks.interface import Example, Task, TaskError
from tasks.lm_eval import stock

REVISION = 1
HELD_OUT = 473  # the last rows of GSM8K's training file: our validation split; 7,000 remain to train on
FILES = ("gsm8k/train.jsonl", "gsm8k/test.jsonl")
COLUMNS = ("question", "answer")
SUMMARY = "word problems with worked steps, scored by the number after ####"

# The stock task's own generation settings, with fewer new tokens: pocket answers have at most about 60.
POCKET_GENERATION = {
    "until": ["Question:", "</s>", "<|im_end|>"],
    "do_sample": False,
    "temperature": 0.0,
    "max_gen_toks": 96,
}


def pocket() -> Task:
    """Word problems of the pocket world."""
    splits = {split: sources.pocket("math", split) for split in ("train", "validation", "test")}
    return _task("pocket", splits, sources.digest_of_rows(*splits.values()))


def local(data: Path) -> Task:
    """GSM8K from a folder: `gsm8k/train.jsonl` and `gsm8k/test.jsonl`."""
    train, test = (sources.local(data, name, COLUMNS, check) for name in FILES)
    if len(train) <= HELD_OUT:
        raise TaskError(f"{data / FILES[0]}: {len(train)} rows; expected more than the {HELD_OUT} held out")
    splits = {"train": train[:-HELD_OUT], "validation": train[-HELD_OUT:], "test": test}
    return _task("local", splits, sources.digest_of_files(data, *FILES))


def check(row: dict[str, Any]) -> str | None:
    """What is wrong with a row of GSM8K, if anything."""
    problem = sources.strings(row, *COLUMNS)
    if problem is None and not re.search(r"#### -?[0-9.,]+", row["answer"]):
        problem = f"column 'answer' must hold '#### <number>', got {sources.shown(row['answer'])}"
    return problem


def example(row: dict[str, Any]) -> Example:
    """A row in the form of the stock prompt."""
    return Example(f"Question: {row['question']}\nAnswer:", f" {row['answer']}")


def _task(source: str, splits: dict[str, list[dict[str, Any]]], digest: str) -> Task:
    name, changes = ("gsm8k", {})
    if source == "pocket":
        name, changes = ("pocket_math", {"generation_kwargs": POCKET_GENERATION})
    scored = stock("gsm8k/gsm8k.yaml", name, splits["test"], "exact_match", filter="strict-match", **changes)
    return Task(
        name="math",
        source=source,
        revision=REVISION,
        summary=SUMMARY,
        digest=digest,
        examples=lambda split: [example(row) for row in sources.split_of(splits, split)],
        evaluations=(scored,),
    )
