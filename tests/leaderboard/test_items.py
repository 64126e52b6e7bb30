"""Items against variants: who got what right, under which seed."""

from __future__ import annotations

from pathlib import Path

from leaderboard import items
from leaderboard.files import Files, slug
from leaderboard.site import Site
from suite.record import Item, Record
from tests.example_records.make import LORA, PISSA, cell, examples, examples_of_others, record, stopped
from tests.leaderboard.planted import method, site_of
from tests.leaderboard.site_files import Page, value

EVIL = "\"><script>alert('x')</script>\u202e/../#?&"


def _written(tmp_path: Path, site: Site) -> Files:
    files = Files(tmp_path)
    items.write(files, site)
    return files


def test_every_outcome_of_a_board_is_there(tmp_path: Path) -> None:
    records = examples()
    known = {one.id: one for one in records}
    site = site_of([*records, *examples_of_others()])
    _written(tmp_path, site)
    index = value(tmp_path, "items/index")
    (own,) = [board for board in site.boards if not board.external]
    assert [entry[0] for entry in index] == [own.id], "others report no items"
    names = {name: key for key, name, _, _ in index[0][3]}
    assert list(names)[:2] == ["sums_test", "words_test"] and len(names) == 5
    seen = 0
    for name, key in names.items():
        found = value(tmp_path, f"items/{own.id}/{key}")
        assert found["ids"] == 4
        for _, _, _, _, cells in found["rows"]:
            for record_id, task, seed, right in cells:
                one = known[record_id]
                assert one.after is not None and task == one.cell.task.label and seed == str(one.cell.seed)
                score = {**one.after.target, **one.after.general}[name]
                assert [float(mark) for mark in right] == [item.correct for item in score.items]
                seen += 1
    finished = [one for one in records if one.status == "ok"]
    assert seen == 4 * len(finished), "a target and three skills each"


def test_the_base_is_beside_them_and_cells_that_did_not_finish_are_not(tmp_path: Path) -> None:
    site = site_of([record(cell(LORA, "sums", 0), right=3), stopped(cell(LORA, "sums", 1), "oom", "no")])
    _written(tmp_path, site)
    found = value(tmp_path, f"items/{site.boards[0].id}/{slug('sums_test')}")
    assert found["before"] == "0000" and len(found["rows"][0][4]) == 1


def _with_items(one: Record, ids: list[str], right: list[float]) -> Record:
    assert one.after is not None
    made = [Item(id=name, correct=mark) for name, mark in zip(ids, right, strict=True)]
    target = one.after.target["sums_test"].model_copy(update={"items": made})
    return one.model_copy(update={"after": one.after.model_copy(update={"target": {"sums_test": target}})})


def test_cells_with_other_items_are_put_side_by_side_by_id(tmp_path: Path) -> None:
    a = _with_items(record(cell(LORA, "sums", 0)), ["x", "y"], [1, 0])
    b = _with_items(record(cell(PISSA, "sums", 0)), ["y", "z"], [1, 0.5])
    site = site_of([a, b])
    _written(tmp_path, site)
    found = value(tmp_path, f"items/{site.boards[0].id}/{slug('sums_test')}")
    marks = {cells[0][0]: cells[0][3] for _, _, _, _, cells in found["rows"]}
    order = found["ids"]
    assert {order[at]: mark for at, mark in enumerate(marks[a.id]) if mark not in ("-", None)} == {
        "x": "1",
        "y": "0",
    }
    assert {order[at]: mark for at, mark in enumerate(marks[b.id]) if mark is not None} == {
        "y": 1.0,
        "z": 0.5,
    }


def test_an_evaluation_with_a_hostile_name_has_a_plain_file(tmp_path: Path) -> None:
    one = record(cell(LORA, "sums", 0))
    assert one.after is not None
    skill = one.after.general["synthetic_science"].model_copy(update={"evaluation": EVIL})
    sides = {
        side: getattr(one, side).model_copy(update={"general": {EVIL: skill}}) for side in ("before", "after")
    }
    one = one.model_copy(update=sides)
    files = _written(tmp_path, site_of([one]))
    (path,) = [path for path in files.written if path.endswith(f"/{slug(EVIL)}.js")]
    assert value(tmp_path, path[5:-3])["evaluation"] == EVIL


def test_without_items_the_page_says_so(tmp_path: Path) -> None:
    _written(tmp_path, site_of(examples_of_others()))
    page = Page((tmp_path / "items.html").read_text())
    assert "No record here says of single items" in "".join(page.text)
    assert value(tmp_path, "items/index") == []


def test_many_cells_make_a_small_file(tmp_path: Path) -> None:
    site = site_of([one for at in range(12) for one in method(f"m{at}", [70, 71, 72])])
    files = _written(tmp_path, site)
    sizes = [(tmp_path / path).stat().st_size for path in files.written if path.startswith("data/items/")]
    assert max(sizes) < 12 * 3 * 200 + 2000, "an item is a character, and its id is there once"


def test_scores_of_a_cell_that_failed_do_not_count(tmp_path: Path) -> None:
    lost = record(cell(LORA, "sums", 1), right=4, status="failed", error="after scoring")
    site = site_of([record(cell(LORA, "sums", 0), right=3), lost])
    _written(tmp_path, site)
    found = value(tmp_path, f"items/{site.boards[0].id}/{slug('sums_test')}")
    assert [one[0] for one in found["rows"][0][4]] != [] and lost.id not in [
        one[0] for one in found["rows"][0][4]
    ]
