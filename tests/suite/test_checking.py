"""`suite check-variant` and what `suite list variants` and `suite run` say of plugins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from suite.checking import BIASED, TINY, WIDE, check
from suite.cli import app
from tests.variants import faulty as bad
from tests.variants.checked import DELTAS
from tests.variants.rightful import BitFit
from variants import VariantError, plugins, registry
from variants.check import CHECKS
from variants.lora import LoRA


def command(*words: str) -> tuple[int, str, str]:
    """Exit code, what is printed, and what is told on stderr."""
    result = CliRunner().invoke(app, ["check-variant", *words], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three variants, of which one is faulty, and a broken plugin."""
    sound, wrong = bad.Plain, type(bad.faulty(bad.Unscaled))
    monkeypatch.setattr(registry, "BUILTIN", {"lora": LoRA, "plain": sound, "wrong": wrong})
    shaky = plugins.Plugin("shaky", "lora-suite-shaky 0.3", fault="cannot be loaded")
    monkeypatch.setattr(plugins, "loaded", lambda taken: [shaky])


def test_a_sound_variant_passes() -> None:
    code, out, _ = command("lora:rank=2,targets=q_proj+up_proj")
    assert code == 0 and out.rstrip().endswith("passes")
    lines = [line.strip() for line in out.splitlines()]
    assert all(any(line.startswith(f"{check} ") for line in lines) for check in CHECKS)
    assert "passed" in out and "failed" not in out


def test_a_faulty_one_fails(few: None) -> None:
    code, out, _ = command("wrong")
    assert code == 1 and out.rstrip().endswith("fails")
    (line,) = [line for line in out.splitlines() if "failed" in line]
    assert line.strip().startswith(DELTAS) and "logits differ by" in line


def test_json(few: None) -> None:
    code, out, _ = command("wrong", "--json")
    (one,) = json.loads(out)
    assert code == 1 and one["variant"] == "wrong" and one["ok"] is False and one["broken"] is None
    assert [check["check"] for check in one["checks"]] == list(CHECKS)
    assert {check["check"] for check in one["checks"] if check["status"] == "failed"} == {DELTAS}


def test_all_has_a_row_for_each_and_the_failures(few: None) -> None:
    code, out, _ = command("--all")
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert code == 1 and "2 of 4 variants pass" in out
    assert rows["plain"].split()[1:4] == [str(len(CHECKS)), "0", "0"]
    assert rows["wrong"].split()[1:4] == [str(len(CHECKS) - 1), "1", "0"] and DELTAS in rows["wrong"]
    assert "broken: shaky of lora-suite-shaky 0.3: cannot be loaded" in rows["shaky"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "takes the name of one variant, or --all"),
        (["lora", "--all"], "takes the name of one variant, or --all"),
        (["lara"], "unknown variant 'lara'; nearest is 'lora'"),
        (["lora:rank=0"], "rank must be 1 or more"),
        (["lora", "--model", "./nowhere"], "no model folder './nowhere'"),
    ],
)
def test_mistakes_are_one_line(words: list[str], told: str) -> None:
    code, out, errors = command(*words)
    assert code == 2 and out == "" and errors.startswith("error: ") and told in errors
    assert errors.count("\n") == 1


def test_a_broken_plugin_is_listed_and_told(few: None) -> None:
    listed = CliRunner().invoke(app, ["list", "variants"])
    assert listed.exit_code == 0
    assert listed.stdout.splitlines()[-1] == "broken: shaky of lora-suite-shaky 0.3: cannot be loaded"
    with pytest.raises(VariantError, match=r"broken plugin shaky of lora-suite-shaky 0\.3: cannot be loaded"):
        check("shaky")


def test_a_model_that_is_given(tiny_base: Path) -> None:
    assert check("lora:rank=2,targets=q_proj", str(tiny_base)).ok


def test_the_tiny_model_has_what_the_variant_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BUILTIN", {"bitfit": BitFit, "lora": LoRA})
    notes = {r.check: r.note for r in check("bitfit").results}
    assert notes["attaches"] == f"{7 * BIASED['num_hidden_layers']} modules"
    wide = check("lora:rank=100,targets=up_proj")
    sides = WIDE["hidden_size"] + WIDE["intermediate_size"]
    assert wide.ok and f"{100 * sides * TINY['num_hidden_layers']} numbers" in {r.note for r in wide.results}


def test_one_that_cannot_be_built_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def example(cls: type[LoRA]) -> LoRA:
        raise RuntimeError("no example\nhere")

    monkeypatch.setattr(LoRA, "example", classmethod(example))
    one = check("lora")
    assert not one.ok and one.broken == "it cannot be built: RuntimeError: no example here"
