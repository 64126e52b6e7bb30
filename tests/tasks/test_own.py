"""One's own rows: their forms, their splits by hash, and what a wrong file is told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tasks import own, registry
from tasks.interface import Budget, Example, Places, TaskError
from tests.needs import real_data
from tests.tasks.rows import write
from tests.tasks.test_sets import PLAIN

SPLITS = ("train", "validation", "test")
ROWS: list[tuple[dict[str, Any], Example]] = [
    (
        {"instruction": "Hi {n}", "response": "Yes", "text": "whole"},
        Example(f"{PLAIN}Hi {{n}}\n\n### Response:", "\nYes", (("user", "Hi {n}"),)),
    ),
    (
        {"instruction": "Hi", "input": "", "output": "Yes"},
        Example(f"{PLAIN}Hi\n\n### Response:", "\nYes", (("user", "Hi"),)),
    ),
    ({"prompt": "The", "completion": " end"}, Example("The", " end", (("user", "The"),))),
    (
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]},
        Example("<|user|>\nHi\n<|assistant|>", "\nYes", (("user", "Hi"),)),
    ),
    ({"text": "Any é"}, Example("", "Any é")),
]


def texts(count: int) -> list[dict[str, Any]]:
    """Rows of plain text, all different."""
    return [{"text": f"row {n}"} for n in range(count)]


def splits(path: Path, **budget: int) -> dict[str, list[str]]:
    """The texts of every split."""
    portion = own.read(path, Budget(**budget))
    return {split: [example.response for example in portion.stream(split)] for split in SPLITS}


@pytest.mark.parametrize(("row", "example"), ROWS)
def test_every_form(row: dict[str, Any], example: Example, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", [row])
    form = own.form_of(path)
    assert form.check(row) is None and form.example(row) == example


def test_a_form_that_is_not_known(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", [{"question": "a", "reply": "b"}])
    path.write_text("\n" + path.read_text())
    with pytest.raises(
        TaskError, match=rf"^{path}:2: columns \['question', 'reply'\] are of no known form"
    ) as told:
        registry.get("own", Places(own=path))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"text": "x"}', "column 'instruction' is missing; found .'text'."),
        ('{"instruction": "x", "response": 1}', "column 'response' must be text, got 1"),
        ("not json", "not JSON"),
        ('"x"', 'expected a JSON object, got "x"'),
    ],
)
def test_every_row_has_the_form_of_the_first(line: str, told: str, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", [ROWS[0][0]] * 3)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(TaskError, match=f"^{path}:4: {told}"):
        own.read(path, Budget())


def test_no_file_and_no_rows(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no file given; give one with --data FILE.jsonl"):
        registry.get("own")
    with pytest.raises(TaskError, match=r"no data file .*no.jsonl"):
        registry.get("own", Places(own=tmp_path / "no.jsonl"))
    with pytest.raises(TaskError, match="no data file"):
        registry.get("own", Places(own=tmp_path))
    empty = write(tmp_path / "empty.jsonl", [])
    with pytest.raises(TaskError, match=r"empty.jsonl: no rows; expected JSON lines"):
        registry.get("own", Places(own=empty))


def test_a_row_falls_to_the_same_split_in_every_file(tmp_path: Path) -> None:
    rows = texts(2000)
    one = splits(write(tmp_path / "one.jsonl", rows))
    other = splits(write(tmp_path / "other.jsonl", reversed(rows[500:])))
    assert {len(found) for found in one.values()} == {len(one[s]) for s in SPLITS}
    for split in SPLITS:
        assert set(other[split]) <= set(one[split])
    known = {"validation": [27, 65, 71, 72], "test": [19, 48, 51, 68, 79, 90, 99]}  # on every machine
    for split, numbers in known.items():
        assert one[split][: len(numbers)] == [f"row {n}" for n in numbers]
    share = {split: len(found) / 2000 for split, found in one.items()}
    assert share["train"] == pytest.approx(0.9, abs=0.02) and share["test"] == pytest.approx(0.05, abs=0.015)
    assert Counter(text for found in one.values() for text in found) == Counter(row["text"] for row in rows)


def test_equal_rows_stay_together_whatever_their_other_columns(tmp_path: Path) -> None:
    rows = [{**row, "id": i} for i in range(3) for row in texts(100)]
    found = splits(write(tmp_path / "mine.jsonl", rows))
    assert all(set(Counter(texts_).values()) == {3} for texts_ in found.values())
    assert set(found["train"]).isdisjoint({*found["validation"], *found["test"]})


@pytest.mark.parametrize("count", [3, 4, 10, 30])
def test_a_tiny_file_still_has_three_splits(count: int, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", texts(count))
    found = splits(path)
    assert all(found.values()) and sorted(t for texts_ in found.values() for t in texts_) == sorted(
        row["text"] for row in texts(count)
    )
    again = splits(write(tmp_path / "again.jsonl", reversed(texts(count))))
    assert {split: set(rows) for split, rows in again.items()} == {s: set(rows) for s, rows in found.items()}


def test_what_was_moved_is_said(tmp_path: Path) -> None:
    notes = own.read(write(tmp_path / "mine.jsonl", texts(3)), Budget()).notes
    assert len(notes) == 2 and "too few for a validation split by hash" in notes[0]


@pytest.mark.parametrize("rows", [texts(1), texts(2), texts(2) * 5, texts(1) * 9])
def test_a_file_that_cannot_be_split(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", rows)
    with pytest.raises(TaskError, match=f"{path}: {len(rows)} rows leave none .* at least 3 different ones"):
        own.read(path, Budget())


def test_a_budget_stops_the_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", texts(4000))
    whole, some = splits(path), splits(path, examples=50)
    assert some["train"] == whole["train"][:50] and some["validation"] and some["test"]
    portion = own.read(path, Budget(examples=50))
    assert portion.lines < 400 and portion.notes == (
        f"mine.jsonl: its first {portion.lines} lines were read, as the budget needs no more",
    )
    bounded = splits(path, tokens=100)["train"]
    assert sum(map(len, bounded)) >= 800 > sum(map(len, bounded[:-1]))


def test_held_out_rows_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "MOST", 3)
    found = splits(write(tmp_path / "mine.jsonl", texts(400)))
    assert len(found["validation"]) == len(found["test"]) == 3 and len(found["train"]) > 330


@pytest.mark.parametrize("name", ["own", "math", "code"])
def test_own_rows_for_a_task(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", texts(50))
    task = registry.get(name, Places(own=path), "own")
    assert (task.name, task.source) == (name, "own") and list(task.files) == ["mine.jsonl"]
    assert [e.name for e in task.evaluations] == ([] if name == "own" else [f"pocket_{name}"])
    assert task.examples("train") == list(task.stream("train")) != []
    moved = path.rename(tmp_path / "other.jsonl")
    assert registry.get(name, Places(own=moved), "own").examples("test") == task.examples("test")
    write(moved, texts(51))
    assert registry.get(name, Places(own=moved), "own").digest != task.digest


def test_real_rows_as_own_ones(tmp_path: Path) -> None:
    data = real_data()
    rows = [json.loads(line) for line in (data / "alpaca/train.jsonl").read_text().splitlines()]
    path = write(tmp_path / "mine.jsonl", rows)
    task = registry.get("instruct", Places(data, path), "own")
    assert [e.name for e in task.evaluations] == ["ifeval"]
    sizes = {split: len(task.examples(split)) for split in SPLITS}
    assert sum(sizes.values()) == len(rows) and min(sizes.values()) > 20
    assert registry.files("instruct", "own") == registry.files("instruct", "alpaca")[1:]


def test_the_held_out_row_of_a_tiny_file_is_the_same_for_every_budget(tmp_path: Path) -> None:
    """What the base scored on it is kept by content, whatever was trained on."""
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps({"text": f"row number {i}"}) + "\n" for i in range(12)))
    found = [registry.get("own", Places(own=path), examples=count) for count in (None, 2, 5)]
    for split in ("validation", "test"):
        first = found[0].examples(split)
        assert first and all(task.examples(split) == first for task in found)
    assert [len(task.examples("train")) for task in found[1:]] == [2, 5]


def test_the_form_of_a_file_is_part_of_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps({"text": f"row {i}"}) + "\n" for i in range(40)))
    before = registry.get("own", Places(own=path)).digest
    monkeypatch.setattr(own, "SHARES", {"validation": 10, "test": 10})
    assert registry.get("own", Places(own=path)).digest != before
