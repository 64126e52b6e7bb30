"""Word problems with worked steps: GSM8K, its pocket form, and other texts of mathematics to train on.

    {"question": "Max has 10 coins. Max buys 4 more. Then Max gives 4 coins to Paul. How many are there now?",
     "answer": "10 + 4 = 14\\n14 - 4 = 10\\n#### 10"}

Scored by lm-eval's stock gsm8k, headline exact_match under its strict-match filter (the number after "####").
Pairs are trained on in the form of that prompt; MetaMathQA's answers end in "#### <number>" too. The pocket
world is scored 0-shot: its base is fine-tuned in just this form, and its context does not hold five shots.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from tasks import forms, sources
from tasks.interface import Example, Task
from tasks.lm_eval import stock
from tasks.sets import Domain, TrainingSet

REVISION = 1
HELD_OUT = 473  # the last rows of GSM8K's training file: our validation split; 7,000 remain to train on
FILES = ("gsm8k/train.jsonl", "gsm8k/test.jsonl")
SUMMARY = "word problems with worked steps, scored by the number after ####"
GSM8K = forms.Pair("question", "answer", forms.QUESTION, before=" ", pattern=r"#### -?[0-9.,]+", chat=False)
METAMATHQA = forms.Pair("query", "response", forms.QUESTION, before=" ", chat=False)

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
    changes = {"filter": "strict-match", "generation_kwargs": POCKET_GENERATION}
    scored = stock("gsm8k/gsm8k.yaml", "pocket_math", splits["test"], "exact_match", **changes)
    return Task(
        name="math",
        source="pocket",
        revision=REVISION,
        summary=SUMMARY,
        digest=sources.digest_of_rows(*splits.values()),
        examples=lambda split: [example(row) for row in sources.split_of(splits, split)],
        evaluations=(scored,),
    )


def check(row: sources.Row) -> str | None:
    """What is wrong with a row of GSM8K as an evaluation reads it, if anything."""
    return sources.strings(row, *GSM8K.columns) or GSM8K.check(row)


def example(row: sources.Row) -> Example:
    """A row in the form of the stock prompt."""
    found = GSM8K.example(row)
    assert found is not None, f"a row of the pocket world has nothing to learn: {row}"
    return found


def overlap(data: Path, lines: int | None = None) -> dict[str, int]:
    """Of the first `lines` lines of MetaMathQA (None: all): how many were made from GSM8K's questions.

    'rows', and 'train' and 'test': those whose original question is found in that file of GSM8K, where the
    folder has it. Only white space may differ.
    """
    asked = {
        Path(name).stem: {_plain(row["question"]) for row in sources.local(data, name, ("question",), _asked)}
        for name in FILES
        if (data / name).is_file()
    }
    originals: Counter[Any] = Counter()
    path = data / "metamathqa/train.jsonl"
    for number, line in enumerate(islice(sources.lines(path), lines), 1):
        if line.strip():
            question = sources.parse(path, number, line, lambda row: None).get("original_question")
            originals[question if isinstance(question, str) else None] += 1
    found = {"rows": originals.total()}
    for split, questions in asked.items():
        found[split] = sum(n for text, n in originals.items() if text and _plain(text) in questions)
    return found


def _asked(row: sources.Row) -> str | None:
    return sources.strings(row, "question")


def _plain(text: str) -> str:
    return " ".join(text.split())


def _metamathqa_notes(data: Path, lines: int) -> tuple[str, ...]:
    """What a reader of scores on GSM8K must know about training on MetaMathQA."""
    found = overlap(data, lines)
    said = "metamathqa is rewritten from the training questions of GSM8K and MATH: scores there are in-domain"
    counted = [f"{found[split]} from GSM8K's {split} rows" for split in ("train", "test") if split in found]
    if counted:
        said += f"; of {found['rows']} rows read, {' and '.join(counted)}"
    return (said, "metamathqa has several rows per original question, held-out ones included")


DOMAIN = Domain(
    "math",
    SUMMARY,
    sets=(
        TrainingSet("gsm8k", FILES[0], GSM8K, "7,473 problems", test=FILES[1], held_out=HELD_OUT),
        TrainingSet(
            "metamathqa",
            "metamathqa/train.jsonl",
            METAMATHQA,
            "395,000 problems rewritten from GSM8K and MATH",
            notes=_metamathqa_notes,
        ),
        TrainingSet("openwebmath", "openwebmath/train.jsonl", forms.Text(), "plain text of the web"),
    ),
    evaluations=("gsm8k",),
    pocket=pocket,
)
