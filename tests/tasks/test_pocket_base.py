"""The shipped base: it loads by the plain library, reads any text, and scores what the README says."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from suite.scoring.evaluate import evaluate
from tasks import registry

FOLDER = Path(str(files("tasks.pocket"))) / "base"
README = Path(__file__).parents[2] / "README.md"
SKILLS = ("pocket_hellaswag", "pocket_arc", "pocket_winogrande")
TASKS = ("pocket_math", "pocket_code", "pocket_instruct")


def stated() -> dict[str, float]:
    """Evaluation name -> number, from the README's table of the base."""
    rows = re.findall(r"^\| `(pocket_\w+)` \|.*\| ([\d.]+) \|$", README.read_text(), re.MULTILINE)
    return {name: float(value) for name, value in rows}


@cache
def measured() -> dict[str, float]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = AutoModelForCausalLM.from_pretrained(FOLDER).eval()
        general = registry.general(None)
        assert general.text is not None
        targets = [e for name in registry.pocket_names() for e in registry.get(name).evaluations]
        tokenizer = AutoTokenizer.from_pretrained(FOLDER)
        scores = evaluate(model, tokenizer, [*general.evaluations, general.text, *targets])
    finally:
        torch.set_num_threads(threads)
    return {name: score.value for name, score in scores.items()}


@pytest.mark.parametrize("name", [*SKILLS, *TASKS, "pocket_text"])
def test_scores_are_what_the_readme_says(name: str) -> None:
    assert measured()[name] == pytest.approx(stated()[name], abs=0.0051)


@pytest.mark.parametrize("name", SKILLS)
def test_general_skills_are_good_and_free_to_move_both_ways(name: str) -> None:
    assert 0.85 <= measured()[name] <= 0.97


@pytest.mark.parametrize("name", TASKS)
def test_the_tasks_are_new_to_it(name: str) -> None:
    assert measured()[name] <= 0.05


def test_it_is_small_and_plain() -> None:
    model = AutoModelForCausalLM.from_pretrained(FOLDER)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert 1e6 <= sum(p.numel() for p in model.parameters()) <= 4e6
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 10e6


def test_the_tokenizer_reads_any_text() -> None:
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    assert len(tokenizer) <= 2048
    for text in ("The cup.", "naïve — 東京 🙂\t\x07", "for i in range(10):\n    x[i] += 1\n"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
