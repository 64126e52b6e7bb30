"""`suite eval`: a folder that was not trained here becomes a record; what cannot be scored is one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from suite import weights
from suite.cli import app
from suite.engines.local import Done, Failed, Started
from suite.errors import UserError, one_line
from suite.export import export
from suite.outside import ScoreFolder, Scoring
from suite.outside import resolve as resolve_folder
from suite.record import Record
from suite.request import Request
from suite.store import Store
from suite.workshop import Workshop
from variants.interface import VariantError


def untold(*_: Any, **__: Any) -> None:
    """Nobody follows."""


@pytest.fixture(scope="module")
def folders(trained_store: Path, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained store's cells as exported folders, named by their variant."""
    place = tmp_path_factory.mktemp("folders")
    for one in Store(trained_store).records():
        export(one.id, trained_store, place / one.cell.variant.name, base=str(tiny_base))
    return place


def resolve(folder: Path, base: Path | None, **more: Any) -> Scoring:
    model = None if base is None else str(base)
    flags = {"model": model, "tasks": "math", "limit": "2", "device": "cpu", **more}
    return resolve_folder(str(folder), Request(**flags))


def scored(folder: Path, base: Path | None) -> tuple[ScoreFolder, Any]:
    """The job of a folder, and what it found, run in this process."""
    found = resolve(folder, base)
    (job,) = found.make(found.plan.cells)
    (result,) = job.run(Workshop(found.plan.setup, 1), untold)
    return job, result


def trained(store: Path, variant: str) -> Record:
    return next(one for one in Store(store).records() if one.cell.variant.name == variant)


@pytest.mark.parametrize("variant", ["lora", "loftq", "fullft"])
def test_an_exported_cell_scores_as_it_did(
    variant: str, folders: Path, trained_store: Path, tiny_base: Path
) -> None:
    one = trained(trained_store, variant)
    job, found = scored(folders / variant, tiny_base)
    assert one.after is not None and found.status == "ok"
    assert found.target == one.after.target and found.general == one.after.general
    assert found.held_out == one.after.held_out and found.bits_per_byte == one.after.bits_per_byte
    assert found.adapted == ([] if variant == "fullft" else one.adapted_modules)
    assert [before.key for before in job.before(job.cell)] == [
        before.key for before in job_of(one).before(one.cell)
    ]


def job_of(record: Record) -> Any:
    from suite.jobs import TrainPack

    return TrainPack((record.cell,))


def test_the_cell_says_what_is_known_and_no_more(folders: Path, tiny_base: Path) -> None:
    found = resolve(folders / "lora", tiny_base)
    (cell,) = found.plan.cells
    assert (cell.recipe, cell.learning_rate, cell.seed, cell.variant.revision) == (None, None, None, None)
    assert cell.variant.name == "outside-adapter" and cell.base.name == "tiny"
    settings = cell.variant.settings
    assert (settings["peft_type"], settings["r"]) == ("LORA", 4) and settings["precision"] == "float32"
    assert cell.source == settings["sha256"] == weights.digest(folders / "lora")[:16]
    source = found.jobs[cell.id].source
    assert source.kind == "evaluated" and source.label == "lora" and source.fields["/r"] == 4
    assert str(folders) not in cell.model_dump_json()


def test_another_content_is_another_cell(folders: Path, tiny_base: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folders / "lora", tmp_path / "copy"))
    one, two = (resolve(place, tiny_base).plan.cells for place in (folders / "lora", copy))
    assert one == two, "where a folder lies is no part of the cell"
    tensors = load_file(copy / "adapter_model.safetensors")
    save_file({name: 2 * tensor for name, tensor in tensors.items()}, copy / "adapter_model.safetensors")
    assert resolve(copy, tiny_base).plan.cells[0].id != one[0].id


def test_a_plain_model_without_a_base_has_no_before(folders: Path) -> None:
    found = resolve(folders / "fullft", None)
    (cell,) = found.plan.cells
    assert cell.base.name == cell.base.digest == "unknown" and cell.variant.name == "outside-model"
    assert found.jobs[cell.id].before(cell) == ()


def engine(make: Any, jobs: Any, workers: int, threads: int | None) -> Any:
    """The engine in this process: what a job raises fails it."""
    shop = make()
    for job in jobs:
        yield Started(0, job)
        try:
            yield Done(0, job, job.run(shop, untold))
        except Exception as error:
            yield Failed(0, job, one_line(error))


def test_a_folder_becomes_a_record_and_is_not_scored_twice(
    folders: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("suite.run.local.run", engine)
    words = ["eval", str(folders / "lora"), "--model", str(tiny_base), "--tasks", "math", "--limit", "1"]
    words += ["--store", str(tmp_path), "--device", "cpu", "--workers", "1"]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 0, first.output
    assert "[1/1] outside-adapter on math: ok" in first.stderr
    (one,) = Store(tmp_path).records()
    assert one.before is not None and one.after is not None and one.gain is not None
    assert one.source is not None and one.effect is None and one.trainable_parameters is None
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0 and "1 cells were finished before" in again.stdout


def test_a_folder_that_cannot_be_loaded_leaves_no_record(
    folders: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors of layers that the base lacks are found on loading."""
    monkeypatch.setattr("suite.run.local.run", engine)
    monkeypatch.setattr("suite.run.base_jobs", lambda before, store: [])
    copy = Path(shutil.copytree(folders / "lora", tmp_path / "copy"))
    tensors = load_file(copy / "adapter_model.safetensors")
    extra = {name.replace("layers.1.", "layers.7."): tensor.clone() for name, tensor in tensors.items()}
    save_file({**tensors, **extra}, copy / "adapter_model.safetensors")
    words = ["eval", str(copy), "--model", str(tiny_base), "--tasks", "math", "--device", "cpu"]
    done = CliRunner().invoke(app, [*words, "--store", str(tmp_path / "store")])
    assert done.exit_code == 1
    assert "outside-adapter on math: not measured: VariantError: peft: 14 " in done.stderr
    assert Store(tmp_path / "store").records() == []


def refusal(folder: Path, base: Path | None, **more: Any) -> str:
    with pytest.raises((UserError, VariantError)) as error:
        resolve(folder, base, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_mistakes_are_told_before_anything_is_scored(folders: Path, tiny_base: Path, tmp_path: Path) -> None:
    assert "no folder" in refusal(tmp_path / "nowhere", tiny_base)
    assert "has neither adapter_config.json nor config.json" in refusal(tmp_path, tiny_base)
    assert "unknown task 'maths'" in refusal(folders / "lora", tiny_base, tasks="maths")
    assert "no model folder" in refusal(folders / "lora", tmp_path / "nowhere")
    copy = Path(shutil.copytree(folders / "lora", tmp_path / "copy"))
    (copy / "adapter_model.safetensors").rename(copy / "adapter_model.bin")
    assert "is a pickle" in refusal(copy, tiny_base)
    (copy / "adapter_model.bin").unlink()
    assert "has no adapter_model.safetensors; save" in refusal(copy, tiny_base)
    (copy / "adapter_model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    assert "cannot be read" in refusal(copy, tiny_base)
    shutil.copy(folders / "lora" / "adapter_model.safetensors", copy)
    config = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 4}
    (copy / weights.ADAPTER).write_text(json.dumps(config))
    assert "prompt_tuning is refused" in refusal(copy, tiny_base)
    for broken in (
        b"{",
        b"[1]",
        b'{"peft_type": "\xff"}',
        b'{"peft_type": "LORA", "x": "' + b"y" * (1 << 20) + b'"}',
    ):
        (copy / weights.ADAPTER).write_bytes(broken)
        assert weights.ADAPTER in refusal(copy, tiny_base)
    both = Path(shutil.copytree(tiny_base, tmp_path / "both"))
    shutil.copy(folders / "lora" / weights.ADAPTER, both)
    assert "holds an adapter beside the model" in refusal(folders / "lora", both)
    plain = Path(shutil.copytree(folders / "fullft", tmp_path / "plain"))
    (plain / "model.safetensors").rename(plain / "pytorch_model.bin")
    assert "only safetensors weights are read" in refusal(plain, None)


def test_the_tokenizer_is_part_of_what_was_scored(folders: Path, tmp_path: Path) -> None:
    plain = Path(shutil.copytree(folders / "fullft", tmp_path / "plain"))
    before = weights.digest(plain)
    (plain / "tokenizer.json").write_text("{}")
    assert weights.digest(plain) != before


def test_an_adapter_of_another_architecture_is_told_apart(
    folders: Path, tiny_base: Path, make_model: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    make_model(vocab_size=257, max_position_embeddings=1024).save_pretrained(other)
    for file in tiny_base.glob("tokenizer*"):
        shutil.copy(file, other)
    told = refusal(folders / "lora", other)
    assert "was made for another model" in told and "[4, 32]" in told and "[4, 64]" in told
