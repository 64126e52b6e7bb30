"""Where and how a record was made: packages, the commit and its changes, what makes torch repeat itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from suite import provenance as made
from suite.record import Provenance
from suite.setup import Setup
from suite.workshop import Workshop
from tasks.interface import Places


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one commit in the place of the suite's own."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "provenance.py").write_text("x = 1\n")
    monkeypatch.setattr(made, "__file__", str(tmp_path / "suite" / "provenance.py"))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    return tmp_path


def git(place: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(place), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def told() -> tuple[str | None, bool | None]:
    return made.commit.__wrapped__(), made.dirty.__wrapped__()


def test_the_commit_and_its_changes_are_told_apart(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert told() == (head, False) and len(head) == 40
    (checkout / "results").mkdir()
    (checkout / "results" / "new.json").write_text("{}")
    assert told() == (head, False), "what git does not follow changes no number"
    (checkout / "suite" / "provenance.py").write_text("x = 2\n")
    assert told() == (head, True)


def test_without_a_checkout_or_git_nothing_is_known(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert told() == (None, None)
    monkeypatch.undo()
    monkeypatch.setattr(made, "__file__", str(checkout / "other" / "suite" / "provenance.py"))
    assert told() == (None, None)


def test_the_packages_that_numbers_depend_on() -> None:
    found = made.versions.__wrapped__()
    for package in ("torch", "transformers", "peft", "lm-eval", "numpy", "scipy", "scikit-learn"):
        assert found[package] == version(package)
    assert set(found) >= {"python", "tokenizers", "datasets", "safetensors"}


@pytest.fixture
def determinism() -> Iterator[None]:
    """The process's own choice, put back afterwards."""
    mode = torch.get_deterministic_debug_mode()
    yield
    torch.set_deterministic_debug_mode(mode)


@pytest.mark.usefixtures("determinism")
def test_what_makes_torch_repeat_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode, word in ((0, "off"), (1, "warn"), (2, "error")):
        torch.set_deterministic_debug_mode(mode)
        assert made.settings("cpu")["deterministic_algorithms"] == word
    here = made.settings("cpu")
    assert here["cpu_capability"] == torch.backends.cpu.get_cpu_capability() and made.CUBLAS not in here
    monkeypatch.delenv(made.CUBLAS, raising=False)
    assert made.settings("cuda:0")[made.CUBLAS] == "not set"
    monkeypatch.setenv(made.CUBLAS, ":4096:8")
    assert made.settings("cuda:0")[made.CUBLAS] == ":4096:8" and "cudnn" in made.settings("cuda:0")
    torch.set_deterministic_debug_mode(0)
    shop = Workshop(Setup(tmp_path, Places(), "cpu"), None)
    assert shop.settings["deterministic_algorithms"] == "warn", "a worker asks for it before anything else"


def test_a_record_says_it() -> None:
    one = made.provenance("suite run", "cpu", 3, {"deterministic_algorithms": "warn"})
    assert one.threads == 3 and one.settings == {"deterministic_algorithms": "warn"}
    assert (one.commit, one.dirty) == (made.commit(), made.dirty())
    content = one.model_dump()
    del content["dirty"], content["settings"]
    assert Provenance(**content).dirty is None and Provenance(**content).settings == {}
