"""The site as a whole: same bytes for same records, nothing from the network, hostile text stays text."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from leaderboard.build import build
from leaderboard.pages import POLICY
from suite.record import BaseRef, Record, TaskRef
from suite.store import Store, StoreError
from tests.example_records.make import (
    FOLDER,
    LORA,
    cell,
    examples,
    examples_of_others,
    imported,
    record,
    stopped,
)
from tests.leaderboard.site_files import dead, pages, strict, tree, value

EVIL = "\"><script>alert('x')</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    build(FOLDER, out, workers=1)
    return out


def _site(tmp_path: Path, records: Sequence[Record]) -> Path:
    for one in records:
        Store(tmp_path / "store").write(one)
    return build(tmp_path / "store", tmp_path / "site", workers=1).page.parent


def test_same_records_same_bytes(site: Path, tmp_path: Path) -> None:
    shuffled = _site(tmp_path, [*reversed([*examples(), *examples_of_others()])])
    first, second = tree(site), tree(shuffled)
    assert first.keys() == second.keys() and {"index.html", "data.json"} <= first.keys()
    assert [path for path in first if first[path] != second[path]] == []


def test_a_second_build_writes_nothing_and_a_changed_store_everything_that_changed(tmp_path: Path) -> None:
    out = _site(tmp_path, examples())
    old = tree(out)
    assert build(tmp_path / "store", out, workers=1).fresh
    late = record(cell(LORA, "sums", 2), right=4)
    Store(tmp_path / "store").write(late)
    again = build(tmp_path / "store", out, workers=1)
    assert not again.fresh and again.records == len(examples()) + 1
    assert f"data/cells/{late.id}.js" in tree(out) and tree(out)["index.html"] != old["index.html"]
    (tmp_path / "store" / "records" / f"{late.id}.json").unlink()
    build(tmp_path / "store", out, workers=1)
    assert tree(out) == old, "what belonged to the record is gone"


def test_every_link_leads_somewhere(site: Path) -> None:
    found = pages(site)
    assert {
        "index.html",
        "cell.html",
        "compare.html",
        "items.html",
        "map.html",
        "history.html",
    } <= found.keys()
    for page in found.values():
        assert len(page.ids) == len(set(page.ids))
    assert list(dead(site, found)) == []


def test_every_cell_says_where_it_comes_from(site: Path) -> None:
    for one in examples():
        told = (site / "data" / "cells" / f"{one.id}.js").read_text()
        assert one.provenance.command in told and "0" * 40 in told
        assert value(site, f"cells/{one.id}")


def test_nothing_comes_from_the_network_and_nothing_runs_but_our_files(site: Path) -> None:
    for name, page in pages(site).items():
        assert not any(re.match(r"(\w+:)?//", link) for link in page.links), name
        for tag, attrs in page.elements:
            assert not any(each.startswith("on") or each == "style" for each in attrs), (name, tag, attrs)
            if tag == "script":
                assert (attrs.get("src") or "").startswith("static/"), (name, attrs)
            assert tag not in ("style", "iframe", "object", "embed", "base", "form"), (name, tag)
        policies = [attrs["content"] for _, attrs in page.elements if "http-equiv" in attrs]
        assert policies == [POLICY] and "unsafe" not in POLICY, name
    for path, content in tree(site).items():
        if path.startswith("static/") and path.endswith(".css"):
            assert b"@import" not in content and b"url(" not in content, path


def test_absent_is_a_dash_and_never_a_word(site: Path) -> None:
    for name, page in pages(site).items():
        assert not re.search(r"\b(NaN|None(?! of| reaches)|inf|undefined)\b", "".join(page.text)), name


def _hostile() -> Record:
    made = stopped(
        cell(
            LORA.model_copy(update={"name": EVIL, "settings": {EVIL: EVIL, "rank": 1}}),
            "sums",
            0,
            track=EVIL,
            base=BaseRef(name=EVIL, digest=EVIL),
            task=TaskRef(name=EVIL, source="local", revision=1, digest="0"),
        ),
        "failed",
        EVIL,
        before=None,
        notes=[EVIL],
    )
    where = made.provenance.model_copy(
        update={"command": EVIL, "device": EVIL, "commit": EVIL, "created": EVIL, "versions": {EVIL: EVIL}}
    )
    evaluation = made.cell.evaluation.model_copy(update={"general": [EVIL]})
    hostile = made.cell.model_copy(update={"evaluation": evaluation})
    return made.model_copy(update={"provenance": where, "cell": hostile, "id": hostile.id})


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    out = _site(tmp_path, [*examples(), _hostile()])
    seen = 0
    for name, page in pages(out).items():
        seen += "alert(" in "".join(page.text)
        for tag, attrs in page.elements:
            assert tag != "script" or (attrs.get("src") or "").startswith("static/"), (name, attrs)
            assert not any(each.startswith("on") for each in attrs), (name, attrs)
            assert tag != "img" or (attrs.get("src") or "").startswith("charts/"), (name, attrs)
    assert seen
    for path, content in tree(out).items():
        if path.startswith("data/"):
            assert b"<" not in content, path
        if path.endswith(".svg"):
            assert b"<script" not in content.lower() and b" onerror" not in content.replace(
                b"&lt;img src=x onerror", b""
            )
    assert (tmp_path / "store").is_dir() and {one.name for one in tmp_path.iterdir()} == {"store", "site"}


def test_a_record_that_says_nothing_has_a_page(tmp_path: Path) -> None:
    silent = [imported("silent", None), imported("other", None, source=None)]
    out = _site(tmp_path, [*examples(), *silent, record(cell(LORA, "sums", 7), before=None)])
    for name, page in pages(out).items():
        assert not re.search(r"\b(NaN|None(?! of| reaches))\b", "".join(page.text)), name


def test_data_is_strict_json_with_every_number(site: Path) -> None:
    found = strict((site / "data.json").read_text())
    board, others = found["boards"]
    assert (others["scores_only"], board["scores_only"]) == (True, False)
    rows = {row["variant"]: row for row in board["rows"]}
    assert list(rows) == ["synthetic-lora", "synthetic-pissa", "synthetic-sparse"], "one seed is not ranked"
    assert rows["synthetic-lora"]["gains"]["sums"]["value"] == 62.5
    cells = {(one["task"], one["seed"]): one for one in rows["synthetic-pissa"]["cells"]}
    assert cells["sums", 1]["status"] == "diverged" and cells["sums", 1]["gain"] is None
    assert (cells["words", 0]["gain"], cells["words", 0]["validation_log_loss"]) == (50.0, 0.5)
    for path in tree(site):
        if path.endswith(".json"):
            strict((site / path).read_text())


def test_files_that_are_no_records_are_named_with_their_reason(tmp_path: Path) -> None:
    _site(tmp_path, examples())
    (tmp_path / "store" / "records" / "deadbeefdeadbeef.json").write_text('{"schema_version": 2}')
    (tmp_path / "store" / "records" / "<b>.json").write_text("{")
    built = build(tmp_path / "store", tmp_path / "site", workers=1)
    assert len(built.rejected) == 2 and built.records == len(examples())
    text = "".join(pages(tmp_path / "site")["about.html"].text)
    assert "deadbeefdeadbeef.json" in text and "schema" in text and "<b>.json" in text
    assert "2 files were no record" in (tmp_path / "site" / "index.html").read_text()


def test_a_store_without_records_and_a_missing_one_are_errors(tmp_path: Path) -> None:
    (tmp_path / "store" / "records").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"no records in .*store.*; make some with: suite run"):
        build(tmp_path / "store", tmp_path / "store" / "site")
    assert [one.name for one in (tmp_path / "store").iterdir()] == ["records"]
    with pytest.raises(StoreError, match=r"nowhere"):
        build(tmp_path / "nowhere", tmp_path / "site")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file is a file; give a folder for the site"):
        build(FOLDER, tmp_path / "file")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("out", ["store", "."])
def test_a_site_is_not_written_among_records(tmp_path: Path, out: str) -> None:
    Store(tmp_path / "store").write(examples()[0])
    with pytest.raises(StoreError, match=r"holds records; give another folder for the site"):
        build(tmp_path if out == "." else tmp_path / "store", tmp_path / out)
    assert [one.name for one in tmp_path.iterdir()] == ["store"]


def test_cells_of_a_build_that_was_stopped_do_not_stay(tmp_path: Path) -> None:
    left = tmp_path / "site" / "data" / "cells" / "feedfacefeedface.js"
    left.parent.mkdir(parents=True)
    left.write_text('suiteData("cells')
    _site(tmp_path, examples()[:1])
    assert not left.exists()


def test_the_newest_record_is_told_by_time_and_not_by_spelling(tmp_path: Path) -> None:
    first, second, third = examples()[:3]
    times = ("2026-01-02T23:30:00-05:00", "2026-01-03T01:00:00+00:00", "zzz")
    made = [
        one.model_copy(update={"provenance": one.provenance.model_copy(update={"created": created})})
        for one, created in zip((first, second, third), times, strict=True)
    ]
    assert "Newest record: 2026-01-03T04:30:00+00:00." in (_site(tmp_path, made) / "index.html").read_text()


def test_a_hundred_records_cost_little_more_than_one(tmp_path: Path) -> None:
    took = []
    for seeds in (1, 101):
        for seed in range(seeds):
            Store(tmp_path / str(seeds)).write(record(cell(LORA, "sums", seed)))
        start = time.process_time()
        build(tmp_path / str(seeds), tmp_path / f"site{seeds}", workers=1)
        took.append(time.process_time() - start)
    assert took[1] - took[0] < 3.0, took


def test_a_task_has_one_name_on_all_pages(tmp_path: Path) -> None:
    """Of a task that has one training set the name alone is shown, whatever the set is called."""
    made = []
    for one in examples():
        task = one.cell.task.model_copy(update={"source": "gsm8k"})
        moved = one.cell.model_copy(update={"task": task})
        made.append(one.model_copy(update={"cell": moved, "id": moved.id}))
    out = _site(tmp_path, made)
    board = strict((out / "data.json").read_text())["boards"][0]
    assert set(board["rows"][0]["gains"]) == {"sums", "words"}
    assert {one["task"] for row in board["rows"] for one in row["cells"]} == {"sums", "words"}
    text = "".join(pages(out)["variant-synthetic-lora.html"].text)
    assert "+62.5" in text and "0.005" in text
    (compared,) = value(out, "compare/index")
    assert set(compared["evaluations"]) == {"sums", "words"}
