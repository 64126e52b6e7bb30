"""`suite fetch` as it is typed: a track's whole folder from a hub, which the tasks then read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from suite import track as tracks
from suite.cli import app
from suite.hub import fetch, manifest
from suite.hub.files import Extent
from suite.places import needed, specs_of
from suite.request import Request
from tasks import catalogue, registry
from tasks.interface import Places
from tests.needs import real_data
from tests.suite.fake_hub import FakeHub, serving

TRACK = "tiny-open"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with serving(monkeypatch, tmp_path) as fake:
        yield fake


def test_a_tracks_folder_gives_the_same_tasks_as_the_files_it_came_from(hub: FakeHub, tmp_path: Path) -> None:
    data, track = real_data(), tracks.load(TRACK)
    files = needed(track, specs_of(Request(track=TRACK), track))
    for file in files:
        if isinstance(catalogue.find(file), catalogue.Source):
            rows = [
                json.loads(line) for line in (data / file).read_text(encoding="utf-8").split("\n") if line
            ]
            hub.put(file, rows=[lacking(file, row) for row in rows])
    hub.put_punkt()
    typed = ["fetch", "--track", TRACK, "--to", str(tmp_path / "data")]
    done = CliRunner().invoke(app, typed)
    assert done.exit_code == 0, done.output
    assert f"{len(files)} files" in done.output
    assert "model 'pocket' is on this machine already" in done.output
    manifest.verify(tmp_path / "data", files)
    for name in track.tasks:
        ours, real = (registry.get(name, Places(data=place)) for place in (tmp_path / "data", data))
        for split in ("train", "validation", "test"):
            assert list(ours.examples(split)) == list(real.examples(split)), (name, split)
    asked = len(hub.asked)
    again = CliRunner().invoke(app, typed)
    assert (again.exit_code, len(hub.asked)) == (0, asked)


def lacking(file: str, row: dict[str, object]) -> dict[str, object]:
    """A row with all columns that the hub has, where the file at hand has fewer."""
    source = catalogue.find(file)
    assert isinstance(source, catalogue.Source)
    return {column: row.get(column, "") for column in source.columns}


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--track", "pocket"], "needs nothing; use --track open"),
        (["--tasks", "moths"], "unknown task 'moths'; did you mean 'math'?"),
        (
            ["--tasks", "math", "--model", "nowhere"],
            "no model 'nowhere'; expected pocket, a folder, or a hub id",
        ),
        (["--tasks", "math", "--model", "owner/gone"], "data set 'Rowan/hellaswag' is not on the hub"),
        (["--tasks", "math", "--examples", "few"], "--examples 'few': expected a whole number"),
    ],
)
def test_a_mistake_is_one_line(hub: FakeHub, tmp_path: Path, flags: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["fetch", "--to", str(tmp_path / "data"), *flags])
    assert done.exit_code == 2
    assert told in done.output and "Traceback" not in done.output


def test_only_large_sets_are_read_as_far_as_the_budget() -> None:
    track = tracks.load("open")

    def extents(tasks: str, examples: str | None = None) -> dict[str, Extent]:
        request = Request(track="open", tasks=tasks, examples=examples)
        return fetch.extents(track, specs_of(request, track), request)

    assert extents("math,code,instruct", examples="64") == {}
    assert extents("math:metamathqa", examples="64") == {"metamathqa/train.jsonl": Extent.of(64, None)}
    usual = extents("math:metamathqa,code:starcoder")
    assert usual["metamathqa/train.jsonl"].rows is not None
    assert usual["starcoder/train.jsonl"].bytes is not None
    assert registry.files("math", "metamathqa")[0] in usual
