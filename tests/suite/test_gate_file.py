"""Baseline files: the same bytes from the same records, all the gate needs, and nothing taken on trust."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from suite import gate_file
from suite.errors import UserError
from suite.gate import judge
from suite.gate_facts import facts
from suite.store import Store
from tests.example_records.make import examples, examples_of_others
from tests.suite.gate_records import store


def _written(folder: Path, records: Any) -> Path:
    file = folder / "baseline.json"
    gate_file.write(records, file)
    return file


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    records = store(range(3))
    first = _written(tmp_path, records).read_bytes()
    random.Random(0).shuffle(records)
    assert _written(tmp_path, records).read_bytes() == first
    assert len(first) < 1000 * len(records)


@pytest.mark.parametrize("records", [store(range(2)), [*examples(), *examples_of_others()]])
def test_a_file_holds_what_the_gate_reads(tmp_path: Path, records: list[Any]) -> None:
    read = gate_file.read(_written(tmp_path, records))
    assert sorted(read, key=lambda one: one.cell.id) == sorted(facts(records), key=lambda one: one.cell.id)


def test_a_verdict_does_not_depend_on_where_a_side_comes_from(tmp_path: Path) -> None:
    old, new = store(range(3)), store(range(5, 8))
    for record in old:
        Store(tmp_path / "store").write(record)
    file = _written(tmp_path, old)
    reports = [judge(gate_file.side(place), new) for place in (file, tmp_path / "store")]
    assert reports[0] == reports[1] == judge(old, new)


def _edited(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return edit


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda text: "", "not a baseline"),
        (lambda text: text[:1000], "not a baseline"),
        (lambda text: "[" * 100_000, "not a baseline"),
        (lambda text: "[1]", "not a baseline"),
        (_edited(lambda c: c.update(version=2)), "version"),
        (_edited(lambda c: c.update(format="other")), "format"),
        (_edited(lambda c: c.update(extra=1)), "extra"),
        (_edited(lambda c: c["cells"][0].update(schedule=99)), "cell 0 names no schedule"),
        (_edited(lambda c: c["cells"][0].update(cell=-1)), "cell 0 names no cell"),
        (_edited(lambda c: c["cells"][0].update(before=True)), "cell 0 names no before"),
        (_edited(lambda c: c["shared"].pop("made")), "names no made"),
        (_edited(lambda c: c["cells"][1].update(c["cells"][0])), "twice"),
        (_edited(lambda c: c["cells"][0]["values"].update(gain="NaN")), "gain"),
        (_edited(lambda c: c["cells"][0]["values"].update(gain=1e300)), "gain"),
        (_edited(lambda c: c["cells"][0].update(trainable_parameters=10**30)), "trainable_parameters"),
        (_edited(lambda c: c["cells"][0].update(status="fine")), "status"),
        (_edited(lambda c: c["cells"][0].update(seed="x")), "seed"),
        (_edited(lambda c: c["shared"]["cell"].__setitem__(0, 3)), "cell"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, edit: Callable[[str], str], told: str) -> None:
    file = _written(tmp_path, store(range(2)))
    file.write_text(edit(file.read_text()))
    with pytest.raises(UserError) as error:
        gate_file.read(file)
    assert told in str(error.value) and str(file) in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


def test_a_file_cannot_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _written(tmp_path, store(range(2)))
    monkeypatch.setattr(gate_file, "MOST_EXPANDED", 5000)
    with pytest.raises(UserError, match="larger than"):
        gate_file.read(file)
    monkeypatch.setattr(gate_file, "MOST_BYTES", 5000)
    with pytest.raises(UserError, match="which no baseline is"):
        gate_file.read(file)


def test_a_place_that_is_no_side(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name, told in (("folder", "without records"), ("nothing", "nothing is there")):
        with pytest.raises(UserError, match=told):
            gate_file.side(tmp_path / name)
    with pytest.raises(UserError, match="nothing to write"):
        gate_file.write([], tmp_path / "baseline.json")
