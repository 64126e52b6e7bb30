"""Flags to cells: defaults, overrides, identity."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from suite import model as models
from suite import track as tracks
from suite.errors import UserError
from suite.plan import Plan, packs, precision, resolve
from suite.request import Request
from tests.needs import real_data


def plan(base: Path, **flags: Any) -> Plan:
    given = {"variants": "lora", "tasks": "math", "model": str(base), "device": "cpu", **flags}
    return resolve(Request(**given))


def test_cells_are_seeds_by_tasks_by_variants_by_rates(tiny_base: Path) -> None:
    found = plan(tiny_base, variants="lora:rank=4,pissa", tasks="math,instruct", seeds="0,3", lr="1e-3,2e-3")
    assert len(found.cells) == len({cell.id for cell in found.cells}) == 16
    assert [cell.learning_rate for cell in found.cells[:2]] == [1e-3, 2e-3]
    assert {cell.seed for cell in found.cells} == {0, 3}
    assert found.cells[0].variant.settings["rank"] == 4
    assert found.track == "pocket@2" and found.setup.places.data is None
    assert packs(found.cells) == [(cell,) for cell in found.cells]


def test_defaults_come_from_the_track(tiny_base: Path) -> None:
    found = plan(tiny_base, variants=None, tasks=None)
    assert [cell.task.name for cell in found.cells[::6]] == ["math", "code", "instruct"]
    assert len({cell.variant.name for cell in found.cells}) == 6
    size = tracks.load("pocket").recipe.batch_size
    assert all(cell.learning_rate > 0 and cell.recipe.batch_size == size for cell in found.cells)


def test_what_changes_numbers_changes_the_id_and_nothing_else_does(tiny_base: Path, tmp_path: Path) -> None:
    (one,) = plan(tiny_base).cells
    changes = [{"lr": "0.1"}, {"steps": "7"}, {"seeds": "1"}, {"limit": "5"}, {"variants": "lora:rank=2"}]
    ids = {plan(tiny_base, **change).cells[0].id for change in changes}
    assert len(ids | {one.id}) == 6
    moved = tmp_path / tiny_base.name
    shutil.copytree(tiny_base, moved)
    assert plan(moved).cells[0].id == one.id
    (moved / "tokenizer_config.json").write_text("{}")
    assert models.base_ref(str(moved), moved).digest != one.base.digest


def test_a_gpu_computes_in_bfloat16_and_keeps_float32_weights_where_they_train() -> None:
    assert precision("cpu", False) == precision("cpu", True) == "float32"
    assert precision("cuda:0", False) == "bfloat16" and precision("cuda:0", True) == "mixed"


def test_a_task_that_runs_code_needs_the_sandbox(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.sandbox.available", lambda: "no user namespaces")
    assert plan(tiny_base, tasks="math").cells
    with pytest.raises(UserError, match=r"pocket_code runs model-written code .* no user namespaces"):
        plan(tiny_base, tasks="math,code")


def test_only_safetensors_and_whole_folders_are_bases(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config.json"):
        models.locate(str(tmp_path))
    shutil.copy(tiny_base / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match="only safetensors"):
        models.locate(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="cannot be loaded"):
        models.load(tmp_path, "float32", "cpu")


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("config.json", b"{", "config.json: JSONDecodeError"),
        ("config.json", b"\xff", "config.json: UnicodeDecodeError"),
        ("config.json", b"[]", "config.json holds no object"),
        ("config.json", b'{"max_position_embeddings": "1K"}', "max_position_embeddings is '1K'"),
        ("tokenizer.json", None, "no usable tokenizer"),
        ("tokenizer.json", b"{", "no usable tokenizer"),
        ("tokenizer_config.json", b"[]", "no usable tokenizer"),
        ("model.safetensors", -1, "model.safetensors: SafetensorError"),
        ("model.safetensors", b"", "model.safetensors: SafetensorError"),
    ],
)
def test_a_damaged_base_is_one_line_in_the_plan(
    file: str, content: bytes | int | None, told: str, tiny_base: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_base, folder)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(
            (folder / file).read_bytes()[:content] if isinstance(content, int) else content
        )
    with pytest.raises(UserError) as caught:
        plan(folder)
    assert told in str(caught.value) and str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_loading_gives_the_weights_and_a_padding_token(tiny_base: Path) -> None:
    model, tokenizer = models.load(tiny_base, "bfloat16", "cpu")
    assert {str(p.dtype) for p in model.parameters()} == {"torch.bfloat16"}
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 0


def test_the_context_must_hold_what_is_generated(tiny_base: Path) -> None:
    with pytest.raises(
        UserError, match="pocket_math generates up to 9000 tokens, and the model's context is"
    ):
        plan(tiny_base, max_new_tokens="9000")


def test_the_context_must_hold_the_recipe(tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "short"
    shutil.copytree(tiny_base, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 64}))
    with pytest.raises(UserError, match="max_length 256 of the track is more than the model's context of 64"):
        plan(folder)


def test_a_task_and_its_usual_training_set_are_one_task(tiny_base: Path) -> None:
    with pytest.raises(UserError, match="--tasks names 'math:gsm8k' twice"):
        plan(tiny_base, track="tiny-open", data=(str(real_data()),), tasks="math,math:gsm8k")
