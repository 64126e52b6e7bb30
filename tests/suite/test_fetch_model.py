"""Models, fetches that are stopped and go on, the user's cache, and what is seen of a fetch."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import save

from suite.errors import UserError
from suite.hub import fetch as fetches
from suite.hub import files as fetching
from suite.hub import manifest
from suite.hub import progress as fetch_progress
from tests.suite.fake_hub import FakeHub, Told, fetched, serving

ROOT = Path(__file__).parent.parent.parent
PAIR = ("gsm8k/train.jsonl", "gsm8k/test.jsonl")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with serving(monkeypatch, tmp_path) as fake:
        yield fake


def weights(size: int = 40_000) -> bytes:
    return save({"w": torch.arange(size, dtype=torch.float32)})


MODEL = "owner/tiny"


def model_files() -> dict[str, bytes]:
    return {
        "config.json": b"{}",
        "generation_config.json": b"{}",
        "tokenizer.json": b"{}",
        "tokenizer_config.json": b"{}",
        "chat_template.jinja": b"{{ messages }}",
        "LICENSE": b"terms",
        "model.safetensors": weights(),
        "consolidated.safetensors": weights(),
        "pytorch_model.bin": b"pickle",
        "tokenizer.pkl": b"pickle",
        "README.md": b"words",
        "training_args.bin": b"pickle",
        "model.fp16.safetensors": weights(),
        "original/model.safetensors": weights(),
    }


def test_a_model_is_its_safetensors_configuration_and_tokenizer(hub: FakeHub, tmp_path: Path) -> None:
    hub.model(MODEL, model_files())
    found, _ = fetched(tmp_path, model=MODEL)
    folder = tmp_path / "models" / "owner--tiny"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("LICENSE", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json"),
    ]
    assert (folder / "model.safetensors").read_bytes() == weights()
    assert (found.models[MODEL].revision, found.models[MODEL].licence) == ("a" * 40, "apache-2.0")
    assert manifest.model_folder(tmp_path, MODEL) == folder
    assert manifest.model_folder(tmp_path, f"{MODEL}@aaaa") == folder
    assert manifest.model_folder(tmp_path, "owner/other") is None
    with pytest.raises(UserError, match="holds it at aaaa"):
        manifest.model_folder(tmp_path, f"{MODEL}@bbbb")
    asked = len(hub.asked)
    assert fetched(tmp_path, model=MODEL)[0] == found
    assert len(hub.asked) == asked
    (folder / "config.json").write_text("{ }")
    with pytest.raises(UserError, match=r"config.json is not what was fetched"):
        manifest.model_folder(tmp_path, MODEL)


def test_a_server_without_ranges_serves_as_well(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "CHUNK", 2**16)
    hub.model(MODEL, model_files())
    hub.knows_ranges = False
    fetched(tmp_path, model=MODEL)
    assert (tmp_path / "models/owner--tiny/model.safetensors").read_bytes() == weights()


def test_a_model_of_pickles_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.model(MODEL, {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    with pytest.raises(UserError, match=r"has no \*.safetensors on the hub"):
        fetched(tmp_path, model=MODEL)


def test_weights_that_are_not_what_the_hub_lists_are_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.model(MODEL, model_files())
    hub.wrong.add("model.safetensors")
    with pytest.raises(UserError, match="what came is not what the hub lists"):
        fetched(tmp_path, model=MODEL)
    assert manifest.model_folder(tmp_path, MODEL) is None
    hub.wrong.clear()
    fetched(tmp_path, model=MODEL)
    assert manifest.model_folder(tmp_path, MODEL) is not None


PROGRAM = """
import sys
from pathlib import Path
from rich.console import Console
from suite.hub import fetch, files as fetching, progress as fetch_progress
fetching.CHUNK = 2**14
with fetch_progress.display(Console()) as shown:
    fetch.fetch(Path(sys.argv[1]), ["gsm8k/train.jsonl"], {}, "owner/tiny", shown)
"""


def begun(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_weights_come(process: subprocess.Popen[str], folder: Path) -> Path:
    """Wait until two pieces of the weights are on disk."""
    for _ in range(600):
        found = list((folder / "models/owner--tiny").glob(".model.safetensors.*.part"))
        if found and found[0].stat().st_size >= 2**15:
            return found[0]
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError("no weights came")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_fetch_goes_on_where_it_stopped(hub: FakeHub, tmp_path: Path, how: signal.Signals) -> None:
    hub.put(PAIR[0])
    hub.model(MODEL, model_files())
    hub.delay_s = 0.1
    process = begun(tmp_path)
    part = until_weights_come(process, tmp_path)
    process.send_signal(how)
    assert process.wait() != 0
    process.communicate()
    here = part.stat().st_size
    assert here < len(weights())
    assert manifest.model_folder(tmp_path, MODEL) is None
    manifest.verify(tmp_path, [PAIR[0]])
    hub.asked.clear()
    hub.delay_s = 0
    again = begun(tmp_path)
    out, err = again.communicate()
    assert again.returncode == 0, err
    assert "files are there already" in out
    places = [asked for path, asked in hub.asked if path.endswith("/model.safetensors")]
    assert places[0] is not None and places[0].startswith(f"bytes={here}-")
    assert not [path for path, _ in hub.asked if path.endswith(".parquet")]
    folder = manifest.model_folder(tmp_path, MODEL)
    assert folder is not None and (folder / "model.safetensors").read_bytes() == weights()
    assert not list(tmp_path.rglob("*.part"))


def test_rows_that_were_stopped_leave_nothing_behind(hub: FakeHub, tmp_path: Path) -> None:
    for file in PAIR:
        hub.put(file)

    class Impatient(Told):
        def file(self, name: str, size: int | None) -> None:
            self.now = name

        def moved(self, count: int) -> None:
            if self.now == PAIR[1]:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetches.fetch(tmp_path, PAIR, {}, None, Impatient())
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "manifest.json",
        "train.jsonl",
    ]


def test_the_cache_is_the_users_and_needs_no_hub_once_it_is_full(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put(PAIR[0])
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    folder = fetches.cached_folder(PAIR[:1])
    assert folder.is_relative_to(tmp_path / "home" / "lora-suite")
    manifest.verify(folder, PAIR[:1])
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetches.cached_folder(PAIR[:1]) == folder
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert fetches.cache().is_relative_to(tmp_path / "xdg" / "lora-suite")


def test_a_terminal_sees_bars(hub: FakeHub, tmp_path: Path) -> None:
    for file in PAIR:
        hub.put(file)
    console = Console(force_terminal=True, width=120, record=True, file=(tmp_path / "screen").open("w"))
    with fetch_progress.display(console) as shown:
        assert isinstance(shown, fetch_progress.Live)
        fetches.fetch(tmp_path / "data", PAIR, {}, None, shown)
        task = shown.progress.tasks[0]
        assert task.total == task.completed > 0
    assert "[2/2] gsm8k/test.jsonl: 5 rows" in console.export_text()
    console.file.close()
