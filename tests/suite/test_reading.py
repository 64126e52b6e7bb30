"""Reading stores for the page: every file is kept or named with its reason, whatever it holds."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from suite import reading
from suite.reading import Kept, Reading, read, stores
from suite.record import CurvePoint, Record, Search
from suite.slim import POINTS
from suite.standings import standings
from suite.store import Store, StoreError
from tests.example_records.make import FOLDER, LORA, cell, examples, record

ONE = record(cell(LORA, "sums", 0))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of one good record."""
    Store(tmp_path / "store").write(ONE)
    return tmp_path / "store"


def _put(store: Path, change: Callable[[dict[str, Any]], None], packed: bool = False) -> Path:
    """A second record, changed as JSON; it keeps the name that its changed cell has."""
    content = json.loads(record(cell(LORA, "sums", 1)).model_dump_json())
    change(content)
    file = store / "records" / f"{content['id']}.json"
    file.write_text(json.dumps(content))
    return file


def _only(found: Reading, file: str) -> str:
    """The reason of the only file that was rejected, in one printable line; the good record is there."""
    assert [kept.record.id for kept in found.kept] == [ONE.id]
    assert [one.file for one in found.rejected] == [file]
    reason = found.rejected[0].reason
    assert reason and reason.isprintable()
    return reason


def test_what_is_kept_is_slim_and_tells_the_same(tmp_path: Path) -> None:
    points = [CurvePoint(phase=1, step=i, loss=float(i), learning_rate=0.1) for i in range(200)]
    made = [one.model_copy(update={"curve": points}) for one in examples()]
    for one in made:
        Store(tmp_path).write(one)
    found = read([tmp_path])
    assert [kept.record.id for kept in found.kept] == sorted(one.id for one in made)
    slim = found.kept[0]
    assert slim.record.curve == [] and len(slim.curve) == POINTS == 60
    assert slim.curve[0] == (1, 0, 0.0) and slim.curve[-1] == (1, 199, 199.0)
    assert all(
        item.response is None
        for kept in found.kept
        for scores in (kept.record.before, kept.record.after)
        if scores
        for one in (*scores.target.values(), *scores.general.values())
        for item in one.items
    )
    assert repr(standings(kept.record for kept in found.kept)) == repr(standings(made))


def test_a_short_or_broken_curve_is_as_it_is(store: Path) -> None:
    nan = [CurvePoint(phase=1, step=s, loss=v, learning_rate=None) for s, v in ((1, 2.5), (2, math.inf))]
    Store(store).write(ONE.model_copy(update={"curve": nan}))
    assert read([store]).kept[0].curve == ((1, 1, 2.5), (1, 2, math.inf))


def test_equal_outcomes_are_one_object() -> None:
    found = [kept.record for kept in read([FOLDER]).kept if kept.record.before]
    lists = {id(one.before.general["synthetic_science"].items) for one in found if one.before}
    assert len(found) > 5 and len(lists) == 1


class Note:
    """Writes a file beside each record that it sees, in whatever process that is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, one: Record) -> None:
        assert one.after is None or any(i.response for s in one.after.target.values() for i in s.items)
        (self.folder / one.id).write_text(f"{len(one.curve)} {os.getpid()}")


def test_processes_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WORTH", 4)
    monkeypatch.setattr(reading, "CHUNK", 2)
    for folder in ("one", "two", "store"):
        (tmp_path / folder).mkdir()
    for each in examples():
        Store(tmp_path / "store").write(each)
    (tmp_path / "store" / "records" / "bad.json").write_text("{")
    alone = read([tmp_path / "store"], Note(tmp_path / "one"), workers=1)
    found = read([tmp_path / "store"], Note(tmp_path / "two"), workers=2)
    dumped = [[kept.record.model_dump_json() for kept in each.kept] for each in (alone, found)]
    assert dumped[0] == dumped[1] and alone.rejected == found.rejected and len(found.rejected) == 1
    assert [kept.curve[:0] for kept in alone.kept] == [kept.curve[:0] for kept in found.kept]
    notes = [
        {file.name: file.read_text().split() for file in (tmp_path / f).iterdir()} for f in ("one", "two")
    ]
    assert notes[0].keys() == notes[1].keys() == {one.id for one in examples()}
    assert {pid for _, pid in notes[0].values()} == {str(os.getpid())}
    assert str(os.getpid()) not in {pid for _, pid in notes[1].values()}


def _fail(one: Record) -> None:
    raise StoreError("disk is full")


def test_what_cannot_be_written_ends_the_reading(store: Path) -> None:
    with pytest.raises(StoreError, match="disk is full"):
        read([store], _fail)


def _set(place: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        *outer, last = place.split(".")
        inner: Any = content
        for name in outer:
            inner = inner[int(name)] if isinstance(inner, list) else inner[name]
        inner[int(last) if isinstance(inner, list) else last] = value

    return change


TARGET = "after.target.sums_test"


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("schema_version", 3, "a record of schema 3, this version reads 4"),
        ("status", "fine", "status: Input should be"),
        ("provenance", {}, "Field required"),
        ("luck", 7, "luck: Extra inputs"),
        ("id", "0123456789abcdef", "holds the record 0123456789abcdef of the cell"),
        (f"{TARGET}.value", math.nan, "value: nan; expected a number"),
        (f"{TARGET}.value", 1e308, r"value: 1e\+308; expected a number"),
        (f"{TARGET}.items.0.correct", 1e308, r"an item is 1e\+308 right; expected 0 to 1"),
        (f"{TARGET}.items.0.correct", math.nan, "an item is nan right"),
        (f"{TARGET}.items.0.correct", -0.5, "an item is -0.5 right"),
        (f"{TARGET}.items.1.id", "0", "names an item twice"),
        (f"{TARGET}.items.1.id", "x" * 10**6, "an item's name of more than 500"),
        (f"{TARGET}.metric", "x" * 10**6, "1000000 characters; expected at most 500"),
        ("after.target", {}, "scores before and after do not match"),
        ("before.target", {}, "scores before and after do not match"),
        ("after.general", {}, "scores before and after do not match"),
        ("after.held_out", {"test": {"accuracy": 1, "nats": [1.0], "tokens": []}}, "1 losses and 0 lengths"),
        ("after.held_out", {"test": {"accuracy": 1, "nats": [1.0], "tokens": [0]}}, "0 in all"),
        ("after.held_out", {"test": {"accuracy": 1, "nats": [1e308], "tokens": [1]}}, r"1e\+308"),
        ("cost.train_wall_s", math.inf, "cost.train_wall_s: inf"),
        ("cost.train_wall_s", -1.0, "cost.train_wall_s: -1.0; expected 0 or more"),
        ("cost.flops", {"forward": 1, "backward": 1, "tokens": 0}, "flops.tokens: 0; expected 1 or more"),
        ("trainable_parameters", 10**400, "an integer of 1329 bits"),
        ("trainable_parameters", -1, "trainable_parameters: -1"),
        ("curve.0.loss", 1e308, r"curve: 1e\+308"),
        ("curve.0.step", 10**30, "curve: a step of more than 64 bits"),
        ("provenance.device", "a\x1b[2Jb", r"'a\\x1b\[2Jb'; expected at most 500 printable"),
        ("effect", {"text_digest": "x" * 501}, "Field required"),
        ("notes", [""] * 20_001, "notes: 20001 values; expected at most 20000"),
        (f"{TARGET}.evaluation", "gsm8k", "target.sums_test: holds the score of gsm8k"),
    ],
)
def test_what_would_break_a_page_is_named(store: Path, place: str, value: Any, reason: str) -> None:
    file = _put(store, _set(place, value))
    assert re.search(reason, _only(read([store]), f"records/{file.name}"))
    with pytest.raises(StoreError):
        Store(store).records()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"track": "x\u202etxt"}, r"cell.track: 'x\\u202etxt'; expected"),
        ({"track": " "}, "cell: ' ' cannot name a track"),
        ({"track": "__proto__"}, "cell: '__proto__' cannot name a track"),
        ({"track": "x" * 501}, "501 characters"),
        ({"learning_rate": math.inf}, "cell.learning_rate: inf"),
        ({"learning_rate": None}, "search: of a cell that says no recipe, rate or seed"),
        (
            {"variant": LORA.model_copy(update={"settings": {"a": 10**400}})},
            "settings.a: an integer of",
        ),
        ({"variant": LORA.model_copy(update={"settings": {"a": {"b": 1e308}}})}, r"a.b: 1e\+308"),
        ({"variant": LORA.model_copy(update={"settings": {"a\x00": 1}})}, "names: 'a"),
    ],
)
def test_a_cell_that_would_break_a_page_is_named(store: Path, changes: dict[str, Any], reason: str) -> None:
    search = Search(method="grid", rates=[0.005], default=0.005, role="trial")
    changed = cell(LORA, "sums", 1).model_copy(update=changes)
    made = ONE.model_copy(update={"cell": changed, "id": changed.id, "search": search})
    file = store / "records" / f"{made.id}.json"
    file.write_text(made.model_dump_json())
    assert re.search(reason, _only(read([store]), f"records/{file.name}"))


def test_settings_in_settings_are_refused_before_they_overflow(store: Path) -> None:
    settings: dict[str, Any] = {}
    for _ in range(150):
        settings = {"a": settings}
    deep = cell(LORA.model_copy(update={"settings": settings}), "sums", 1)
    (store / "records" / f"{deep.id}.json").write_text(
        ONE.model_copy(update={"cell": deep, "id": deep.id}).model_dump_json()
    )
    assert "more than 20 levels" in _only(read([store]), f"records/{deep.id}.json")


def test_losses_and_texts_may_be_anything(store: Path) -> None:
    text = "<script>\x00\u202e\n" * 10**5

    def change(content: dict[str, Any]) -> None:
        content["after"]["log_loss"]["test"] = math.inf
        content["after"]["bits_per_byte"] = math.nan
        content["start_loss"] = -math.inf
        content["curve"][0]["loss"] = math.nan
        content["error"] = content["provenance"]["command"] = text
        content["notes"] = [text] * 3
        content["after"]["target"]["sums_test"]["items"][0]["response"] = text

    _put(store, change)
    found = read([store])
    assert len(found.kept) == 2 and not found.rejected
    slim = next(kept.record for kept in found.kept if kept.record.id != ONE.id)
    assert len(slim.model_dump_json()) < 50_000 and slim.error and slim.error.endswith("characters)")
    assert standings(kept.record for kept in found.kept)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Invalid JSON"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b'{"schema_version": ' + b"9" * 5000 + b"}", "number out of range"),
        (b"[" * 10**5, "Invalid JSON: recursion limit"),
        (b"null", "Input should be an object"),
    ],
)
def test_a_file_that_is_no_record(store: Path, content: bytes, reason: str) -> None:
    (store / "records" / "abc.json").write_bytes(content)
    assert reason in _only(read([store]), "records/abc.json")


def test_packed_files_that_are_cut_or_unpack_to_very_much(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = store / "records" / "abc.json.gz"
    file.write_bytes(gzip.compress(b"{}")[:-4])
    assert "cannot be read" in _only(read([store]), "records/abc.json.gz")
    file.write_bytes(gzip.compress(b" " * 200_000))
    monkeypatch.setattr("suite.store._LARGEST", 100_000)
    assert "unpacks to more than 100000 bytes" in _only(read([store]), "records/abc.json.gz")
    file.unlink()
    (store / "records" / "abc.json").write_bytes(b" " * 200_000)
    assert "has more than 100000 bytes" in _only(read([store]), "records/abc.json")


@pytest.mark.parametrize(
    "name", ["..json", "a b.json", "<b>.json", "x.txt", "\x1b[2J.json", ".json", "ä.json"]
)
def test_a_file_of_another_name(store: Path, name: str) -> None:
    (store / "records" / name).write_text("{}")
    found = read([store])
    assert [kept.record.id for kept in found.kept] == [ONE.id]
    if name.startswith("."):
        assert not found.rejected  # hidden files are passed over, as temporary ones are
    else:
        assert "not named as a record is" in found.rejected[0].reason
        assert found.rejected[0].file.isprintable()


def test_what_is_no_file_is_never_opened(store: Path) -> None:
    folder = store / "records"
    (folder / "a.json").mkdir()
    os.mkfifo(folder / "b.json")
    (folder / "c.json").symlink_to("/dev/zero")
    (folder / "d.json").symlink_to("nowhere.json")
    (folder / "e.json").symlink_to("e.json")
    outside = store.parent / "outside.json"
    outside.write_text(ONE.model_dump_json())
    (folder / "f.json").symlink_to(outside)
    found = read([store])
    assert [kept.record.id for kept in found.kept] == [ONE.id]
    reasons = {one.file: one.reason for one in found.rejected}
    assert list(reasons) == [f"records/{name}.json" for name in "abcdef"]
    assert reasons["records/a.json"] == reasons["records/b.json"] == "not a file"
    assert reasons["records/f.json"] == reasons["records/c.json"] == "a link that leaves the store"
    for name in ("a", "b"):
        with pytest.raises(StoreError, match="cannot be read"):
            Store(store).read(name)


def test_a_link_within_the_store_is_read(store: Path) -> None:
    file = store / "records" / f"{ONE.id}.json"
    (store / "kept").mkdir()
    file.rename(store / "kept" / "one.json")
    file.symlink_to(store / "kept" / "one.json")
    assert len(read([store]).kept) == 1


def test_a_record_that_lies_there_twice(store: Path) -> None:
    plain = (store / "records" / f"{ONE.id}.json").read_bytes()
    (store / "records" / f"{ONE.id}.json.gz").write_bytes(gzip.compress(plain))
    assert "a second file of one record" in _only(read([store]), f"records/{ONE.id}.json.gz")
    (store / "records" / f"{ONE.id}.json").write_text("{")
    assert "Invalid JSON" in _only(read([store]), f"records/{ONE.id}.json")  # the other one is read


def _stores(tmp_path: Path, *badges: str | None) -> list[Path]:
    """Stores of the same cell, each newer than the one before."""
    found = []
    for at, badge in enumerate(badges):
        path = tmp_path / f"store{at}"
        where = ONE.provenance.model_copy(update={"created": f"2026-0{at + 1}-01T00:00:00+00:00"})
        Store(path).write(ONE.model_copy(update={"provenance": where}))
        if badge:
            (path / "store.yaml").write_text(f"badge: {badge}\nby: somebody\n")
        found.append(path)
    return found


@pytest.mark.parametrize(
    ("badges", "order"),
    [
        ((None, None, None), [2, 1, 0]),
        (("verified", "community", None), [0, 1, 2]),
        (("community", "verified", "verified"), [2, 1, 0]),
    ],
)
def test_one_cell_of_several_stores(tmp_path: Path, badges: tuple[str | None, ...], order: list[int]) -> None:
    paths = _stores(tmp_path, *badges)
    seen: list[str | None] = []
    found = read(paths, lambda one: seen.append(one.provenance.created))
    assert [kept.store for kept in (*found.kept, *found.superseded)] == [f"store{at}" for at in order]
    assert [kept.badge for kept in (*found.kept, *found.superseded)] == [badges[at] for at in order]
    assert seen == [found.kept[0].record.provenance.created]
    assert read([tmp_path]) == found or len(read([tmp_path]).kept) == 1


def test_a_copy_supersedes_nothing(tmp_path: Path, store: Path) -> None:
    shutil.copytree(store, tmp_path / "copy")
    found = read([store, tmp_path / "copy", store])
    assert [kept.store for kept in found.kept] == ["copy"] and found.superseded == ()


@pytest.mark.parametrize("content", ["badge: golden\nby: me", "badge: [", "- x", "badge: 2024-99-99", "\x00"])
def test_a_badge_that_cannot_be_read_is_none(store: Path, content: str) -> None:
    (store / "store.yaml").write_text(content)
    found = read([store])
    assert found.kept[0].badge is None and _only(found, "store.yaml")


def test_a_badge_that_is_a_pipe_is_not_opened(store: Path) -> None:
    os.mkfifo(store / "store.yaml")
    assert _only(read([store]), "store.yaml") == "not a file"


def test_stores_are_found_two_levels_below(tmp_path: Path, store: Path) -> None:
    for place in ("site/a", "site/b/c", "site/b/d/e", "site/.hidden"):
        shutil.copytree(store, tmp_path / place)
    (tmp_path / "site" / "link").symlink_to(store)
    assert stores(tmp_path / "site") == [tmp_path / "site/a", tmp_path / "site/b/c"]
    assert stores(store) == [store]
    for missing in (tmp_path / "nowhere", tmp_path / "site" / "a" / "records"):
        with pytest.raises(StoreError, match=r"no store at .*; make one with"):
            stores(missing)


def test_stores_of_one_name_are_told_apart(tmp_path: Path, store: Path) -> None:
    for place in ("x/runs", "y/runs"):
        shutil.copytree(store, tmp_path / place)
        (tmp_path / place / "records" / "bad.json").write_text("{")
    found = read([tmp_path / "x/runs", tmp_path / "y/runs"])
    assert [one.file for one in found.rejected] == ["x/runs/records/bad.json", "y/runs/records/bad.json"]
    assert [kept.store for kept in found.kept] == ["x/runs"]


def test_a_date_that_is_none_is_the_oldest() -> None:
    dates = [None, "yesterday", "2026-01-01", "2026-01-01T00:00:00-05:00", "9999-12-31T23:59:59-23:59"]
    times = [reading._when(date) for date in dates]
    assert times[0] == times[1] == -math.inf < times[2] < times[3] < times[4]


def test_a_process_that_dies_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WORTH", 1)
    for one in examples():
        Store(tmp_path).write(one)
    with pytest.raises(StoreError, match="one of 2 processes that read records ended early"):
        read([tmp_path], _die, workers=2)


def _die(one: Record) -> None:
    os._exit(1)


def test_the_fields_of_what_is_kept() -> None:
    assert [name for name in Kept.__dataclass_fields__] == ["record", "store", "badge", "curve"]
