"""The store: whole files or none, one line for whatever is wrong, and nothing before the first write."""

from __future__ import annotations

import gzip
import json
import math
import os
import time
from pathlib import Path

import pytest

from suite.store import Store, StoreError, write_whole
from tests.example_records.make import FOLDER, LORA, cell, examples, examples_of_others, record, scores


def _message(error: pytest.ExceptionInfo[StoreError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_records_come_back_equal_and_sorted(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "store")
    for one in examples():
        store.write(one)
    expected = {one.id: one.model_dump_json() for one in examples()}
    found = store.records()
    assert [one.id for one in found] == sorted(expected)
    assert {one.id: one.model_dump_json() for one in found} == expected
    assert all(store.has(name) and store.read(name).id == name for name in expected)


def test_a_diverged_loss_survives(tmp_path: Path) -> None:
    diverged = next(one for one in examples() if one.status == "diverged")
    Store(tmp_path).write(diverged)
    assert math.isnan(Store(tmp_path).read(diverged.id).curve[0].loss)


def test_same_record_same_bytes_and_no_leftover(tmp_path: Path) -> None:
    one = record(cell(LORA, "sums", 0))
    first = Store(tmp_path).write(one).read_bytes()
    assert Store(tmp_path).write(one).read_bytes() == first
    assert [file.name for file in (tmp_path / "records").iterdir()] == [f"{one.id}.json"]


def test_nothing_is_written_before_the_first_write(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.records() == []
    assert not store.has("0123456789abcdef")
    assert store.base_scores("0123456789abcdef") is None
    assert not store.path.exists()


def test_a_store_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError, match="is a file; give a folder") as error:
        Store(tmp_path / "store")
    assert str(tmp_path / "store") in _message(error)


@pytest.mark.parametrize("name", ["records", "base"])
def test_a_part_of_the_store_that_is_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(StoreError, match="is a file; a store keeps a folder there") as error:
        Store(tmp_path)
    assert _message(error).startswith(str(tmp_path / name))


def test_a_store_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(StoreError, match=r"records: cannot be listed \(Permission denied\)"):
        Store(tmp_path).records()


def test_whether_a_store_can_be_written_is_known_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(tmp_path / "deep" / "store").check_writable()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be made: .*file is not a folder"):
        Store(tmp_path / "file" / "deep" / "store").check_writable()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="link: cannot be written"):
        Store(tmp_path / "link").check_writable()
    with pytest.raises(StoreError, match="cannot be read"):
        Store(tmp_path / ("x" * 300))
    monkeypatch.setattr(os, "access", lambda place, mode: False)  # root may write anywhere
    with pytest.raises(StoreError, match=f"folder {tmp_path} is not writable"):
        Store(tmp_path / "store").check_writable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Invalid JSON"),
        (b'{"schema_version": 1,', "Invalid JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"schema_version": 1}', "a record of schema 1, this version reads 4; make it again: run the same"),
        (b'{"schema_version": "1"}', "schema_version: Input should be 4"),
        (b'{"schema_version": 4}', "id: Field required (and 3 more)"),
        (b"[]", "Input should be an object"),
    ],
)
def test_a_damaged_record_names_file_and_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    file = Store(tmp_path).write(record(cell(LORA, "sums", 0)))
    file.write_bytes(content)
    with pytest.raises(StoreError) as error:
        Store(tmp_path).records()
    assert _message(error).startswith(f"{file}: ") and reason in _message(error)


def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    file = Store(tmp_path).write(record(cell(LORA, "sums", 0)))
    file.write_text(json.dumps({**json.loads(file.read_text()), "luck": 7}))
    with pytest.raises(StoreError, match="luck: Extra inputs are not permitted"):
        Store(tmp_path).records()


def test_an_edited_cell_does_not_pass_for_the_old_one(tmp_path: Path) -> None:
    file = Store(tmp_path).write(record(cell(LORA, "sums", 0)))
    content = json.loads(file.read_text())
    content["cell"]["learning_rate"] = 0.5
    file.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="was it edited or renamed") as error:
        Store(tmp_path).read(file.stem)
    assert str(file) in _message(error)


def test_scores_that_do_not_match_are_refused(tmp_path: Path) -> None:
    lacking = scores("words_test", 1, (3, 3, 2), log_loss=0.5, bits=2.0)
    file = Store(tmp_path).write(record(cell(LORA, "sums", 0), after=lacking))
    with pytest.raises(StoreError, match="'sums_test'") as error:
        Store(tmp_path).read(file.stem)
    assert str(file) in _message(error)


def test_a_missing_record(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"0123\.json: cannot be read \(No such file"):
        Store(tmp_path).read("0123")


@pytest.mark.parametrize("name", ["../escape", "", ".hidden", "a/b"])
def test_a_name_never_leaves_the_store(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a stored file"):
        Store(tmp_path / "store").write_base_scores(name, {})
    assert list(tmp_path.iterdir()) == []


def test_base_scores(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept = scores("sums_test", 1, (3, 3, 2), log_loss=0.5, bits=2.0)
    store.write_base_scores("whole", kept)
    store.write_base_scores("part", {"bits_per_byte": 1.25})
    assert type(kept).model_validate(store.base_scores("whole")) == kept
    assert store.base_scores("part") == {"bits_per_byte": 1.25}
    assert store.records() == []


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_damaged_base_scores(tmp_path: Path, content: str) -> None:
    file = Store(tmp_path).write_base_scores("key", {})
    file.write_text(content)
    with pytest.raises(StoreError, match="delete it to score the base again") as error:
        Store(tmp_path).base_scores("key")
    assert _message(error).startswith(str(file))


def test_leftovers_of_a_killed_write_are_ignored_then_removed(tmp_path: Path) -> None:
    one, two = record(cell(LORA, "sums", 0)), record(cell(LORA, "sums", 1))
    file = Store(tmp_path).write(one)
    dead = file.with_name(f".{file.name}.dead.tmp")
    alive = file.with_name(f".{file.name}.alive.tmp")
    for leftover in (dead, alive):
        leftover.write_text('{"half')
    an_hour_ago = time.time() - 3600
    os.utime(dead, (an_hour_ago, an_hour_ago))
    assert [found.id for found in Store(tmp_path).records()] == [one.id]
    Store(tmp_path).write(two)
    assert not dead.exists() and alive.exists(), "only what no running write can own is removed"


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "page.html"
    write_whole(file, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"page.html: cannot be written \(No space left on device\)"):
        write_whole(file, "new")
    assert file.read_text() == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["page.html"]


def test_example_records_are_what_their_script_makes() -> None:
    kept = {one.id: one.model_dump_json() for one in Store(FOLDER).records()}
    made = {one.id: one.model_dump_json() for one in (*examples(), *examples_of_others())}
    assert kept == made, "the schema changed: python -m tests.example_records.make"


def test_a_packed_record_is_the_same_record(tmp_path: Path) -> None:
    store, one = Store(tmp_path), record(cell(LORA, "sums", 0))
    plain = store.write(one)
    packed = store.write(one, packed=True)
    assert (packed.name, plain.exists()) == (f"{one.id}.json.gz", False)
    assert store.has(one.id) and store.read(one.id) == one and store.records() == [one]
    content = packed.read_bytes()
    assert store.write(one, packed=True).read_bytes() == content
    store.write(one)
    assert not packed.exists() and store.records() == [one]


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b"{}", mtime=0)[:-4]], ids=["empty", "plain", "cut"]
)
def test_a_damaged_packed_record_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "abc.json.gz").write_bytes(content)
    with pytest.raises(StoreError, match=r"abc\.json\.gz: "):
        Store(tmp_path).records()


def test_a_packed_record_that_unpacks_to_very_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("suite.store._LARGEST", 1000)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "abc.json.gz").write_bytes(gzip.compress(b" " * 2000))
    with pytest.raises(StoreError, match="unpacks to more than 1000 bytes"):
        Store(tmp_path).records()
