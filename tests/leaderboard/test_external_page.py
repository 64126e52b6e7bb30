"""The page of results of others: what their scores can tell apart, and dashes for what they do not say."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from leaderboard import external
from leaderboard.external import sentence
from leaderboard.files import Files
from suite.outside_scores import reported
from suite.record import Cost, Record
from tests.example_records.make import LORA, cell, record
from tests.leaderboard.planted import site_of
from tests.leaderboard.site_files import Page
from tests.suite.test_outside_scores import run

EVIL = "</script><script>alert(1)</script>"
SCORES = {"alpha": 700, "beta": 690, "gamma": 500, "delta": 0}


def runs(n: int | None = None) -> list[Record]:
    return [run(name, right / 1319, n) for name, right in SCORES.items()]


def built(tmp_path: Path, records: list[Record]) -> Page:
    external.write(Files(tmp_path), site_of(records))
    return Page((tmp_path / "external.html").read_text(encoding="utf-8"))


def words(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def test_what_can_be_told_apart_is_counted() -> None:
    (found,) = reported(runs())
    assert sentence(found) == (
        "Of 3 neighbouring pairs 2 can be told apart; of all 6 pairs, 5. "
        "1 run cannot be told from the first, alpha."
    )
    assert sentence(*reported(runs()[:1])) == "One score, of alpha: there is nothing to tell it from."
    assert "they are not ranked" in sentence(*reported([run("a", 0.513), run("b", 0.4)]))


def test_the_table_has_ranks_with_ties_and_says_what_is_assumed(tmp_path: Path) -> None:
    page = built(tmp_path, runs())
    text = words(page)
    assert "Items: 1,319, an assumption." in text
    assert "Seeds are not included." in text
    assert "53.1 [50.4, 55.8]" in text and "0.0 [0.0, 0.3]" in text
    table = text.partition("Status")[2]
    assert sorted(SCORES, key=table.index) == list(SCORES), "best first"
    (data,) = (tmp_path / "charts").glob("*.csv")
    rows = list(csv.DictReader(data.read_text().splitlines()))
    assert [(row["name"], row["rank"], row["ties"]) for row in rows] == [
        ("alpha", "1", "1"),
        ("beta", "1", "1"),
        ("gamma", "3", "0"),
        ("delta", "4", "0"),
    ]


def test_what_the_source_says_of_its_items_is_no_assumption(tmp_path: Path) -> None:
    text = words(built(tmp_path, runs(1319)))
    assert "1,319 , as the source says" in text and "assumption" not in text


def test_without_a_number_of_items_nothing_is_ranked(tmp_path: Path) -> None:
    page = built(tmp_path, [run("a", 0.513), run("b", 0.4)])
    assert "Items: not known." in words(page)
    assert not (tmp_path / "charts").exists()
    assert "51.3" in words(page) and "[" not in "".join(page.text).replace("[95 %]", "")


def test_what_is_missing_is_a_dash_and_no_number(tmp_path: Path) -> None:
    silent = run("silent", None).model_copy(update={"status": "failed", "error": "cancelled", "cost": None})
    blank = silent.cell.model_copy(update={"learning_rate": None})
    silent = silent.model_copy(update={"cell": blank, "id": blank.id, "total_parameters": None})
    page = built(tmp_path, [*runs(), silent])
    row = words(page).rpartition("silent")[2].partition("From synthetic")[0]
    assert row.split("commit")[1].split()[1:] == ["\N{EN DASH}"] * 8 + ["failed", "cancelled"]


def test_numbers_are_those_of_the_record(tmp_path: Path) -> None:
    cost = Cost(train_wall_s=75.0, peak_memory_bytes=3 * 2**30, memory_method="theirs")
    one = run("alpha", 700 / 1319, cost=cost, trainable_parameters=9_175_040)
    text = words(built(tmp_path, [one, *runs()[1:]]))
    assert "9.18M 3 GiB 1 min 15 s 0.001" in text


def test_without_imports_there_is_no_page(tmp_path: Path) -> None:
    external.write(Files(tmp_path), site_of([record(cell(LORA, "sums", 0))]))
    assert list(tmp_path.iterdir()) == []


def test_they_are_apart_from_our_own(tmp_path: Path) -> None:
    page = built(tmp_path, [*runs(), record(cell(LORA, "sums", 0))])
    assert "synthetic-lora" not in words(page)


def test_same_records_same_bytes(tmp_path: Path) -> None:
    for name, records in (("a", runs()), ("b", runs()[::-1])):
        external.write(Files(tmp_path / name), site_of(records))
    files = {f.relative_to(tmp_path / "a") for f in (tmp_path / "a").rglob("*") if f.is_file()}
    assert len(files) == 5
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("place", ["label", "file", "origin", "error"])
def test_hostile_texts_stay_text(tmp_path: Path, place: str) -> None:
    one = run("odd", 650 / 1319)
    assert one.source is not None
    if place == "error":
        one = one.model_copy(update={"error": EVIL})
    else:
        one = one.model_copy(update={"source": one.source.model_copy(update={place: EVIL})})
    page = built(tmp_path, [one, *runs()])
    assert EVIL in words(page)
    scripts = [a.get("src") for tag, a in page.elements if tag == "script"]
    assert all(src and src.startswith("static/") for src in scripts)
