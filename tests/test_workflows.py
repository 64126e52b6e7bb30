"""The workflows: what they call exists, actions are pinned by commit, no job may do more than it needs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from suite.cli import app
from suite.gate.markdown import MARK

FOLDER = Path(__file__).parent.parent / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
# What a job may do beside reading the repository. `plugin` runs what a stranger names: it may do nothing.
MORE = {
    "gate: comment": {"pull-requests": "write"},
    "pages: deploy": {"pages": "write", "id-token": "write"},
    "submissions: plugin": {},
}
ARGUMENTS = ("--track ci", "--track ci --variants lora,peft:type=lokr --tasks math")


def read(file: Path) -> dict[Any, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def steps(file: Path) -> Iterator[dict[str, Any]]:
    for job in read(file)["jobs"].values():
        yield from job["steps"]


def commands(file: Path) -> Iterator[list[str]]:
    """Every call of `suite` in a workflow, word by word."""
    for step in steps(file):
        for line in step.get("run", "").splitlines():
            if line.strip().startswith("suite "):
                for arguments in ARGUMENTS if "$ARGUMENTS" in line else ("",):
                    words = line.strip().replace("$ARGUMENTS", arguments).partition(" || ")[0]
                    yield shlex.split(words)[1:]


CALLS = [
    pytest.param(call, id=f"{file.stem}: {' '.join(call[:3])}") for file in FILES for call in commands(file)
]


def test_there_are_workflows() -> None:
    assert [file.name for file in FILES] == ["gate.yml", "pages.yml", "submissions.yml", "tests.yml"]
    assert len(CALLS) >= 8


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_action_is_pinned_by_commit_and_says_its_version(file: Path) -> None:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert lines
    assert [line for line in lines if not PINNED.search(line)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_job_may_do_more_than_it_needs(file: Path) -> None:
    workflow = read(file)
    assert workflow["permissions"] == {}
    published = "${{ github.event_name == 'pull_request' }}"  # what is being published is let finish
    expected = published if file.name == "pages.yml" else True
    assert workflow["concurrency"]["cancel-in-progress"] == expected
    for name, job in workflow["jobs"].items():
        assert job["permissions"] == MORE.get(f"{file.stem}: {name}", {"contents": "read"})
        assert 0 < job["timeout-minutes"] <= 60


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_comes_from_outside_reaches_a_shell_by_the_environment_alone(file: Path) -> None:
    scripts = [step.get("run") or step.get("with", {}).get("script", "") for step in steps(file)]
    assert any(scripts)
    text = file.read_text(encoding="utf-8")
    assert "secrets." not in text and "pull_request_target:" not in text and "workflow_run:" not in text
    assert [script for script in scripts if "${{" in script] == []
    for step in steps(file):
        if "checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_the_job_that_writes_runs_no_code_of_the_pull_request() -> None:
    job = read(FOLDER / "gate.yml")["jobs"]["comment"]
    assert {step["uses"].partition("@")[0] for step in job["steps"]} == {
        "actions/download-artifact",
        "actions/github-script",
    }
    assert "head.repo.full_name == github.repository" in job["if"]


def test_the_site_is_published_from_main_alone_and_previewed_without_rights() -> None:
    workflow = read(FOLDER / "pages.yml")
    assert workflow[True]["push"] == {"branches": ["main"]} and "workflow_dispatch" in workflow[True]
    build, deploy = workflow["jobs"]["build"], workflow["jobs"]["deploy"]
    uploads = {
        step["uses"].partition("@")[0]: step["if"]
        for step in build["steps"]
        if "upload" in step.get("uses", "")
    }
    assert uploads == {
        "actions/upload-artifact": "${{ github.event_name == 'pull_request' }}",
        "actions/upload-pages-artifact": "${{ github.event_name != 'pull_request' }}",
    }
    assert "github.event_name != 'pull_request' && github.ref == 'refs/heads/main'" in deploy["if"]
    assert [step["uses"].partition("@")[0] for step in deploy["steps"]] == ["actions/deploy-pages"]
    assert deploy["needs"] == "build" and deploy["environment"]["name"] == "github-pages"


@pytest.mark.parametrize("name", ["pages.yml", "submissions.yml"])
def test_records_and_submissions_of_a_pull_request_are_looked_at(name: str) -> None:
    paths = read(FOLDER / name)[True]["pull_request"]["paths"]
    assert paths == ["leaderboard/published/**", "leaderboard/submissions/**"]


def test_what_a_submission_names_is_installed_where_nothing_can_be_stolen() -> None:
    jobs = read(FOLDER / "submissions.yml")["jobs"]
    installs = {
        name: [
            line
            for step in job["steps"]
            for line in step.get("run", "").splitlines()
            if "pip install" in line
        ]
        for name, job in jobs.items()
    }
    own = "python -m pip install --constraint constraints.txt --editable ."
    assert installs["check"] == [own]
    assert [line.strip() for line in installs["plugin"]] == [
        own,
        "python -m pip install --only-binary :all: --constraint constraints.txt --requirement package.txt",
    ]
    assert not any("cache" in str(job) for job in jobs.values())


def test_the_comment_is_found_again_by_the_mark_that_the_gate_writes() -> None:
    (script,) = (s["with"]["script"] for s in steps(FOLDER / "gate.yml") if "script" in s.get("with", {}))
    assert f'"{MARK}"' in script


@pytest.mark.parametrize("call", CALLS)
def test_every_command_and_option_exists(call: list[str]) -> None:
    command = typer.main.get_command(app).commands[call[0]]  # type: ignore[attr-defined]
    context = command.make_context(call[0], list(call[1:]))
    assert not context.args


def test_the_track_that_the_workflow_runs_is_shipped() -> None:
    from suite import track

    assert read(FOLDER / "gate.yml")[True]["workflow_call"]["inputs"]["arguments"]["default"] == "--track ci"
    assert len(track.load("ci").seeds) >= 3
