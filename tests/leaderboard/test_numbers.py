"""Numbers and parts of JSON in the files of cells: no record can change what stands around its texts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from leaderboard import cells, numbers
from leaderboard.files import _PART, Json, as_json, as_script, put
from suite.record import HeldOut, Record
from suite.store import StoreError
from tests.example_records.make import LORA, cell, record
from tests.leaderboard.site_files import value


@pytest.mark.parametrize(
    "values",
    [
        [],
        [0.0, -0.0, 1.0, 123456.7, 1234567.8, 1e-7, 1e100, -1.23456789, 5e-324],
        [math.nan, 1.0, math.inf, -math.inf],
        [1.0, None, 2.5],
        [1e308, 1e308],
    ],
)
def test_a_list_of_numbers_is_each_of_them_to_six_digits(values: list[float | None]) -> None:
    expected = [numbers.digits(one) for one in values]
    found = json.loads(numbers.numbers(values, ["%.6g"] * len(values)).text)
    assert found == expected
    assert all(
        one is None or other is None or one == pytest.approx(other, rel=1e-5)
        for one, other in zip(found, values, strict=True)
    )


def test_large_steps_are_whole() -> None:
    found = json.loads(numbers.numbers([1, 2**62 + 1, 0.5, None], ["[%d,%d,%.6g,%.6g]"]).text)
    assert found == [[1, 2**62 + 1, 0.5, None]]


HOSTILE = ['"', "\\", "</script>", "\u2028\x00\x7f\ud800", 'a"b\\"c', "part", "\\u003c", '"part 0"']


def test_parts_stand_where_they_belong_whatever_stands_around_them() -> None:
    parts = [Json(json.dumps(one)) for one in HOSTILE]
    mixed = [one for both in zip(HOSTILE, parts, strict=True) for one in both]
    expected = [one for text in HOSTILE for one in (text, text)]
    assert json.loads(as_json({"a": mixed, "b": parts[0]})) == {"a": expected, "b": HOSTILE[0]}
    script = as_script("cells/x", mixed)
    assert "<" not in script and script.isascii() and script.isprintable() is False
    text = script.removeprefix('suiteData("cells/x",').removesuffix(");\n")
    assert json.loads(json.loads(text)) == expected
    assert len(_PART) > 30, "nobody can guess what stands for a part"
    with pytest.raises(TypeError, match="set is no JSON"):
        as_json({"a": {1}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json({"a": math.nan})


def _held(seed: int, before: HeldOut, after: HeldOut | None) -> Record:
    one = record(cell(LORA, "sums", seed))
    assert one.before is not None and one.after is not None
    sides = {
        name: scores.model_copy(
            update={"log_loss": {"test": 1.0}, "held_out": {"test": held} if held else {}}
        )
        for name, scores, held in (("before", one.before, before), ("after", one.after, after))
    }
    return one.model_copy(update=sides)


def test_what_cells_share_is_written_once_and_is_the_same_in_all(tmp_path: Path) -> None:
    shared = HeldOut(accuracy=0.5, nats=[1.23456789, math.nan, 2.0], tokens=[3, 4, 5])
    for seed in range(3):
        after = HeldOut(accuracy=0.5, nats=[seed / 3, 1.0, 2.0], tokens=[3, 4, 5 + seed // 2])
        one = _held(seed, shared, after)
        cells.write_cell(tmp_path, one)
        (held,) = value(tmp_path, f"cells/{one.id}")["held_out"]
        assert held["tokens"] == after.tokens
        assert held["nats"] == [[1.23457, None, 2.0], [pytest.approx(seed / 3, rel=1e-5), 1.0, 2.0]]
    (alone,) = cells.facts(_held(0, shared, None))["held_out"]
    assert alone["tokens"] == [3, 4, 5] and alone["nats"] == [[1.23457, None, 2.0], None]


def test_objects_are_told_apart_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "KEPT", 10)
    for at in range(100):
        held = HeldOut(accuracy=0.5, nats=[float(at)], tokens=[1])
        found = numbers.remembered(held, lambda one: one.nats[0])
        assert found == at == numbers.remembered(held, lambda one: -1.0)
    assert len(numbers._known) <= 10
    assert numbers.remembered(None, lambda one: 1) is None


def test_a_file_is_written_whole_and_only_where_it_changed(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    put(out, "data/x.js", b"one")
    first = (out / "data" / "x.js").stat()
    put(out, "data/x.js", b"one")
    assert (out / "data" / "x.js").stat().st_mtime_ns == first.st_mtime_ns
    assert (out / "data" / "x.js").stat().st_ino == first.st_ino
    put(out, "data/x.js", b"two")
    assert (out / "data" / "x.js").read_bytes() == b"two"
    assert [one.name for one in (out / "data").iterdir()] == ["x.js"]
    (out / "data" / "folder.js").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        put(out, "data/folder.js", b"three")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        put(tmp_path / "file", "x.js", b"one")
