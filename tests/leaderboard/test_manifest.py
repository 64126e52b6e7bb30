"""An unchanged store is known without reading it, and any change of what goes in or came out is seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leaderboard import manifest
from suite.rejected import Rejected
from suite.store import Store
from tests.example_records.make import examples

REJECTED = (Rejected("records/bad.json", "Invalid JSON"),)


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of a store, and a site of it."""
    folder, out = tmp_path / "stores", tmp_path / "site"
    (folder / "one" / "records").mkdir(parents=True)
    (out / "data").mkdir(parents=True)
    for name in ("a", "b"):
        (folder / "one" / "records" / f"{name}.json").write_text("{}")
        (out / "data" / f"{name}.js").write_text("x")
    manifest.write(out, manifest.look([folder]), {"data/a.js", "data/b.js"}, 2, REJECTED)
    return folder, out


def test_nothing_changed(built: tuple[Path, Path]) -> None:
    folder, out = built
    assert manifest.fresh([folder], out) == manifest.Fresh(2, REJECTED)
    assert manifest.written(out) == ("data/a.js", "data/b.js")
    assert manifest.fresh([folder / "one"], out) is None  # other paths make another site
    (folder / "one" / "records" / ".a.json.x.tmp").write_text("half")
    assert manifest.fresh([folder], out)


def _rewrite(folder: Path, out: Path) -> None:
    file = folder / "one" / "records" / "a.json"
    seen = file.stat()
    file.write_text("[]")  # as long, and as old: the time of the change of its inode tells
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        _rewrite,
        lambda folder, out: (folder / "one" / "records" / "a.json").write_text("{} "),
        lambda folder, out: (folder / "one" / "records" / "a.json").unlink(),
        lambda folder, out: (folder / "one" / "records" / "c.json").write_text("{}"),
        lambda folder, out: (folder / "one" / "store.yaml").write_text("badge: verified\nby: me"),
        lambda folder, out: shutil.copytree(folder / "one", folder / "two"),
        lambda folder, out: shutil.rmtree(folder),
        lambda folder, out: (out / "data" / "a.js").write_text("y"),
        lambda folder, out: (out / "data" / "b.js").unlink(),
        lambda folder, out: (out / manifest.CACHE).unlink(),
        lambda folder, out: (out / manifest.CACHE).write_text("[1"),
        lambda folder, out: (out / manifest.CACHE).write_text("[]"),
        lambda folder, out: (out / manifest.CACHE).write_text("{}"),
        lambda folder, out: shutil.rmtree(out),
    ],
)
def test_any_change_is_seen(built: tuple[Path, Path], change: Callable[[Path, Path], object]) -> None:
    change(*built)
    assert manifest.fresh([built[0]], built[1]) is None


def test_code_and_libraries_count(built: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = built
    root = folder.parent / "code"
    (root / "leaderboard" / "templates").mkdir(parents=True)
    (root / "leaderboard" / "published").mkdir()
    page = root / "leaderboard" / "templates" / "base.html"
    page.write_text("a")
    monkeypatch.setattr(manifest, "_ROOT", root)
    manifest.write(out, manifest.look([folder]), [], 2, ())
    os.utime(page, ns=(0, 0))
    (root / "leaderboard" / "published" / "x").write_text("records are no code")
    assert manifest.fresh([folder], out)
    page.write_text("b")
    assert manifest.fresh([folder], out) is None
    manifest.write(out, manifest.look([folder]), [], 2, ())
    monkeypatch.setattr(manifest.metadata, "version", lambda name: "0")
    assert manifest.fresh([folder], out) is None


def test_a_site_within_the_folder_is_no_input(built: tuple[Path, Path]) -> None:
    folder, out = built
    inner = folder / "site"
    shutil.move(out, inner)
    manifest.write(inner, manifest.look([folder]), ["data/a.js"], 2, ())
    assert manifest.fresh([folder], inner)
    (inner / "data" / "new.js").write_text("another page")
    assert manifest.fresh([folder], inner)


def test_the_cache_names_no_place(built: tuple[Path, Path]) -> None:
    text = (built[1] / manifest.CACHE).read_text()
    assert str(built[0].parent) not in text and set(json.loads(text)) == {
        *("inputs", "outputs", "records", "rejected", "files")
    }


def test_it_is_known_without_what_reads_records() -> None:
    program = (
        "import leaderboard.manifest, sys; "
        "print(*{'pydantic', 'torch', 'altair', 'numpy', 'jinja2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("folder", ["", "records"])
def test_a_store_is_looked_at_whatever_lies_in_it(tmp_path: Path, folder: str) -> None:
    store = tmp_path / "stores" / "one"
    Store(store).write(examples()[0])
    (store / folder / manifest.CACHE).write_text("{}")
    before = manifest.look([tmp_path / "stores"])
    Store(store).write(examples()[1])
    assert manifest.look([tmp_path / "stores"]) != before
