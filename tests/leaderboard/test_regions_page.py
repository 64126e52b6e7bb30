"""The page of the low-regret map: planted verdicts in words, honest about single points."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from leaderboard import regions
from leaderboard.charts import region_map
from leaderboard.charts.drawing import as_csv
from leaderboard.files import Files
from suite.record import Record
from suite.regions import Map, Size
from suite.regions import regions as maps
from tests.leaderboard.planted import site_of
from tests.leaderboard.site_files import Page, strict
from tests.suite.region_records import BEST, ranked, study

EVIL = "</script><script>alert(1)</script>"


def built(tmp_path: Path, records: list[Record]) -> Page:
    regions.write(Files(tmp_path), site_of(records))
    return Page((tmp_path / "map.html").read_text(encoding="utf-8"))


def words(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def only(records: list[Record]) -> Map:
    (found,) = maps(records)
    return found


def test_every_point_says_its_verdict_in_words(tmp_path: Path) -> None:
    page = built(tmp_path, study())
    verdicts = [a["class"] for tag, a in page.elements if (a.get("class") or "").startswith("verdict ")]
    assert verdicts.count("verdict behind") == 6 and verdicts.count("verdict within") == 2
    text = words(page)
    assert "In held-out loss, of 4 points: 1 within noise of full fine-tuning and 3 behind it." in text
    assert "4 points on each task" in text and "nothing is claimed between points" in text
    (spec,) = (tmp_path / "charts").glob("*.json")
    rows = strict(spec.read_text())["data"]["values"]
    at = {(row["rank"], row["batch_size"]): row["verdict"] for row in rows}
    assert at == {(2, 8): "behind", (2, 256): "behind", (16, 8): "within noise", (16, 256): "behind"}


def test_a_single_point_is_no_region_and_the_page_says_so(tmp_path: Path) -> None:
    text = words(built(tmp_path, study(ranks=(16,), batches=(8,))))
    assert "single points, no region" in text
    assert "suite run --tune --track synthetic --tasks sums" in text


def test_one_rate_and_one_seed_are_said(tmp_path: Path) -> None:
    cells = [r for r in study(ranks=(16,), batches=(8,), seeds=(0,)) if r.cell.learning_rate == BEST]
    text = words(built(tmp_path, cells))
    assert "it: one rate tried, full fine-tuning: one rate tried" in text
    assert "one seed, so the interval is over items alone" in text


def test_cells_that_did_not_finish_are_said(tmp_path: Path) -> None:
    cells = [r for r in study(ranks=(16,), batches=(8,)) if r.cell.learning_rate == BEST]
    lost = cells[0].model_copy(update={"status": "diverged", "after": None})
    assert "one rate tried and 1 cell did not finish" in words(built(tmp_path, [lost, *cells[1:]]))


def test_without_full_fine_tuning_it_says_that(tmp_path: Path) -> None:
    text = words(built(tmp_path, [ranked(16, 8, seed, BEST, 0.0) for seed in range(3)]))
    assert text.count("no full fine-tuning there") == 4  # loss, gain, the picture, how a cell is decided
    assert "none within noise of full fine-tuning and 1 without full fine-tuning of that size" in text


def test_without_records_there_is_a_page_with_a_command(tmp_path: Path) -> None:
    text = words(built(tmp_path, []))
    assert "there is no map yet" in text and "suite run --tune" in text


def test_what_was_not_run_is_not_called_anything_else(tmp_path: Path) -> None:
    cells = [
        r for r in study() if r.cell.variant.settings.get("rank") != 2 or r.cell.how.recipe.batch_size == 8
    ]
    page = built(tmp_path, cells)
    assert words(page).count("not run") == 1


def test_same_records_same_bytes(tmp_path: Path) -> None:
    for name, records in (("a", study()), ("b", study()[::-1])):
        regions.write(Files(tmp_path / name), site_of(records))
    files = {f.relative_to(tmp_path / "a") for f in (tmp_path / "a").rglob("*") if f.is_file()}
    assert len(files) == 5
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    cells = []
    for record in study(ranks=(16,), batches=(8,), seeds=(0, 1)):
        task = record.cell.task.model_copy(update={"name": EVIL})
        variant = record.cell.variant.model_copy(update={"name": f"{record.cell.variant.name}{EVIL}"})
        cell = record.cell.model_copy(update={"task": task, "variant": variant})
        cells.append(record.model_copy(update={"cell": cell, "id": cell.id}))
    page = built(tmp_path, cells)
    assert EVIL in words(page) and "alert(1)" not in (tmp_path / "map.html").read_text().split("<script")[-1]
    scripts = [a.get("src") for tag, a in page.elements if tag == "script"]
    assert all(src and src.startswith("static/") for src in scripts)


@pytest.mark.parametrize("ranks", [(2, 16), (1,), (32,)])
def test_the_commands_ask_for_points_that_are_not_there(ranks: tuple[int, ...]) -> None:
    from leaderboard.experiments import experiments

    found = only(study(ranks=ranks, batches=(8,)))
    asked = experiments(found, "sums", found.families)
    typed = {one.asks: shlex.split(one.command) for one in asked}
    for words in typed.values():
        assert words[:3] == ["suite", "run", "--tune"]
        assert words[words.index("--variants") + 1].endswith(",synthetic-whole")
    if min(ranks) == 1:
        assert "Lower ranks" not in typed
    else:
        wanted = f"synthetic-lora:rank={max(1, min(ranks) // 4)},alpha=32"
        assert wanted in typed["Lower ranks"][typed["Lower ranks"].index("--variants") + 1]
    steps = [int(words[words.index("--steps") + 1]) for words in typed.values()]
    assert {50, 800} <= set(steps)


def test_sizes_are_told_apart_by_what_differs() -> None:
    plain = Size("pocket@2", 200, 8, None, None)
    assert region_map.size_texts([plain]) == {plain: "200 steps of 8"}
    part = Size("pocket@2", 200, 8, 1000, None)
    texts = region_map.size_texts([plain, part])
    assert texts == {
        plain: "200 steps of 8, all examples",
        part: "200 steps of 8, first 1,000 examples",
    }
    other = Size("other@1", 200, 8, None, None)
    assert set(region_map.size_texts([plain, other]).values()) == {
        "200 steps of 8, pocket@2",
        "200 steps of 8, other@1",
    }


def test_a_picture_has_a_row_a_point_and_names_what_it_compares() -> None:
    found = only(study())
    picture = region_map.picture("sums", found.families)
    assert picture.chart is not None and len(picture.rows) == 4
    assert "3 behind" in picture.sentence and "held-out loss" in picture.title
    assert as_csv(list(picture.rows)).count("\n") == 5
    alone = only([r.model_copy(update={"after": None, "status": "failed"}) for r in study()])
    assert "gain" in region_map.picture("sums", alone.families).title
