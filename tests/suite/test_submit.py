"""`suite submit --check` of a file: a proposed variant, its schema, its plugin and its smoke run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from suite import smoke, submission
from suite.cli import app
from suite.store import Store
from tests.example_records.make import LORA, cell, record, stopped

ROOT = Path(__file__).parents[2]
SUBMISSIONS = ROOT / "leaderboard" / "submissions"
PUBLISHED = ROOT / "leaderboard" / "published"
GOOD = {
    "variant": "dora:rank=8",
    "track": "pocket",
    "tasks": ["math", "code"],
    "by": "A name",
    "link": "https://example.org/paper",
    "note": "none",
}


def submitted(folder: Path, name: str = "mine.yaml", **changes: Any) -> Path:
    """A file with the good submission, but for `changes`; None leaves a key out."""
    file = folder / name
    content = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    file.write_text(yaml.safe_dump(content))
    return file


def told(*words: str) -> tuple[int, str]:
    """Exit code and everything that `suite submit` prints."""
    result = CliRunner().invoke(app, ["submit", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_the_examples_are_fit() -> None:
    files = sorted(SUBMISSIONS.glob("*.yaml"))
    assert files
    code, output = told("--check", *map(str, files))
    assert code == 0 and output.splitlines() == [f"{file}: fit" for file in files]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"variant": None}, "variant: Field required"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"variant": "dorra"}, "nearest is 'dora'"),
        ({"variant": "dora:rnk=8"}, "unknown setting 'rnk'; nearest is 'rank'"),
        ({"variant": "dora,lora"}, "names 2 variants; write a file for each"),
        ({"variant": "peft:./adapter_config.json"}, "variant: String should match pattern"),
        ({"variant": "dora\x1b[31m"}, "variant: String should match pattern"),
        ({"variant": 3}, "variant: Input should be a valid string"),
        ({"variant": "mica"}, "a variant of a plugin needs `package: NAME==VERSION`"),
        (
            {"package": "lora-suite-mica==0.1.0"},
            "variant 'dora' is built in; leave `package: lora-suite-mica",
        ),
        ({"variant": "mica", "package": "lora-suite-mica"}, "package: String should match pattern"),
        ({"variant": "mica", "package": "--index-url=http://x==1"}, "package: String should match pattern"),
        ({"variant": "mica", "package": "git+https://x==1"}, "package: String should match pattern"),
        ({"track": "poket"}, "unknown track 'poket'; did you mean 'pocket'?"),
        ({"track": "../ci.yaml"}, "track: String should match pattern"),
        ({"tasks": []}, "tasks: List should have at least 1 item"),
        ({"tasks": ["maths"]}, "track 'pocket' has no task 'maths'; it has math, code, instruct"),
        ({"tasks": ["math", "math"]}, "names a task twice"),
        ({"link": "javascript:alert(1)"}, "link: String should match pattern"),
        ({"link": "http://example.org"}, "link: String should match pattern"),
        ({"by": ""}, "by: String should have at least 1 character"),
        ({"note": "x" * 1001}, "note: String should have at most 1000 characters"),
    ],
)
def test_a_fault_is_one_line_that_names_the_file(changes: dict[str, Any], why: str, tmp_path: Path) -> None:
    file = submitted(tmp_path, **changes)
    code, output = told("--check", str(file))
    assert code == 1 and output.count("\n") == 1, output
    assert output.startswith(f"{file}: ") and why in output and output.strip().isprintable()


def test_what_is_no_yaml_and_no_file_name(tmp_path: Path) -> None:
    for content in (b"[", b"- a", b"", b"\xff\x00", b"x" * 20_000, b"[" * 3_000, b"a: 2001-99-99"):
        file = tmp_path / "odd.yaml"
        file.write_bytes(content)
        code, output = told("--check", str(file))
        assert (code, output.count("\n")) == (1, 1) and output.startswith(f"{file}: "), content
    for name in ("Mine.yaml", "my mine.yaml", "mine.yml", "-mine.yaml", ".yaml"):
        code, output = told("--check", str(submitted(tmp_path, name)))
        assert code == 1 and "name it <name>.yaml" in output
    (tmp_path / "link.yaml").symlink_to(submitted(tmp_path))
    assert "is a link" in told("--check", str(tmp_path / "link.yaml"))[1]


def test_two_of_the_same_variant_on_the_same_track(tmp_path: Path) -> None:
    first = submitted(tmp_path, "first.yaml")
    same = submitted(tmp_path, "same.yaml", variant="dora: rank=8", tasks=None)
    code, output = told("--check", str(first))
    assert code == 1 and f"the same variant on the same track as {same}" in output
    same.unlink()
    submitted(tmp_path, "other.yaml", track="ci", tasks=["math"])
    submitted(tmp_path, "larger.yaml", variant="dora:rank=16")
    (tmp_path / "broken.yaml").write_text("[")
    assert told("--check", str(first)) == (0, f"{first}: fit\n")
    (tmp_path / "elsewhere").mkdir()
    far = submitted(tmp_path / "elsewhere")
    assert told("--check", str(far))[0] == 0 and told("--check", str(far), str(first))[0] == 1


def test_a_plugin_that_is_not_installed_is_said_so_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke.subprocess, "run", lambda *_, **__: pytest.fail("ran"))
    file = submitted(tmp_path, variant="mica:rank=4", package="lora-suite-mica==0.1.0")
    code, output = told("--check", str(file), "--smoke")
    assert (code, output.count("\n")) == (0, 1)
    assert "lora-suite-mica==0.1.0 is not installed here, so 'mica:rank=4' itself is not checked" in output


def test_a_plugin_of_another_version_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from variants import registry
    from variants.dora import DoRA

    monkeypatch.setattr(registry, "packages", lambda: {"Lora_Suite.Mica": "0.2.0"})
    old = submitted(tmp_path, variant="mica", package="lora-suite-mica==0.1.0")
    assert (
        f"{old}: pins lora-suite-mica==0.1.0, and version 0.2.0 is installed here"
        in told("--check", str(old))[1]
    )
    known = registry.get
    monkeypatch.setattr(registry, "get", lambda name: DoRA if name == "mica" else known(name))
    new = submitted(tmp_path, variant="mica", package="lora-suite-mica==0.2.0")
    assert told("--check", str(new)) == (0, f"{new}: fit\n")
    bare = submitted(tmp_path, variant="mica")
    assert "variant 'mica' comes with a plugin; add `package: NAME==VERSION`" in told("--check", str(bare))[1]


def test_packages_are_what_pip_reads_and_nothing_else(tmp_path: Path) -> None:
    file = submitted(tmp_path, variant="mica", package="lora-suite-mica==0.1.0")
    plain = submitted(tmp_path, "plain.yaml")
    (tmp_path / "bad.yaml").write_text("package: --index-url=http://evil\n")
    result = CliRunner().invoke(
        app, ["submit", "--packages", str(file), str(plain), str(tmp_path / "bad.yaml")]
    )
    assert (result.exit_code, result.stdout) == (0, "lora-suite-mica==0.1.0\n")
    assert result.stderr.startswith(f"{tmp_path / 'bad.yaml'}: ")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "give --check or --packages"),
        (["--check", "--packages"], "give --check or --packages"),
        (["--packages", "--smoke"], "give --check or --packages"),
        (["--check", "nowhere.yaml"], "no file or folder 'nowhere.yaml'"),
    ],
)
def test_a_mistake_of_usage_is_exit_code_2(words: list[str], why: str, tmp_path: Path) -> None:
    code, output = told(str(submitted(tmp_path)), *words)
    assert code == 2 and output.count("\n") == 1 and why in output


def _smoked(monkeypatch: pytest.MonkeyPatch, done: Callable[[Path], tuple[int, str]]) -> list[list[str]]:
    """Stand in for the process of a smoke run: `done` gets its store, and gives exit code and stderr."""
    seen: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        code, stderr = done(Path(command[-1]))
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(smoke.subprocess, "run", run)
    return seen


def test_a_smoke_run_tells_how_it_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = submitted(tmp_path)

    def well(store: Path) -> tuple[int, str]:
        Store(store).write(record(cell(LORA, "sums", 0)))
        return 0, ""

    (command,) = [_smoked(monkeypatch, well)]
    assert told("--check", "--smoke", str(file)) == (
        0,
        f"{file}: fit; smoke run: 3 steps trained and scored\n",
    )
    assert command[0][1:4] == ["-m", "suite.smoke", "dora:rank=8"]

    def badly(store: Path) -> tuple[int, str]:
        Store(store).write(stopped(cell(LORA, "sums", 0), "diverged", "loss is\nnan at step 2"))
        return 0, ""

    _smoked(monkeypatch, badly)
    assert told("--check", "--smoke", str(file)) == (
        1,
        f"{file}: smoke run: diverged: loss is nan at step 2\n",
    )
    _smoked(monkeypatch, lambda store: (2, "one\nerror: two\x1b[31m\n"))
    assert told("--check", "--smoke", str(file)) == (
        1,
        f"{file}: smoke run: error: two\\x1b[31m\n",
    )
    _smoked(monkeypatch, lambda store: (0, ""))
    assert told("--check", "--smoke", str(file))[0] == 1, "no record is no success"


def test_a_smoke_run_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.run
    monkeypatch.setattr(smoke.subprocess, "run", lambda _, **more: real(["sleep", "9"], **more))
    assert smoke.smoke("lora", limit_s=0.1) == (False, "smoke run: not finished after 0.1 s")


@pytest.mark.slow
def test_the_example_really_trains() -> None:
    file = SUBMISSIONS / "dora.yaml"
    assert told("--check", "--smoke", str(file)) == (
        0,
        f"{file}: fit; smoke run: 3 steps trained and scored\n",
    )


def test_contributing_shows_a_submission_that_is_read(tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = text.partition("```yaml\n")[2].partition("```")[0]
    keys = set(yaml.safe_load(block))
    assert keys == set(submission.Submission.model_fields)
    (tmp_path / "shown.yaml").write_text(block)
    assert submission.read(tmp_path / "shown.yaml").package
