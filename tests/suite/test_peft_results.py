"""One result of peft's comparison becomes one record: every fact kept, nothing made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from suite.summary import boards
from tests.example_records.make import examples
from tests.example_records.peft_files import (
    MISSING,
    PEFT,
    at,
    changed,
    page,
    places,
    pointer_to,
    result,
    taken,
    terminal,
)


def test_a_result_by_hand(tmp_path: Path) -> None:
    found = taken(result(), tmp_path)
    cell, cost, made = found.cell, found.cost, found.provenance
    assert (found.schema_version, found.status, found.error, found.id) == (4, "ok", None, cell.id)
    assert cell.track.startswith("peft-metamathqa@")
    assert (cell.base.name, cell.base.digest) == ("synthetic/base", "c0ffee")
    assert (cell.variant.name, cell.variant.revision) == ("peft-madeup", None)
    assert (cell.task.name, cell.task.source, cell.task.revision) == ("metamathqa/gsm8k", "elsewhere", None)
    assert (cell.recipe, cell.learning_rate, cell.seed) == (None, 0.02, 3)
    settings = cell.variant.settings
    assert (settings["r"], settings["target_modules"]) == (3, ["a_proj", "v_proj"])
    assert (settings["training"]["max_steps"], settings["training"]["batch_size"]) == (20, 2)
    assert settings["training"]["optimizer_kwargs"] == {"weight_decay": 0.5}
    assert found.after is not None and found.before is None
    score = found.after.target["gsm8k"]
    assert (score.value, score.n, score.metric, score.items) == (0.25, None, "test accuracy", [])
    assert (found.after.general, found.after.log_loss, found.after.bits_per_byte) == ({}, {}, None)
    assert [(point.step, point.loss, point.learning_rate) for point in found.curve] == [
        (10, 0.4, None),
        (20, 0.2, None),
    ]
    assert (found.trainable_parameters, found.total_parameters) == (64, 4096)
    assert cost is not None and (cost.train_wall_s, cost.tokens) == (12.5, 400)
    assert (cost.peak_memory_bytes, cost.memory_method) == (2**30, "accelerator_memory_max")
    assert (cost.train_cpu_s, cost.evaluate_wall_s, cost.evaluate_cpu_s) == (None, None, None)
    assert (made.created, made.device, made.threads) == ("2026-02-03T04:05:06+00:00", "Synthetic 9000", None)
    assert (made.versions, made.commit) == ({"peft": "0.0.1", "torch": "9.9"}, "ab" * 20)
    assert (found.score, found.gain, found.forgetting, found.effect, found.weights) == (25, *[None] * 4)


def test_every_fact_of_the_file_is_kept_word_for_word(tmp_path: Path) -> None:
    content = result()
    content["run_info"]["a/b"] = {"~c": [1, True, None, "x\n\x1b[31m", 1.5e-300]}
    source = taken(content, tmp_path, "name.json").source
    assert source is not None
    assert (source.kind, source.label, source.file) == ("imported", "madeup/first", "name.json")
    assert source.origin == "huggingface/peft method_comparison/MetaMathQA/results"
    assert (source.commit, len(source.sha256 or "")) == ("ab" * 20, 64)
    kept = {pointer: at(content, pointer) for pointer in source.fields}
    assert kept == source.fields and [*map(type, kept.values())] == [*map(type, source.fields.values())]
    scalars = [p for p in places(content) if not isinstance(at(content, pointer_to(p)), dict | list)]
    assert sorted(map(pointer_to, scalars)) == sorted(source.fields)


def test_their_forgetting_is_not_ours(tmp_path: Path) -> None:
    found = taken(result(), tmp_path)
    assert found.source is not None and found.forgetting is None
    ((place, note),) = found.source.notes.items()
    assert found.source.fields[place] == -0.125 and place.endswith("/forgetting")
    assert "cross-entropy" in note and "not this suite's forgetting" in note
    assert "-0.125" in page([found]) and "-0.125" in terminal([found])


def test_numbers_that_json_has_no_word_for_are_text(tmp_path: Path) -> None:
    text = json.dumps(result()).replace('"file_size": 77', '"file_size": ' + "9" * 30)
    found = taken(text.replace('"eval time": 7.5', '"eval time": NaN, "x": -Infinity, "y": 1e999'), tmp_path)
    assert found.source is not None
    fields = found.source.fields
    assert fields["/train_info/file_size"] == "9" * 30
    last = [fields[f"/train_info/metrics/0/{name}"] for name in ("eval time", "x", "y")]
    assert last == ["NaN", "-Infinity", "Infinity"]


@pytest.mark.parametrize(
    ("peft", "name"),
    [
        (None, "full-finetuning"),
        (MISSING, "unknown"),
        ({}, "peft-unknown"),
        ({"peft_type": "BRAND_NEW2", "knobs": {"a": [1]}}, "peft-brand_new2"),
    ],
)
def test_what_was_run(tmp_path: Path, peft: Any, name: str) -> None:
    content = changed(result(), ("run_info", "peft_config"), peft)
    variant = taken(content, tmp_path).cell.variant
    assert variant.name == name and "training" in variant.settings
    assert variant.settings.get("knobs") == (peft["knobs"] if name.endswith("2") else None)


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        ("success", "", ("ok", None)),
        ("failed", "it\nbroke", ("failed", "it broke")),
        ("failed", "", ("failed", "failed: no reason given")),
        ("canceled", "manually canceled", ("failed", "canceled: manually canceled")),
        ("canceled", "CUDA out of memory. Tried", ("oom", "CUDA out of memory. Tried")),
        ("brand-new", "", ("failed", "brand-new: no reason given")),
        (None, None, ("ok", None)),
    ],
)
def test_how_it_ended(tmp_path: Path, status: Any, message: Any, expected: tuple[str, str | None]) -> None:
    content = changed(result(error_msg=message), ("train_info", "status"), status)
    found = taken(content, tmp_path)
    assert (found.status, found.error) == expected
    assert (found.score is None) == (found.status != "ok")


def test_a_run_that_failed_before_training(tmp_path: Path) -> None:
    content = result(error_msg="no such layer")
    del content["train_info"], content["meta_info"]
    found = taken(content, tmp_path)
    assert (found.status, found.error, found.cell.base.digest) == ("failed", "no such layer", "unknown")
    nothing = (found.score, found.cost, found.trainable_parameters, found.total_parameters, found.after)
    assert nothing == (None,) * 5 and found.curve == []
    assert (found.provenance.device, found.provenance.versions, found.provenance.commit) == (None, {}, None)
    assert "no such layer" in page([found]) and "no such layer" in terminal([found])


@pytest.mark.parametrize("accuracy", [None, float("nan")])
def test_no_accuracy_is_no_score(tmp_path: Path, accuracy: float | None) -> None:
    found = taken(result(accuracy=accuracy), tmp_path)
    assert (found.status, found.after, found.score) == ("ok", None, None)
    (row,) = (row for board in boards([found]) for row in board.rows)
    assert row.scores == {"metamathqa/gsm8k": None} and row.mean_score is None


def test_files_of_earlier_years(tmp_path: Path) -> None:
    content = result()
    train, system = content["train_info"], content["meta_info"]["system_info"]
    train["cuda_memory_max"] = train.pop("accelerator_memory_max") + 1
    system["gpu"] = system.pop("accelerator")
    del train["num_trainable_params"], content["run_info"]["error_msg"], train["metrics"][-1]["forgetting"]
    found = taken(content, tmp_path)
    assert found.cost is not None and found.source is not None and found.source.notes == {}
    assert (found.cost.peak_memory_bytes, found.cost.memory_method) == (2**30 + 1, "cuda_memory_max")
    assert (found.provenance.device, found.trainable_parameters) == ("Synthetic 9000", None)


def test_like_is_put_beside_like_only(tmp_path: Path) -> None:
    def training(**changes: Any) -> dict[str, Any]:
        return {"train_config": {**result()["run_info"]["train_config"], **changes}}

    turned = {**PEFT, "target_modules": PEFT["target_modules"][::-1], "peft_version": "2", "brand_new": None}
    files = {
        "first": result(),
        "again": result("madeup/first", 0.75, peft_config=turned),
        "optimizer": result("madeup/optimizer", **training(optimizer_type="other")),
        "longer": result("madeup/longer", **training(max_steps=40)),
        "base": changed(
            result("madeup/base", **training(model_id="synthetic/base2")),
            ("meta_info", "model_info", "sha"),
            "beef",
        ),
        "data": changed(result("madeup/data"), ("meta_info", "dataset_info", "gsm8k", "sha"), "ccc"),
    }
    records = {name: taken(content, tmp_path, f"{name}.json") for name, content in files.items()}
    assert len({one.id for one in records.values()}) == len(files)
    found = {board.rows[0].label: board for board in boards([*records.values(), *examples()])}
    assert sorted(found) == ["madeup/base", "madeup/data", "madeup/first", "madeup/longer", "synthetic-pissa"]
    rows = {row.label: row for row in found["madeup/first"].rows}
    assert sorted(rows) == ["madeup/first", "madeup/optimizer"]
    mean = rows["madeup/first"].scores["metamathqa/gsm8k"]
    assert mean is not None and (mean.value, mean.n) == (50.0, 2)
    assert [board.scores_only for board in found.values()].count(False) == 1
