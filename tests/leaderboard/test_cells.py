"""The data file of a cell: it holds what the record says, whatever the record says."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from leaderboard import cells
from leaderboard.cell_index import write as write_index
from leaderboard.files import Files
from leaderboard.site import site
from suite.reading import Kept, Reading
from suite.record import CurvePoint, DeltaRank, HeldOut, Item, Overlap, Record, Score
from tests.example_records.make import EFFECT, LORA, cell, examples, examples_of_others, record, stopped
from tests.leaderboard.planted import site_of
from tests.leaderboard.site_files import value

EVIL = "</script><script>alert(1)</script>\u202e\x00\u2028'\"\\"


def _changed(one: Record, side: str, evaluation: str, **changes: Any) -> Record:
    """The record with another score of one target evaluation."""
    scores = getattr(one, side)
    score = scores.target[evaluation].model_copy(update=changes)
    return one.model_copy(update={side: scores.model_copy(update={"target": {evaluation: score}})})


def _target(one: Record) -> dict[str, Any]:
    return next(each for each in cells.facts(one)["evaluations"] if each["kind"] == "target")


@pytest.mark.parametrize("one", [*examples(), *examples_of_others()], ids=lambda one: one.id)
def test_what_is_read_back_is_what_the_record_says(one: Record, tmp_path: Path) -> None:
    cells.write_cell(tmp_path, one)
    found = value(tmp_path, f"cells/{one.id}")
    assert (found["id"], found["status"], found["error"]) == (one.id, one.status, one.error)
    assert found["made"] == one.provenance.model_dump(mode="json")
    assert dict(map(tuple, found["variant"]["settings"])).keys() == one.cell.variant.settings.keys()
    for side, scores in enumerate((one.before, one.after)):
        every = {**scores.target, **scores.general} if scores else {}
        for each in found["evaluations"]:
            kept = every.get(each["name"])
            assert each["value"][side] == (kept.value if kept else None)
            if kept and kept.items:
                assert [float(mark) for mark in each["right"][side]] == [item.correct for item in kept.items]
                said = [item.response for item in kept.items]
                assert each["said"][side] == (said if any(said) else None)
    assert found["gain"] == one.gain and found["forgetting"] == one.forgetting


def test_every_part_of_a_whole_record_is_there(tmp_path: Path) -> None:
    rank = DeltaRank(numeric=16, stable=3.5, ninety=9, full=64)
    effect = EFFECT.model_copy(update={"ranks": {next(iter(EFFECT.delta_norms)): rank}})
    overlap = Overlap(evaluation="e", n=8, items=4, short=1, found=2, mostly=1, grams=9, grams_found=3)
    held = {"test": HeldOut(accuracy=0.75, nats=[1.25, 2.5], tokens=[3, 4])}
    one = record(cell(LORA, "sums", 0), effect=effect, contamination=[overlap], notes=["a note"], rows="ab12")
    assert one.after is not None and one.before is not None
    one = one.model_copy(update={"after": one.after.model_copy(update={"held_out": held})})
    cells.write_cell(tmp_path, one)
    found = value(tmp_path, f"cells/{one.id}")
    assert found["effect"]["deltas"][0] == ["model.layers.0.self_attn.q_proj.weight", 3.0, [16, 3.5, 9, 64]]
    assert found["effect"]["deltas"][1][2] is None, "a delta without ranks"
    assert found["contamination"] == [overlap.model_dump(mode="json")]
    assert (found["notes"], found["rows"]) == (["a note"], "ab12")
    test = next(each for each in found["held_out"] if each["split"] == "test")
    assert (test["tokens"], test["nats"]) == ([3, 4], [None, [1.25, 2.5]])
    assert test["change"] == pytest.approx(0.51 - 1.51) and test["accuracy"] == [None, 0.75]
    assert found["bits_change"] == 0.125 and found["cost"]["tokens"] == 100_000
    assert dict(map(tuple, found["recipe"]))["betas"] == "[0.9, 0.999]"


def test_hostile_texts_stay_texts_and_the_file_stays_one_call(tmp_path: Path) -> None:
    one = record(cell(LORA, "sums", 0), notes=[EVIL], error=EVIL)
    items = [Item(id=EVIL, correct=1.0, response=EVIL), Item(id="\ud800", correct=0.0, response="")]
    one = _changed(one, "after", "sums_test", items=items)
    cells.write_cell(tmp_path, one)
    text = (tmp_path / cells.path(one.id)).read_text("ascii")
    assert "<" not in text and text.count("suiteData(") == 1
    found = value(tmp_path, f"cells/{one.id}")
    assert found["notes"] == [EVIL] and found["error"] == EVIL
    target = next(each for each in found["evaluations"] if each["kind"] == "target")
    assert target["ids"][:2] == [EVIL, "\ud800"] and target["said"][1][:2] == [EVIL, ""]


def test_a_very_long_output_is_cut_and_says_how_long_it_was() -> None:
    one = record(cell(LORA, "sums", 0))
    long = "x" * (cells.LONGEST + 1)
    items = [Item(id="0", correct=1.0, response=long), Item(id="1", correct=1.0, response=long[:-1])]
    one = _changed(one, "after", "sums_test", items=items)
    said = _target(one)["said"][1]
    assert said[0] == ["x" * cells.LONGEST, cells.LONGEST + 1] and said[1] == long[:-1]


def test_numbers_that_json_has_no_word_for(tmp_path: Path) -> None:
    settings = LORA.model_copy(update={"settings": {"a": float("nan"), "b": 10**30, "c": 1e308, "d": None}})
    one = record(cell(settings, "sums", 0, learning_rate=1e308), start_loss=math.inf)
    assert one.after is not None
    broken = one.after.model_copy(update={"log_loss": {"test": math.nan}, "bits_per_byte": -math.inf})
    one = one.model_copy(update={"after": broken})
    cells.write_cell(tmp_path, one)
    found = value(tmp_path, f"cells/{one.id}")
    assert found["start_loss"] == "Infinity" and found["bits"] == [2.0, "-Infinity"]
    test = next(each for each in found["held_out"] if each["split"] == "test")
    assert test["loss"][1] == "NaN" and test["change"] == "NaN"
    shown = dict(map(tuple, found["variant"]["settings"]))
    assert shown == {"a": "NaN", "b": "1" + 30 * "0", "c": "1e+308", "d": "null"}


def test_shares_and_unknown_outcomes_are_kept_as_they_are() -> None:
    one = record(cell(LORA, "sums", 0))
    shares = [Item(id="0", correct=0.25), Item(id="1", correct=None), Item(id="2", correct=math.nan)]
    unknown = [Item(id=str(at), correct=correct) for at, correct in enumerate((1.0, None, 0.0))]
    assert _target(_changed(one, "after", "sums_test", items=shares))["right"][1][:3] == [0.25, None, None]
    assert _target(_changed(one, "after", "sums_test", items=unknown))["right"][1][:3] == "1-0"


def test_items_are_paired_by_their_id_and_not_by_their_place() -> None:
    one = record(cell(LORA, "sums", 0))
    before = [Item(id="b", correct=0.0, response="was b"), Item(id="old", correct=1.0, response="was old")]
    after = [Item(id="a", correct=1.0, response="is a"), Item(id="b", correct=1.0, response="is b")]
    one = _changed(_changed(one, "before", "sums_test", items=before), "after", "sums_test", items=after)
    found = _target(one)
    assert found["ids"] == ["a", "b", "old"]
    assert found["right"] == ["-01", "11-"]
    assert found["said"] == [[None, "was b", "was old"], ["is a", "is b", None]]


def test_a_long_curve_keeps_its_ends_and_a_lost_loss_is_a_gap() -> None:
    points = [CurvePoint(phase=0, step=at, loss=1.0 / (at + 1), learning_rate=1e-3) for at in range(5000)]
    points[0] = points[0].model_copy(update={"loss": math.nan})
    found = json.loads(cells.curve(points).text)
    assert len(found) == cells.POINTS and [found[0][1], found[-1][1]] == [0, 4999]
    assert found[0][2] is None and found[-1][2] == pytest.approx(1 / 5000, rel=1e-5)
    steps = [point[1] for point in found]
    assert all(one is not None and other is not None and one < other for one, other in pairwise(steps))
    assert [point[1] for point in json.loads(cells.curve(points[:400]).text)] == list(range(400))


def test_the_index_knows_every_cell_its_rows_and_its_seeds(tmp_path: Path) -> None:
    records = [*examples(), stopped(cell(LORA, "sums", 7), "failed", "no")]
    planted = site_of(records, badge="community")
    write_index(Files(tmp_path), planted)
    found = {digit: value(tmp_path, f"where/{digit}") for digit in "0123456789abcdef"}
    known = {name: (shard, *shard["cells"][name]) for shard in found.values() for name in shard["cells"]}
    assert known.keys() == {one.id for one in records}
    for one in records:
        shard, store, badge, rows, seeds = known[one.id]
        assert one.id[0] in found and one.id in found[one.id[0]]["cells"]
        assert (shard["stores"][store], badge) == ("STORE", "community")
        href, label, title, board = shard["rows"][rows[0]]
        assert (
            label == one.cell.variant.name
            and title == planted.boards[0].title
            and board == planted.boards[0].id
        )
        assert href == f"variant-{label}.html#{board}-{label}"
        same = {r.id for r in records if (r.cell.variant, r.cell.task) == (one.cell.variant, one.cell.task)}
        assert {name for name, _ in seeds} == same


def test_the_size_of_a_published_cell(tmp_path: Path) -> None:
    score = Score(evaluation="e", metric="m", value=1.0, n=250, metrics={}, items=[
        Item(id=str(at), correct=1.0, response="\n    return x + 1") for at in range(250)])  # fmt: skip
    one = record(cell(LORA, "sums", 0))
    assert one.after is not None
    one = one.model_copy(update={"after": one.after.model_copy(update={"target": {"sums_test": score}})})
    assert len(json.dumps(cells.facts(one))) < 12_000


def test_the_store_is_named_where_there_are_several(tmp_path: Path) -> None:
    one, other = record(cell(LORA, "sums", 0)), record(cell(LORA, "sums", 1))
    kept = (Kept(one, "a b", None, ()), Kept(other, "c", None, ()))
    write_index(Files(tmp_path), site(Reading(kept, (), ())))
    shard = value(tmp_path, f"where/{one.id[0]}")
    assert shard["stores"][shard["cells"][one.id][0]] == "'a b'", "as a shell reads it"


def test_long_notes_and_commands_are_cut_and_say_so() -> None:
    one = examples()[0]
    where = one.provenance.model_copy(update={"command": "x" * (cells.LONGEST + 5)})
    notes = ["y" * (cells.LONGEST + 1), *["short"] * cells.NOTES]
    found = cells.facts(one.model_copy(update={"provenance": where, "notes": notes, "error": "short"}))
    cut = f"(cut: {cells.LONGEST + 5} characters in the record)"
    assert found["made"]["command"].endswith(cut) and len(found["made"]["command"]) < cells.LONGEST + 100
    assert len(found["notes"]) == cells.NOTES + 1 and "(cut: " in found["notes"][0]
    assert found["notes"][-1] == "1 more notes are in the record" and found["error"] == "short"
