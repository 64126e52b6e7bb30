"""A task's digest covers what a model reads beside the rows: prompts, and how answers are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks import forms, general, lm_eval, math, registry
from tasks.lm_eval import rules


def test_the_prompt_of_a_pocket_task_is_part_of_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = registry.get("math").digest
    monkeypatch.setattr(math, "GSM8K", replace(math.GSM8K, prompt="Q: {instruction}\nA:"))
    assert registry.get("math").digest != before


def test_how_answers_are_asked_for_is_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = registry.get("math").digest
    monkeypatch.setitem(math.POCKET_GENERATION, "max_gen_toks", 95)
    assert registry.get("math").digest != before
    skills = registry.general().digest
    monkeypatch.setitem(general.STOCK, "winogrande", ("winogrande/default.yaml", "acc"))
    assert registry.general().digest == skills
    monkeypatch.setitem(general.STOCK, "winogrande", ("arc/arc_challenge.yaml", "acc"))
    assert registry.general().digest != skills


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A configuration over a task file of one's own, written anew for every call."""

    def write(text: str = "ask: x", code: str = "pass", base: str = "shots: 1", **own: Any) -> dict[str, Any]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        lines = f"include: base.yaml\n{text}\nprocess_results: !function utils.check\n"
        (folder / "task.yaml").write_text(lines)
        (folder / "base.yaml").write_text(base)
        (folder / "utils.py").write_text(code)
        (folder / "other.py").write_text(str(folder))
        return lm_eval.over(folder / "task.yaml", "t", [{"a": str(folder)}], **own)

    return write


def test_rules_are_the_files_and_settings_and_not_rows_or_places(config: Any) -> None:
    one = rules(config())
    assert one == rules(config()) and len(one) == 16, "other rows in another folder"
    changed = [config(text="ask: y"), config(code="return 1"), config(base="shots: 2"), config(num_fewshot=3)]
    assert len({one, *map(rules, changed)}) == 5


def test_a_function_in_a_configuration_is_its_name(config: Any) -> None:
    one, other = config(process_docs=forms.Pair.check), config(process_docs=forms.Pair.example)
    assert rules(one) == rules(dict(one)) != rules(other)
