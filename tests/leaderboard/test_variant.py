"""The page of a variant: its definition, its rows, its revisions, and the data of all of its cells."""

from __future__ import annotations

from pathlib import Path

import pytest

from leaderboard import variant
from leaderboard.cell_index import anchor
from leaderboard.files import Files, slug
from leaderboard.revisions import revisions
from leaderboard.site import Site, variant_page
from suite.record import VariantRef
from tests.example_records.make import LORA, cell, examples, examples_of_others, record, stopped
from tests.leaderboard.planted import method, site_of
from tests.leaderboard.site_files import Page, value

EVIL = "\"><script>alert('x')</script>\u202e/../#?&"


def _written(tmp_path: Path, site: Site) -> Files:
    files = Files(tmp_path)
    variant.write(files, site)
    return files


def test_every_variant_has_a_page_and_every_row_of_it_a_place(tmp_path: Path) -> None:
    site = site_of([*examples(), *examples_of_others()])
    files = _written(tmp_path, site)
    for board in site.boards:
        for row in board.rows:
            assert row.href in files.written
            page = Page((tmp_path / row.href).read_text())
            assert page.ids.count(anchor(board, row)) == 1
            assert row.label in page.text
            assert {f"cell.html#{entry.record.id}" for entry in row.entries} <= set(page.links)


def test_a_built_in_variant_has_its_formula_and_paper(tmp_path: Path) -> None:
    ones = [record(cell(VariantRef(name="lora", settings={"rank": 8}, revision=1), "sums", 0))]
    _written(tmp_path, site_of(ones))
    page = Page((tmp_path / "variant-lora.html").read_text())
    text = "".join(page.text)
    assert "y = W x + s*B(A x),  s = alpha / r,  A [r, d_in], B [d_out, r]\nA ~ U(" in text
    assert "arXiv 2106.09685" in text and "variants/lora.py" in text
    assert not any("arxiv" in link for link in page.links), "no link leads outside"


def test_what_is_not_installed_says_so(tmp_path: Path) -> None:
    _written(tmp_path, site_of(examples()))
    text = (tmp_path / "variant-synthetic-lora.html").read_text()
    assert "No definition of this method is installed here" in text


def test_the_data_have_every_cell_with_its_numbers(tmp_path: Path) -> None:
    records = examples()
    _written(tmp_path, site_of(records, badge="verified"))
    for name in {one.cell.variant.name for one in records}:
        found = value(tmp_path, f"variants/{slug(name)}")
        mine = {one.id: one for one in records if one.cell.variant.name == name}
        assert {row[0] for row in found["cells"]} == mine.keys()
        for row in found["cells"]:
            one = mine[row[0]]
            assert found["tasks"][row[1]] == one.cell.task.label
            assert (row[4], row[5], row[6], row[7]) == (
                one.cell.seed,
                one.cell.learning_rate,
                one.status,
                None,
            )
            assert (row[8], row[10]) == (one.gain, one.forgetting)
            drops = one.forgetting_by_skill
            assert row[11] == [drops.get(skill) for skill in found["skills"]]
            assert row[12] == (one.after.log_loss["validation"] if one.after else None)
            assert row[13] == (0.125 if one.after else None)
            assert row[17] == "verified" and row[18] == one.error


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    evil = VariantRef(name=EVIL, settings={EVIL: EVIL}, revision=1)
    ones = [record(cell(evil, "sums", 0)), stopped(cell(evil, "sums", 1), "failed", EVIL * 50)]
    files = _written(tmp_path, site_of(ones))
    (name,) = [path for path in files.written if path.startswith("variant-")]
    assert name == variant_page(EVIL)
    page = Page((tmp_path / name).read_text())
    scripts = [attrs.get("src") or "" for tag, attrs in page.elements if tag == "script"]
    assert scripts and all(src.startswith("static/") for src in scripts)
    assert not any(key.startswith("on") or key == "style" for _, attrs in page.elements for key in attrs)
    heading = next(text for text in page.text if text.startswith('"><script>'))
    assert heading.startswith("\"><script>alert('x')</script>") and "\u202e" not in "".join(page.text)
    found = value(tmp_path, f"variants/{slug(EVIL)}")
    assert len(found["cells"][0][18] or found["cells"][1][18]) == variant.ERROR


def test_a_trial_is_listed_and_stands_in_no_row(tmp_path: Path) -> None:
    winner = method("searched", [80, 80], rate=1.8e-3)
    lost = [one.model_copy(update={"measured": "validation"}) for one in method("searched", [70], rate=1e-3)]
    _written(tmp_path, site_of([*winner, *lost]))
    found = value(tmp_path, "variants/searched")
    (row,) = [row for row in found["cells"] if row[0] == lost[0].id]
    assert row[7] == "trial" and row[8] is None


def _revised(right: float) -> list:
    made = []
    for revision, count in ((1, 60.0), (2, right)):
        for one in method("moving", [count, count + 1, count - 1]):
            ref = one.cell.variant.model_copy(update={"revision": revision})
            changed = one.cell.model_copy(update={"variant": ref})
            made.append(one.model_copy(update={"cell": changed, "id": changed.id}))
    return made


@pytest.mark.parametrize(("right", "verdict"), [(90.0, "better"), (30.0, "worse"), (60.0, "cannot tell")])
def test_revisions_are_compared_with_the_one_before(right: float, verdict: str) -> None:
    records = _revised(right)
    ((first, second),) = revisions(site_of(records).boards, records)
    assert (first.revision, second.revision) == (1, 2) and first.lines == ()
    (line,) = [line for line in second.lines if line.task == "sums"]
    assert line.verdict == verdict
    assert line.comparison.interval.value == pytest.approx(right - 60)


def test_other_settings_are_no_revision(tmp_path: Path) -> None:
    records = [*method("one", [60, 61], settings={"rank": 1}), *method("one", [60, 61], settings={"rank": 2})]
    assert revisions(site_of(records).boards, records) == []
    assert revisions(site_of([record(cell(LORA, "sums", 0))]).boards, []) == []


def test_a_row_leads_to_the_items_of_its_tasks(tmp_path: Path) -> None:
    site = site_of(examples())
    _written(tmp_path, site)
    (board,) = site.boards
    links = Page((tmp_path / "variant-synthetic-lora.html").read_text()).links
    for name in ("sums_test", "words_test"):
        assert f"items.html?board={board.id}&evaluation={slug(name)}" in links
    bare = site_of(examples_of_others())
    assert all(variant._items(bare.boards[0], row.entries) is None for row in bare.boards[0].rows)


def test_rows_are_offered_for_comparison_where_the_page_compares_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leaderboard.compare.MOST", 2)
    site = site_of([*examples(), *examples_of_others()])
    _written(tmp_path, site)
    own, others = site.boards
    for at, row in enumerate(own.rows):
        links = [
            link for link in Page((tmp_path / row.href).read_text()).links if link.startswith("compare.html?")
        ]
        other = own.rows[1 - at] if at < 2 else None
        assert links == ([f"compare.html?board={own.id}&a={other.key}&b={row.key}"] if other else [])
    for row in others.rows:
        assert "compare.html?" not in (tmp_path / row.href).read_text()
