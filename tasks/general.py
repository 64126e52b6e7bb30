"""What forgetting is measured on: three general skills, and the loss on general text.

HellaSwag and ARC-Challenge are scored by acc_norm and WinoGrande by acc, as in lm-eval's stock tasks and the
papers that compare forgetting. 0-shot, because fine-tuning must not be blamed for shots that do not fit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks import sources
from tasks.interface import Evaluation
from tasks.lm_eval import OWN, over, rules, stock

REVISION = 1
STOCK = {
    "hellaswag": ("hellaswag/hellaswag.yaml", "acc_norm"),
    "arc_challenge": ("arc/arc_challenge.yaml", "acc_norm"),
    "winogrande": ("winogrande/default.yaml", "acc"),
}
POCKET = {"hellaswag": "hellaswag", "arc_challenge": "arc", "winogrande": "winogrande"}
FILES = {
    "hellaswag": "hellaswag/validation.jsonl",
    "arc_challenge": "arc_challenge/test.jsonl",
    "winogrande": "winogrande/validation.jsonl",
}
COLUMNS = {
    "hellaswag": ("activity_label", "ctx_a", "ctx_b", "endings", "label"),
    "arc_challenge": ("question", "choices.text", "choices.label", "answerKey"),
    "winogrande": ("sentence", "option1", "option2", "answer"),
}
TEXT = ("c4/validation.jsonl", "wiki/validation.jsonl")


@dataclass(frozen=True)
class General:
    """The evaluations of forgetting; `digest` covers the data that they read, `files` tells their SHA-256."""

    evaluations: tuple[Evaluation, ...]
    text: Evaluation | None
    source: str
    digest: str
    files: dict[str, str] = field(default_factory=dict, compare=False)


def pocket() -> General:
    """The skills and the text of the pocket world."""
    rows = {skill: sources.pocket(name, "test") for skill, name in POCKET.items()}
    pages = sources.pocket("text", "test")
    scored = tuple(_skill(skill, f"pocket_{POCKET[skill]}", rows[skill]) for skill in STOCK)
    text = _text("pocket_text", pages)
    digest = _digest(sources.digest_of_rows(*rows.values(), pages), (*scored, text))
    return General(scored, text, "pocket", digest)


def local(data: Path) -> General:
    """The real files of a folder; the text is C4's and Wikipedia's where the folder has them."""
    scored = tuple(_skill(s, s, sources.local(data, FILES[s], COLUMNS[s], CHECKS[s])) for s in STOCK)
    found = tuple(name for name in TEXT if (data / name).is_file())
    texts = [row["text"] for name in found for row in sources.local(data, name, ("text",), check_text)]
    text = _text("text", [{"page": page} for page in texts]) if texts else None
    names = (*FILES.values(), *found)
    scored_and_text = scored if text is None else (*scored, text)
    digest = _digest(sources.digest_of_files(data, *names), scored_and_text)
    return General(scored, text, "local", digest, sources.sha256_of(data, *names))


def _digest(rows: str, scored: tuple[Evaluation, ...]) -> str:
    """Over the rows, and over how each evaluation asks and judges."""
    return sources.digest([rows, *(rules(evaluation.config) for evaluation in scored)])


def files() -> tuple[str, ...]:
    """What is read of a data folder; the text is read where it is there."""
    return (*FILES.values(), *TEXT)


def _skill(skill: str, name: str, rows: list[dict[str, Any]]) -> Evaluation:
    include, metric = STOCK[skill]
    return stock(include, name, rows, metric)


def _text(name: str, pages: list[dict[str, Any]]) -> Evaluation:
    return Evaluation(name, "bits_per_byte", over(OWN / "text.yaml", name, pages))


def check_hellaswag(row: dict[str, Any]) -> str | None:
    """What is wrong with a row of HellaSwag, if anything."""
    if problem := sources.strings(row, "activity_label", "ctx_a", "ctx_b", "label"):
        return problem
    if problem := sources.texts(row, "endings", 2):
        return problem
    labels = [str(i) for i in range(len(row["endings"]))]
    return None if row["label"] in labels else f"column 'label' must be one of {labels}, got {row['label']!r}"


def check_arc(row: dict[str, Any]) -> str | None:
    """What is wrong with a row of ARC, if anything."""
    if problem := sources.strings(row, "question", "answerKey"):
        return problem
    choices = row.get("choices")
    if not isinstance(choices, dict):
        return f"column 'choices' must be an object with 'text' and 'label', got {sources.shown(choices)}"
    if problem := sources.texts(choices, "text", 2) or sources.texts(choices, "label", 2):
        return f"in 'choices': {problem}"
    if len(choices["text"]) != len(choices["label"]):
        return f"'choices' has {len(choices['text'])} texts and {len(choices['label'])} labels"
    if row["answerKey"] not in choices["label"]:
        return f"column 'answerKey' must be one of {choices['label']}, got {row['answerKey']!r}"
    return None


def check_winogrande(row: dict[str, Any]) -> str | None:
    """What is wrong with a row of WinoGrande, if anything."""
    if problem := sources.strings(row, *COLUMNS["winogrande"]):
        return problem
    if "_" not in row["sentence"]:
        return f"column 'sentence' must hold a '_' for the option, got {sources.shown(row['sentence'])}"
    if row["answer"] not in ("1", "2"):
        return f"column 'answer' must be '1' or '2', got {row['answer']!r}"
    return None


def check_text(row: dict[str, Any]) -> str | None:
    """What is wrong with a row of general text, if anything."""
    problem = sources.strings(row, "text")
    return problem or (None if row["text"].strip() else "column 'text' is empty")


CHECKS = {"hellaswag": check_hellaswag, "arc_challenge": check_arc, "winogrande": check_winogrande}
