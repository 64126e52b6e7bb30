"""Two variants of a store against each other: what is said, in which words, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from suite.cli import app
from suite.compare import versus
from suite.compare_table import flips, sentences
from suite.errors import UserError
from suite.record import Record, Search
from suite.statistics import holm
from suite.store import Store
from tests.example_records.make import LORA, PISSA, STEPS, cell, examples, record, stopped
from tests.suite.test_statistics_records import outcomes

RUNNER = CliRunner()


def measured(variant: Any, task: str, seed: int, right: float, **changes: Any) -> Record:
    """A cell with 200 items, of which the base gets a tenth right."""
    one = record(cell(variant, task, seed, **changes))
    name = f"{task}_test"
    sides = {}
    for side, share in (("before", 0.1), ("after", right)):
        scores = getattr(one, side)
        purpose = (side,) if side == "before" else (side, variant.name, seed)
        sides[side] = scores.model_copy(update={"target": {name: outcomes(name, 200, share, *purpose)}})
    return one.model_copy(update=sides)


def store_of(better: float) -> list[Record]:
    return [
        measured(variant, task, seed, right)
        for variant, right in ((LORA, 0.5), (PISSA, better))
        for task in STEPS
        for seed in (0, 1, 2)
    ]


def test_a_clear_difference_is_told_and_the_family_is_what_is_printed() -> None:
    (found,) = versus(store_of(0.95), "synthetic-lora", "synthetic-pissa")
    gains = [line for line in found.lines if line.quantity == "gain"]
    assert [line.task for line in gains] == ["sums", "words", None]
    assert all(line.verdict == "better" for line in gains)
    assert [line.p for line in found.lines] == holm([line.comparison.p for line in found.lines])
    assert gains[0].comparison.interval.value == pytest.approx(gains[0].b.value - gains[0].a.value)
    assert "gain over tasks: synthetic-pissa is better by " in " ".join(sentences(found))
    assert [flip.seed for flip in gains[0].flips] == [0, 1, 2]
    assert all(flip.p < 0.001 for flip in gains[0].flips)
    assert "exact McNemar p <0.001" in flips(found)[0]


def test_more_forgetting_is_worse() -> None:
    records = [
        record(one.cell, skills=(0, 0, 0) if one.cell.variant == PISSA else (3, 3, 2))
        for one in store_of(0.5)
    ]
    (found,) = versus(records, "synthetic-lora", "synthetic-pissa")
    line = next(one for one in found.lines if (one.task, one.quantity) == (None, "forgetting"))
    assert line.comparison.interval.value > 0
    assert line.verdict == "cannot tell"
    assert replace(line, p=0.01).verdict == "worse"


def test_where_nothing_tells_apart_it_says_what_would_have_been_seen() -> None:
    (found,) = versus(store_of(0.5), "synthetic-lora", "synthetic-pissa", "sums")
    assert {line.task for line in found.lines} == {"sums"}
    line = found.lines[0]
    assert line.verdict == "cannot tell"
    told = f"a difference of {line.comparison.detectable:.1f} points or more, looked at alone, would"
    assert told in sentences(found)[0]


def test_cells_that_did_not_finish_are_told() -> None:
    (found,) = versus(examples(), "synthetic-lora", "synthetic-pissa")
    assert "1 of 4 cells of synthetic-pissa are left out: diverged" in found.notes
    assert any(note.startswith("no loss on sums: ") for note in found.notes)
    assert {line.comparison.interval.seeds for line in found.lines if line.task == "sums"} == {1}


def test_tuned_cells_come_first_and_then_the_documented_rates() -> None:
    records = []
    trial = Search(method="grid", rates=[0.01, 0.02], default=0.005, role="trial")
    default = trial.model_copy(update={"role": "default"})
    for variant, search, rate in ((LORA, trial, 0.01), (LORA, default, 0.005), (PISSA, trial, 0.005)):
        for seed in (0, 1):
            one = measured(variant, "sums", seed, 0.5, learning_rate=rate)
            records.append(one.model_copy(update={"search": search}))
    found = versus(records, "synthetic-lora", "synthetic-pissa")
    assert [(one.a, one.b) for one in found] == [
        ("synthetic-lora", "synthetic-pissa"),
        ("synthetic-lora (default)", "synthetic-pissa"),
    ]


def test_what_cannot_be_compared_is_an_error_that_says_why() -> None:
    records = store_of(0.5)
    with pytest.raises(UserError, match="did you mean 'synthetic-pissa'"):
        versus(records, "synthetic-lora", "synthetic-pisa")
    with pytest.raises(UserError, match="against itself"):
        versus(records, "synthetic-lora", "synthetic-lora")
    with pytest.raises(UserError, match="no task 'rhymes'"):
        versus(records, "synthetic-lora", "synthetic-pissa", "rhymes")
    elsewhere = [
        measured(one.cell.variant, one.cell.task.name, 0, 0.5, track="other@1")
        if one.cell.variant == PISSA
        else one
        for one in records
    ]
    with pytest.raises(UserError, match="track synthetic@1 and other@1"):
        versus(elsewhere, "synthetic-lora", "synthetic-pissa")
    lost = [stopped(cell(PISSA, "sums", 0), "oom", "no memory"), *records[:6]]
    with pytest.raises(UserError, match="nothing to compare"):
        versus(lost, "synthetic-lora", "synthetic-pissa")
    two_rates = [*records, measured(LORA, "sums", 0, 0.5, learning_rate=0.1)]
    with pytest.raises(UserError, match=r"no variant 'synthetic-lora' .* did you mean 'synthetic-lora at"):
        versus(two_rates, "synthetic-lora", "synthetic-pissa")
    assert versus(two_rates, "synthetic-lora at 0.1", "synthetic-pissa")


def test_the_command(tmp_path: Path) -> None:
    place = Store(tmp_path)
    for one in store_of(0.95):
        place.write(one)
    names = ["compare", "synthetic-lora", "synthetic-pissa", "--store", str(tmp_path)]
    shown = RUNNER.invoke(app, names)
    assert shown.exit_code == 0 and "synthetic-pissa is better by" in " ".join(shown.output.split())
    (found,) = json.loads(RUNNER.invoke(app, [*names, "--json"]).output)
    assert found["lines"][0]["verdict"] == "better"
    assert found["lines"][0]["comparison"]["interval"]["seeds"] == 3
    wrong = RUNNER.invoke(app, [*names[:2], "nobody", *names[3:]])
    assert wrong.exit_code == 2 and "no variant 'nobody'" in wrong.output
    assert RUNNER.invoke(app, [*names[:4], str(tmp_path / "none")]).exit_code == 2
