"""Kept weights appear whole or not at all, and are known by their content."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from suite import weights

ROOT = Path(__file__).parents[2]


class Writes:
    """An adapter whose export is a few files; it can fail in the middle."""

    def __init__(self, text: str = "a", fails: bool = False, own_base: bool = False) -> None:
        self.text, self.fails, self.own_base = text, fails, own_base

    def export(self, folder: Path) -> Path:
        """Two files, the second of them not if it is to fail."""
        folder.mkdir()
        (folder / "adapter_model.safetensors").write_text(self.text)
        (folder / "adapter_model.safetensors").chmod(0o600)
        if self.own_base:
            (folder / "base").mkdir()
            (folder / "base" / "config.json").write_text("{}")
        if self.fails:
            raise OSError("disk full")
        (folder / weights.ADAPTER).write_text('{"r": 1, "base_model_name_or_path": "/somewhere/here"}')
        return folder


def saved(folder: Path, **how: Any) -> Path:
    return weights.save(Writes(**how), folder, "pocket")  # pyright: ignore[reportArgumentType]


def test_the_base_is_named_and_not_located(tmp_path: Path) -> None:
    one = saved(tmp_path / "adapters" / "abc")
    assert json.loads((one / weights.ADAPTER).read_text()) == {"base_model_name_or_path": "pocket", "r": 1}
    two = saved(tmp_path / "adapters" / "two", own_base=True)
    assert json.loads((two / weights.ADAPTER).read_text())["base_model_name_or_path"] == "./base"
    assert weights.own_base(two) == two / "base" and weights.own_base(one) is None
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in one.iterdir())


def test_saving_again_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "abc"
    first = weights.digest(saved(folder))
    (folder / "stray").write_text("x")
    assert weights.digest(folder) == first, "only weights and configurations count"
    assert weights.digest(saved(folder, text="b")) != first
    assert not (folder / "stray").exists()
    assert weights.digest(saved(folder)) == first


def test_a_failing_export_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "abc"
    first = weights.digest(saved(folder))
    with pytest.raises(OSError, match="disk full"):
        saved(folder, text="b", fails=True)
    assert weights.digest(folder) == first and [path.name for path in tmp_path.iterdir()] == ["abc"]
    with pytest.raises(OSError, match="disk full"):
        saved(tmp_path / "new", fails=True)
    assert not (tmp_path / "new").exists()


def test_leftovers_of_a_killed_run_go(tmp_path: Path) -> None:
    """A young one may be another run's, at work."""
    old, young = tmp_path / ".gone.x1y2", tmp_path / ".abc.x1y2"
    for leftover in (old, young):
        leftover.mkdir()
        (leftover / "adapter_model.safetensors").write_text("half")
    long_ago = time.time() - weights.LEFTOVER_AGE_S - 60
    os.utime(old, (long_ago, long_ago))
    saved(tmp_path / "abc")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".abc.x1y2", "abc"]


def test_a_process_killed_while_it_saves_leaves_nothing_half(tmp_path: Path) -> None:
    folder = tmp_path / "abc"
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from suite import weights\n"
        "class Dies:\n"
        "    def export(self, folder):\n"
        "        folder.mkdir()\n"
        "        (folder / 'adapter_model.safetensors').write_text('half')\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "weights.save(Dies(), Path(sys.argv[1]), 'pocket')\n"
    )
    first = weights.digest(saved(folder))
    for place in (folder, tmp_path / "new"):
        done = subprocess.run([sys.executable, "-c", program, str(place)], cwd=ROOT, check=False)
        assert done.returncode == -signal.SIGKILL
    assert weights.digest(folder) == first and not (tmp_path / "new").exists()
    saved(folder, text="b")
    saved(tmp_path / "new")
    whole = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("."))
    assert whole == ["abc", "new"]


def test_the_digest_counts_names_and_bytes(tmp_path: Path) -> None:
    folder = saved(tmp_path / "abc", own_base=True)
    before = weights.digest(folder)
    (folder / "base" / "config.json").write_text('{"a": 1}')
    changed = weights.digest(folder)
    (folder / "adapter_model.safetensors").rename(folder / "b.safetensors")
    assert len({before, changed, weights.digest(folder)}) == 3 and len(before) == 64


def test_what_is_not_kept_is_there_only_meanwhile(tmp_path: Path) -> None:
    adapter: Any = Writes()
    with weights.exported(adapter, None, "pocket") as folder:
        assert (folder / weights.ADAPTER).is_file()
    assert not folder.exists()
    with weights.exported(adapter, tmp_path / "abc", "pocket") as folder:
        assert folder == tmp_path / "abc"
    assert folder.exists()
