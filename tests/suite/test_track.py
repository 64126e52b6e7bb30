"""Tracks: the shipped ones, and every fault of a file as one line that names the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite import track as tracks
from suite.errors import UserError

GOOD = """
name: mine
revision: 2
summary: a test
base: pocket
variants: ["lora:rank=8"]
recipe: {batch_size: 4, max_length: 64}
tasks: {math: {steps: 5}, code: {steps: 7, batch_size: 2}}
learning_rates: {lora: {math: 0.1, default: 0.2}, default: 0.3}
"""


def test_shipped_tracks_are_valid() -> None:
    assert {"pocket", "open"} <= set(tracks.names())
    for name in tracks.names():
        assert tracks.load(name).name == name
    assert dict(tracks.describe())["pocket"]


def test_a_task_overrides_the_shared_recipe_and_flags_override_both() -> None:
    track = tracks.parse(GOOD, "x")
    assert track.label == "mine@2"
    math, code = track.recipe_for("math"), track.recipe_for("code", steps=9)
    assert (math.steps, math.batch_size, math.max_length) == (5, 4, 64)
    assert (code.steps, code.batch_size, code.max_length) == (9, 2, 64)


def test_learning_rates_fall_back_by_task_and_by_variant() -> None:
    track = tracks.parse(GOOD, "x")
    assert track.learning_rate("lora", "math") == 0.1
    assert track.learning_rate("lora", "code") == 0.2
    assert track.learning_rate("from-a-plugin", "code") == 0.3


def test_a_learning_rate_may_name_an_alias() -> None:
    track = tracks.parse(GOOD.replace("default: 0.3", "lori: 0.1, default: 0.3"), "x")
    assert track.learning_rate("lori-s", "math") == 0.1


def test_a_learning_rate_may_name_a_label_of_many_methods() -> None:
    track = tracks.parse(GOOD.replace("default: 0.3", "peft: 0.4, 'peft:ia3': 0.5, default: 0.3"), "x")
    assert track.learning_rate("peft:ia3", "math") == 0.5
    assert track.learning_rate("peft:oft", "math") == 0.4


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("revision: 2", "revision: two", "revision"),
        ("summary: a test", "sumary: a test", "sumary"),
        ("{steps: 5}", "{}", "task 'math' has no steps"),
        ("{steps: 5}", "{steps: 0}", "tasks.math.steps"),
        ("{steps: 5}", "{steps: 5, epochs: 3}", "tasks.math.epochs"),
        (", default: 0.3", "", "needs a 'default'"),
        ("default: 0.3", "default: -0.3", "learning_rates.default"),
        ("default: 0.3", "default: 1e-3", "learning_rates.default"),
        ("{math: 0.1, default: 0.2}", "{math: 0.1}", "learning_rates of 'lora'"),
        ("tasks: {", "tasks: [{", "not yaml"),
        ("summary: a test", "summary: 2024-13-45", "not yaml"),
        ("{lora: {", "{lara: {", "learning_rates: unknown variant 'lara'; nearest is 'lora'"),
        (
            "default: 0.3",
            "lori: 0.1, lori-s: 0.2, default: 0.3",
            "'lori-s' is 'lori-s', which is given twice",
        ),
        ("summary: a test", "summary: a test\nneeds_data: 1", "needs_data"),
    ],
)
def test_a_fault_is_one_line_with_the_key(old: str, new: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        tracks.parse(GOOD.replace(old, new), "mine.yaml")
    assert told in str(caught.value) and "mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_track_can_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD)
    assert tracks.load(str(file)).name == "mine"
    with pytest.raises(UserError, match="no track file"):
        tracks.load(str(tmp_path / "other.yaml"))
    file.write_bytes(b"name: \xff")
    with pytest.raises(UserError, match="not UTF-8"):
        tracks.load(str(file))
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(UserError, match=r"folder.yaml': cannot be read \(Is a directory\)"):
        tracks.load(str(tmp_path / "folder.yaml"))
    with pytest.raises(UserError, match="did you mean 'pocket'"):
        tracks.load("poket")
