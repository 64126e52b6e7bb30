"""Manifests: what they say is checked, wherever they come from, and no path in one leaves its folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from suite.errors import UserError
from suite.hub import manifest

FILE = "gsm8k/train.jsonl"
CONTENT = b'{"question": "q", "answer": "#### 1"}\n'


def entry(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "bytes": len(CONTENT),
        "rows": 1,
        "source": "openai/gsm8k",
        "revision": "a" * 40,
        "licence": "MIT",
        "fetched": "2026-01-01",
    }
    return {**plain, **changes}


def made(folder: Path, **changes: Any) -> Path:
    (folder / "gsm8k").mkdir()
    (folder / FILE).write_bytes(CONTENT)
    content = {"schema_version": 1, "suite": "0.1.0", "files": {FILE: entry()}, "models": {}}
    (folder / manifest.NAME).write_text(json.dumps({**content, **changes}))
    return folder


def test_a_manifest_survives_being_written(tmp_path: Path) -> None:
    first = manifest.read(made(tmp_path))
    assert first is not None
    manifest.write(tmp_path, first)
    assert manifest.read(tmp_path) == first
    assert manifest.verify(tmp_path, [FILE]) == {FILE: hashlib.sha256(CONTENT).hexdigest()}


def test_a_folder_without_one_has_nothing_to_be_checked_against(tmp_path: Path) -> None:
    assert manifest.read(tmp_path) is None
    assert manifest.verify(tmp_path, [FILE]) == {}
    assert manifest.model_folder(tmp_path, "owner/name") is None


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a\\..\\b", "c:/x", ""])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    made(tmp_path, files={path: entry()})
    with pytest.raises(UserError, match="is no path inside the folder") as caught:
        manifest.verify(tmp_path, [FILE])
    assert "\n" not in str(caught.value)


def test_a_models_folder_may_not_leave_it_either(tmp_path: Path) -> None:
    made(tmp_path, models={"owner/name": {"folder": "../other", "revision": "a", "licence": None}})
    with pytest.raises(UserError, match="is no path inside the folder"):
        manifest.model_folder(tmp_path, "owner/name")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema_version": 2}, "a manifest of version 2, this suite reads 1"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        ({"files": {FILE: entry(sha256="0")}}, "sha256: String should match pattern"),
        ({"files": {FILE: entry(bytes=-1)}}, "bytes: Input should be greater than or equal to 0"),
        ({"models": {"o/n": {"folder": "models/o--n", "revision": "a"}}}, "has no files below 'models/o--n'"),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    made(tmp_path, **changes)
    with pytest.raises(UserError, match=told) as caught:
        manifest.read(tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path / manifest.NAME) in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '{"files": 1}'])
def test_damage_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / manifest.NAME).write_text(content)
    with pytest.raises(UserError, match="fetch into a new folder"):
        manifest.read(tmp_path)


def test_a_file_that_differs_is_gone_or_unknown_is_named(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / FILE).write_bytes(CONTENT + b" ")
    with pytest.raises(UserError, match=r"gsm8k/train.jsonl is not what was fetched"):
        manifest.verify(tmp_path, [FILE])
    (tmp_path / FILE).unlink()
    with pytest.raises(UserError, match=r"gsm8k/train.jsonl: No such file or directory, though"):
        manifest.verify(tmp_path, [FILE])
    with pytest.raises(UserError, match=r"gsm8k/test.jsonl is not in .*manifest.json"):
        manifest.verify(tmp_path, ["gsm8k/test.jsonl"])
