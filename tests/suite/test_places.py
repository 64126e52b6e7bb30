"""Which tasks are meant, and where the base lies: named, in the data folder, or the track's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from suite import track as tracks
from suite.errors import UserError
from suite.hub.manifest import File, Manifest, Model, sha256, write
from suite.model import locate
from suite.places import base_of, needed, places_of, specs_of
from suite.request import Request
from tasks.interface import Places, TaskError

OPEN = tracks.load("open")


def fetched(folder: Path, *names: str) -> Places:
    """A data folder in which these models lie, as `suite fetch` leaves them."""
    files, models = {}, {}
    for name in names:
        place = f"models/{name.replace('/', '--')}"
        shutil.copytree(locate("pocket"), folder / place)
        for path in sorted((folder / place).iterdir()):
            entry = File(
                sha256=sha256(path),
                bytes=path.stat().st_size,
                source=name,
                revision="1",
                fetched="2026-01-01",
            )
            files[f"{place}/{path.name}"] = entry
        models[name] = Model(folder=place, revision="1")
    write(folder, Manifest(suite="0", files=files, models=models))
    return Places(data=folder)


def test_the_one_model_of_a_folder_stands_in_for_the_tracks(tmp_path: Path) -> None:
    places = fetched(tmp_path, "some/model")
    assert base_of(Request(), OPEN, places) == ("some/model", tmp_path / "models/some--model")
    assert base_of(Request(model="pocket"), OPEN, places) == ("pocket", locate("pocket"))
    assert base_of(Request(), tracks.load("tiny-open"), places) == ("pocket", locate("pocket"))


def test_the_tracks_own_model_is_taken_if_it_is_there(tmp_path: Path) -> None:
    places = fetched(tmp_path, "some/model", OPEN.base)
    assert base_of(Request(), OPEN, places)[0] == OPEN.base
    assert base_of(Request(model="some/model"), OPEN, places)[1] == tmp_path / "models/some--model"


def test_a_model_that_changed_since_it_was_fetched_is_refused(tmp_path: Path) -> None:
    places = fetched(tmp_path, "some/model")
    with (tmp_path / "models/some--model/config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(UserError, match=r"config\.json is not what was fetched"):
        base_of(Request(), OPEN, places)


def test_tasks_are_those_of_the_track_or_the_files_own(tmp_path: Path) -> None:
    own = tmp_path / "mine.jsonl"
    own.write_text('{"text": "one"}\n')
    assert specs_of(Request(), OPEN) == [("math", None), ("code", None), ("instruct", None)]
    assert specs_of(Request(data=(str(own),)), OPEN) == [("own", None)]
    asked = Request(data=(str(own),), tasks="math:metamathqa,code:own")
    assert specs_of(asked, OPEN) == [("math", "metamathqa"), ("code", "own")]
    files = needed(OPEN, specs_of(asked, OPEN))
    assert {"metamathqa/train.jsonl", "gsm8k/test.jsonl", "humaneval/test.jsonl"} <= set(files)
    assert "codealpaca/train.jsonl" not in files
    with pytest.raises(TaskError, match="no training set 'metamath'; did you mean 'metamathqa'"):
        needed(OPEN, specs_of(Request(tasks="math:metamath"), OPEN))


def test_data_that_changed_since_they_were_fetched_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "gsm8k/train.jsonl"
    file.parent.mkdir()
    file.write_text("{}\n")
    entry = File(sha256=sha256(file), bytes=3, source="openai/gsm8k", revision="1", fetched="2026-01-01")
    write(tmp_path, Manifest(suite="0", files={"gsm8k/train.jsonl": entry}))
    asked = Request(data=(str(tmp_path),))
    with pytest.raises(UserError, match="is not in"):
        places_of(asked, OPEN, specs_of(asked, OPEN))
    for name in needed(OPEN, specs_of(asked, OPEN)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}\n")
    everything = {name: entry for name in needed(OPEN, specs_of(asked, OPEN))}
    write(tmp_path, Manifest(suite="0", files=everything))
    assert places_of(asked, OPEN, specs_of(asked, OPEN)).data == tmp_path
    file.write_text("{ }\n")
    with pytest.raises(UserError, match=r"gsm8k/train.jsonl is not what was fetched"):
        places_of(asked, OPEN, specs_of(asked, OPEN))
