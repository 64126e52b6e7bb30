"""Folders of result files: whatever stands in them is taken safely or refused by name, and once is enough."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from suite import importing
from suite.cli import app
from suite.importing import import_peft
from suite.peft_results import ResultError
from suite.store import Store
from suite.summary import boards
from suite.table import table
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
from tests.needs import real_data


def test_whatever_is_missing_is_null(tmp_path: Path) -> None:
    content = result()
    needed = {("run_info",), ("run_info", "train_config"), ("run_info", "train_config", "model_id")}
    refused, found = set(), []
    for place in places(content):
        try:
            found.append(taken(changed(content, place, MISSING), tmp_path))
        except ResultError as error:
            assert "\n" not in str(error)
            refused.add(place)
    assert refused == needed
    assert {one.learning_rate for record in found if (one := record.cell)} == {0.02, None}
    assert {record.total_parameters for record in found} == {4096, None}
    assert {record.score for record in found} == {25.0, None}
    assert "None" not in terminal(found) + page(found)


HOSTILE: list[Any] = [
    *(None, True, -1, 10**30, 10**400, float("nan"), float("inf"), [], {}, [[]], {"a": {}}, "", "x" * 500),
    *("\x1b[31mred", "\ud800", "a\nb", "<script>alert(1)</script>", "[bold]../../etc/passwd", "\u202eevil"),
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:20])
def test_whatever_stands_anywhere_is_taken_safely_or_refused(tmp_path: Path, value: Any) -> None:
    content = result()
    found = []
    for i, place in enumerate(places(content)):
        try:
            found.append(taken(changed(content, place, value), tmp_path, f"{i}.json"))
        except ResultError as error:
            assert str(error).isprintable() and len(str(error)) < 400, place
    text, html = terminal(found), page(found)
    assert bool(found) == (value != "\ud800"), "what is no Unicode cannot be kept word for word"
    assert not any(c in text + html for c in "\x1b\u202e") and "<script>alert" not in html
    for one in found:
        Store(tmp_path / "store").write(one)
    again = {one.id: one.model_dump_json() for one in Store(tmp_path / "store").records()}
    assert again == {one.id: one.model_dump_json() for one in found}


def test_what_is_new_is_let_through_and_kept(tmp_path: Path) -> None:
    content = result()
    for place in [(), *(p for p in places(content) if isinstance(at(content, pointer_to(p)), dict))]:
        found = taken(changed(content, (*place, "brand new"), {"of": ["tomorrow"]}), tmp_path)
        assert found.source is not None and found.score == 25.0
        assert found.source.fields[pointer_to((*place, "brand new", "of", 0))] == "tomorrow"


BROKEN: list[tuple[str, Any, str | None]] = [
    ("empty", "", "not JSON"),
    ("half", json.dumps(result())[:99], "not JSON"),
    ("list", [1], "no result file of method_comparison"),
    ("other", {"hello": {"run_info": 1}}, "no result file of method_comparison"),
    ("adapter", PEFT, "no result file of method_comparison"),
    ("bytes", b"\xff\xfe\x00", "not UTF-8 text (byte 0)"),
    ("deep", "[" * 200_000 + "]" * 200_000, "nested too deeply"),
    ("digits", '{"run_info": ' + "7" * 5000 + "}", "ValueError: Exceeds the limit"),
    ("nested", result(deep=json.loads('{"a":' * 300 + "1" + "}" * 300)), None),
    ("percent", result(accuracy=47.8), "metrics.2.test accuracy: Input should be less than or equal to 1"),
    ("counts", changed(result(), ("train_info", "num_total_params"), -1), "num_total_params: Input should"),
    (
        "rate",
        changed(result(), ("run_info", "train_config", "optimizer_kwargs", "lr"), 0),
        "lr: Input should",
    ),
    ("words", changed(result(), ("train_info", "train_time"), "long"), "train_time: Input should be a valid"),
    (
        "method",
        changed(result(), ("run_info", "peft_config", "peft_type"), "../x"),
        "peft_type: String should",
    ),
    ("name", result(name="a\x1b[2Jb"), "experiment_name: Value error, expected printable text"),
]


@pytest.mark.parametrize(("name", "content", "why"), BROKEN, ids=[name for name, *_ in BROKEN])
def test_a_bad_file_says_why(tmp_path: Path, name: str, content: Any, why: str | None) -> None:
    if why is None:
        assert taken(content, tmp_path).score == 25.0
        return
    with pytest.raises(ResultError) as error:
        taken(content, tmp_path)
    assert why in str(error.value) and "\n" not in str(error.value)


def test_the_sibling_suite_is_refused_by_name(tmp_path: Path) -> None:
    content = result()
    config = content["run_info"]["train_config"]
    del config["query_template"], content["meta_info"]["dataset_info"]
    content["train_info"]["metrics"] = [{"step": 1, "test dino_similarity": 0.5}]
    with pytest.raises(ResultError, match="nothing in it speaks of MetaMathQA"):
        taken(content, tmp_path)
    config |= {"resolution": 512, "instance_prompts": ["a cat"]}
    with pytest.raises(
        ResultError, match="a result of method_comparison/image-gen; only those of MetaMathQA"
    ):
        taken(content, tmp_path)


def test_a_file_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "LARGEST", 100)
    with pytest.raises(ResultError, match="bytes are too many"):
        taken(result(), tmp_path)


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    folder, store = tmp_path / "files", Store(tmp_path / "store")
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.json").write_text(json.dumps(result(f"madeup/{name}")))
    (folder / "c.json").write_bytes((folder / "a.json").read_bytes())
    (folder / "notes.txt").write_text("not looked at")
    first = import_peft(folder, store, "first")
    assert (len(first.records), first.written, first.twins, first.refused) == (2, 2, 1, [])
    kept = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in store.path.rglob("*.json")}
    (folder / "a.json").rename(folder / "z.json")
    second = import_peft(folder, store, "second")
    assert (len(second.records), second.written, second.twins) == (2, 0, 1)
    assert kept == {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in store.path.rglob("*.json")}
    assert first.line == "2 imported (2 new), 1 the same as another file, 0 refused"
    one = next(iter(first.records.values()))
    store.write(one.model_copy(update={"trainable_parameters": 1}))
    assert import_peft(folder, store, "third").written == 1 and store.read(one.id) == one.model_copy(
        update={"provenance": store.read(one.id).provenance, "source": store.read(one.id).source}
    )


def test_the_command(tmp_path: Path) -> None:
    folder, store = tmp_path / "files", tmp_path / "store"
    folder.mkdir()
    words = ["import-peft", str(folder), "--store", str(store)]
    nothing = CliRunner().invoke(app, words)
    assert nothing.exit_code == 2 and "no result files at" in nothing.stderr
    (folder / "bad\x1b[31m.json").write_text("{")
    (folder / "folder.json").mkdir()
    os.symlink(folder / "nowhere", folder / "link.json")
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2 and not store.exists() and refused.stdout == ""
    assert refused.stderr.splitlines()[1:] == [
        "refused folder.json: not a file",
        "refused link.json: not a file",
        f"error: none of the 3 files of {str(folder)!r} could be imported",
    ]
    assert refused.stderr.startswith("refused bad\\x1b[31m.json: not JSON (")
    (folder / "good.json").write_text("\ufeff" + json.dumps(result()))
    mixed = CliRunner().invoke(app, words, env={"COLUMNS": "100"})
    assert mixed.exit_code == 1 and len(mixed.stderr.splitlines()) == 3
    assert "1 imported (1 new), 3 refused, in " in mixed.stdout and "madeup/first" in mixed.stdout
    alone = CliRunner().invoke(app, ["import-peft", str(folder / "good.json"), "--store", str(store)])
    assert alone.exit_code == 0 and "1 imported (0 new), 0 refused" in alone.stdout
    page = CliRunner().invoke(app, ["site", "--store", str(store)])
    assert page.exit_code == 0 and "Score: metamathqa/gsm8k" in Path(page.stdout.strip()).read_text()
    (store / "records" / "junk.json").write_text("{")
    assert CliRunner().invoke(app, words).exit_code == 1, "an import does not need the rest of the store"


# Published: experiment -> (test accuracy, trainable parameters, train seconds, final train loss)
PUBLISHED = {
    "lora/llama-3.2-3B-rank32": (0.4784, 9_175_040, 942, 0.607),
    "lora/llama-3.2-3B-rank64-rslora": (0.5133, 18_350_080, 966, 0.566),
    "lora/llama-3.2-3B-rank32-lorafa": (0.4041, 3_670_016, 1159, 0.651),
    "full-finetuning/llama-3.2-3B-lr_0.00001": (0.4716, 3_212_749_824, 2147, 0.599),
    "lily/llama-3.2-3B-rank140-mlp-a2-b2-s8.0": (0.5262, 9_485_280, 1324, 0.532),
    "ln_tuning/llama-3.2-3B-default": (0.0, 175_104, 918, 1.237),
}


def test_the_real_files(tmp_path: Path) -> None:
    folder = real_data() / "peft_metamathqa"
    if not folder.is_dir():
        pytest.skip(f"no result files at {folder}")
    found = import_peft(folder, Store(tmp_path), "test")
    assert found.refused == [] and len(found.records) == len(list(folder.glob("*.json"))) == found.written
    by_label = {one.source.label: one for one in found.records.values() if one.source}
    for label, (accuracy, trainable, seconds, loss) in PUBLISHED.items():
        one = by_label[label]
        assert one.cost is not None and one.score == pytest.approx(100 * accuracy, abs=0.005)
        assert one.trainable_parameters == trainable
        assert one.cost.train_wall_s == pytest.approx(seconds, abs=1)
        assert one.curve[-1].loss == pytest.approx(loss, abs=0.001) and len(one.curve) == 20
    (board,) = boards(found.records.values())
    assert len(board.rows) == len(found.records) and board.scores_only
    scores = [row.mean_score for row in board.rows]
    assert all(score is not None for score in scores) and scores == sorted(scores, key=lambda s: -(s or 0))
    assert {one.status for one in found.records.values()} == {"ok"}
    assert all(one.forgetting is None and one.gain is None for one in found.records.values())
    console = Console(width=100, file=io.StringIO(), color_system=None)
    console.print(table(found.records.values()))
    assert isinstance(console.file, io.StringIO)
    assert all(len(line) <= 100 for line in console.file.getvalue().splitlines())
