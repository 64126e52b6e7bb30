"""Baseline files: the same bytes from the same records, all the gate needs, and nothing taken on trust."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from suite.errors import UserError
from suite.gate import file as gate_file
from suite.gate import judge
from suite.gate.facts import facts
from suite.store import Store
from tests.example_records.make import LORA, examples, examples_of_others
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
        (_edited(lambda c: c["shared"]["cell"][0].update(learning_rate=float("nan"))), "'shared' holds"),
        (_edited(lambda c: c["shared"]["before"].append(float("inf"))), "'shared' holds a number"),
        (lambda text: text.replace('"learning_rate":0.005', '"learning_rate":1e309'), "'shared' holds"),
        (
            lambda text: text.replace('"learning_rate":0.005', '"learning_rate":' + "9" * 9999),
            "not a baseline",
        ),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, edit: Callable[[str], str], told: str) -> None:
    file = _written(tmp_path, store(range(2)))
    file.write_text(edit(file.read_text()))
    with pytest.raises(UserError) as error:
        gate_file.read(file)
    assert told in str(error.value) and str(file) in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


def _leaves(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in inside:
        yield (*place, key)
        if isinstance(value, dict | list):
            yield from _leaves(value, (*place, key))


WRONG = [
    "NaN",
    "1e309",
    "-1e309",
    "null",
    '""',
    "[]",
    "{}",
    "-1",
    "true",
    "1e300",
    "0",
    "9" * 5000,
    json.dumps("x" * 10_000),
    r'"\ud800"',
    r'"\u0000\n[red]"',
    '["NaN"]',
    '{"a": NaN}',
]


def test_no_damage_at_all_is_a_traceback(tmp_path: Path) -> None:
    """Every value of a baseline file in turn is replaced by things that it is not."""
    records = [r for r in store(range(2)) if r.cell.variant.name == LORA.name and r.cell.task.name == "sums"]
    content = json.loads(_written(tmp_path, records).read_text())
    for table in content["shared"]["schedule"]:  # one step stands for all
        del table[0][2:]
    rng, ends = random.Random(0), Counter[str]()
    file = tmp_path / "damaged.json"
    for place in list(_leaves(content)):
        for wrong in rng.sample(WRONG, 5):
            damaged = copy.deepcopy(content)
            at = damaged
            for key in place[:-1]:
                at = at[key]
            at[place[-1]] = "@here@"
            file.write_text(json.dumps(damaged).replace('"@here@"', wrong))
            try:
                report = judge(gate_file.side(file), records)
            except UserError as error:
                assert "\n" not in str(error) and len(str(error)) < 1000
                ends["refused"] += 1
            else:
                json.dumps(report.content(), allow_nan=False)
                ends[report.verdict] += 1
    assert ends["refused"] > 500 and sum(ends.values()) > 600


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
