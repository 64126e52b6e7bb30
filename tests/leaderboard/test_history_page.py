"""The page of the history: planted steps with commits and sizes, and what a history needs."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from leaderboard import history
from leaderboard.files import Files
from leaderboard.site import Site, site
from suite.reading import Kept, Reading
from suite.statistics.steps import FEWEST
from tests.example_records.make import LORA
from tests.leaderboard.site_files import Page, strict
from tests.suite.nightly import nights, one, slower

EVIL = "</script><script>alert(1)</script>"


def whole(entries: list[Kept]) -> Site:
    """The last record of each cell is kept, the others are superseded."""
    newest = {entry.record.id: entry for entry in entries}
    kept = tuple(sorted(newest.values(), key=lambda entry: entry.record.id))
    old = tuple(entry for entry in entries if newest[entry.record.id] is not entry)
    return site(Reading(kept, old, ()))


def built(tmp_path: Path, entries: list[Kept]) -> Page:
    history.write(Files(tmp_path), whole(entries))
    return Page((tmp_path / "history.html").read_text(encoding="utf-8"))


def words(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def test_a_planted_step_is_named_with_its_commits_and_its_size(tmp_path: Path) -> None:
    text = words(built(tmp_path, nights(16, slower)))
    assert "10 series of 16 moments: 3 steps found, 3 beyond doubt." in text
    assert "sums gain 2026-03-08 07ababa 2026-03-09 08ababa \N{MINUS SIGN}" in text
    assert "peak memory 2026-03-06 05ababa 2026-03-07 06ababa +45 MiB (+30 %) [+45 MiB, +45 MiB]" in text
    assert text.count("worse beyond doubt") == 3
    assert "better" not in text.split("How sure")[1].split("Rate")[0]
    assert text.count("no step found in 16 moments") == 7
    (file,) = (tmp_path / "charts").glob("*-gain.csv")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    kinds = [row["kind"] for row in rows]
    assert (kinds.count("value"), kinds.count("level"), kinds.count("step")) == (32, 6, 1)
    assert len(list((tmp_path / "charts").glob("*.svg"))) == 5


def test_steps_that_may_be_chance_are_called_that(tmp_path: Path) -> None:
    entries = nights(FEWEST, lambda name, night: {"gain": -9.0 * (name == LORA.name and night >= 4)})
    text = words(built(tmp_path, entries))
    assert "10 series of 8 moments: 1 step found, 0 beyond doubt." in text
    assert "worse may be chance" in text and "1 step in 8 moments, may be chance" in text


def test_nothing_found_is_said_with_how_much_was_searched(tmp_path: Path) -> None:
    text = words(built(tmp_path, nights(10)))
    assert "10 series of 10 moments: no step found." in text and "How sure" not in text


def test_too_few_moments_claim_nothing(tmp_path: Path) -> None:
    text = words(built(tmp_path, nights(3, slower)))
    assert f"10 series of 3 moments: too few to tell a step from chance, which takes {FEWEST}." in text
    assert text.count("too few: 3 of 8") == 10


def test_one_moment_is_no_history_and_the_page_says_what_is_needed(tmp_path: Path) -> None:
    text = words(built(tmp_path, nights(1)))
    assert "2 cells were run at one moment alone" in text
    assert "suite site --store nightly" in text
    assert not (tmp_path / "charts").exists()


def test_without_records_there_is_a_page(tmp_path: Path) -> None:
    assert "there is no history" in words(built(tmp_path, []))


def test_a_revision_that_was_raised_is_said_beside_the_step(tmp_path: Path) -> None:
    newer = LORA.model_copy(update={"revision": 2})
    entries = [
        Kept(one(variant, seed, night, {"gain": -9.0 * (night >= 8)}), f"n{night}", None, ())
        for night, variant in enumerate([LORA] * 8 + [newer] * 8)
        for seed in range(3)
    ]
    assert "revision 1 became 2" in words(built(tmp_path, entries))


def test_cells_that_did_not_finish_are_counted(tmp_path: Path) -> None:
    entries = nights(10)
    lost = replace(entries[0], record=entries[0].record.model_copy(update={"status": "oom", "after": None}))
    text = words(built(tmp_path, [lost, *entries[1:]]))
    assert "1 cell did not finish" in text and "no step found in 9 moments; 1 left out" in text


def test_same_records_same_bytes(tmp_path: Path) -> None:
    for name, entries in (("a", nights(9, slower)), ("b", nights(9, slower)[::-1])):
        found = whole(sorted(entries, key=lambda entry: entry.store))
        history.write(Files(tmp_path / name), found)
    files = {f.relative_to(tmp_path / "a") for f in (tmp_path / "a").rglob("*") if f.is_file()}
    assert len(files) == 21
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_hostile_texts_stay_text(tmp_path: Path) -> None:
    evil = LORA.model_copy(update={"name": EVIL})
    entries = [
        Kept(one(evil, 0, night, {"gain": -9.0 * (night >= 6)}, commit=f"={night}{EVIL}"), "s", None, ())
        for night in range(14)
    ]
    page = built(tmp_path, entries)
    assert EVIL in words(page)
    scripts = [a.get("src") for tag, a in page.elements if tag == "script"]
    assert all(src and src.startswith("static/") for src in scripts)
    for spec in (tmp_path / "charts").glob("*.json"):
        strict(spec.read_text())
