"""The page: same bytes for same records, nothing from the network, hostile text stays text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from leaderboard.build import build, data, render
from suite.record import BaseRef, TaskRef
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


class Page(HTMLParser):
    """The elements, attributes and table cells of a page; unbalanced tags fail."""

    VOID = frozenset({"meta", "link", "wbr", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def ids(self) -> list[str]:
        return [attrs["id"] or "" for _, attrs in self.elements if "id" in attrs]


def _page(records=None) -> str:
    return render(data(examples() if records is None else records))


def test_same_records_same_bytes(tmp_path: Path) -> None:
    first = build(FOLDER, tmp_path / "first")
    shuffled = Store(tmp_path / "store")
    for one in reversed([*examples(), *examples_of_others()]):
        shuffled.write(one)
    second = build(shuffled.path, tmp_path / "second")
    assert first.name == "index.html"
    assert sorted(file.name for file in first.parent.iterdir()) == ["data.json", "index.html"]
    for name in ("index.html", "data.json"):
        assert first.with_name(name).read_bytes() == second.with_name(name).read_bytes()


def test_the_page_shows_the_summary() -> None:
    page = _page()
    for part in ("+62.5", "+100.0", "1 of 2 seeds", "1 diverged", "1 oom", "65.5K", "loss is nan at step 7"):
        assert part in page
    assert "rank 16, alpha 32, targets all" in page
    assert "\N{MINUS SIGN}8.3" in page, "a variant that forgot less than nothing"
    assert 'title="not measured"' in page
    text = "".join(Page(page).text)
    assert not re.search(r"\b(NaN|None|inf)\b", text)


def test_every_cell_says_where_it_comes_from() -> None:
    page = _page()
    for one in examples():
        assert f"<code>{one.id}</code>" in page
    assert page.count("suite run --variants synthetic-lora") == len(examples())


def test_links_inside_the_page_lead_somewhere() -> None:
    page = Page(_page([*examples(), record(cell(LORA, "sums", 0, track="synthetic@2"))]))
    ids = page.ids()
    assert len(ids) == len(set(ids))
    targets = [attrs["href"] for tag, attrs in page.elements if tag == "a"]
    inside = [href[1:] for href in targets if href and href.startswith("#")]
    assert len(inside) == 5 and set(inside) <= set(ids)


def test_nothing_comes_from_the_network() -> None:
    page = Page(_page())
    for tag, attrs in page.elements:
        for name in ("src", "href", "action", "srcset"):
            assert not re.match(r"(\w+:)?//", attrs.get(name) or ""), (tag, attrs)
        assert not any(name.startswith("on") or name == "style" for name in attrs), (tag, attrs)
    assert "@import" not in _page() and "url(" not in _page()


def test_policy_allows_exactly_our_style_and_script() -> None:
    page = _page()
    policy = next(attrs["content"] for tag, attrs in Page(page).elements if "http-equiv" in attrs)
    assert policy is not None and "default-src 'none'" in policy and "unsafe" not in policy
    for tag in ("style", "script"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_hostile_text_stays_text() -> None:
    evil = "\"><script>alert('x')</script><img src=x onerror=alert(1)>"
    hostile = stopped(
        cell(
            LORA.model_copy(update={"name": evil, "settings": {evil: evil, "rank": 1}}),
            "sums",
            0,
            track=evil,
            base=BaseRef(name=evil, digest=evil),
            task=TaskRef(name=evil, source="local", revision=1, digest="0"),
        ),
        "failed",
        evil,
        before=None,
    )
    where = hostile.provenance.model_copy(
        update={"command": evil, "device": evil, "commit": evil, "created": evil, "versions": {evil: evil}}
    )
    evaluation = hostile.cell.evaluation.model_copy(update={"general": [evil]})
    hostile = hostile.model_copy(
        update={"provenance": where, "cell": hostile.cell.model_copy(update={"evaluation": evaluation})}
    )
    page = _page([hostile])
    assert "alert(" in page
    elements = Page(page).elements
    assert [tag for tag, _ in elements if tag in ("script", "img")] == ["script"]
    assert not any(name.startswith("on") for _, attrs in elements for name in attrs)


def test_every_heading_has_a_cell_below_it() -> None:
    rows = re.findall(r"<tr>(.*?)</tr>", _page(), re.DOTALL)
    widths = {len(re.findall(r"<t[hd][ >]", row)) for row in rows}
    assert widths == {9, 15}, "the board: 7 and one a task; the cells: 12 and one a skill"


def test_results_of_others_show_scores_and_where_they_come_from() -> None:
    page = _page(examples_of_others())
    headings = set(re.findall(r"<th scope=.col.*?><span>(.*?)</span>", page))
    assert "Score: sums" in headings and "62.5" in page
    assert not headings & {"Gain: sums", "Mean gain", "Gain", "Forgetting"}
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    assert [re.findall(r'data-value="([\d.]+)">', row)[:1] for row in rows[1:4]] == [["62.5"], ["50.0"], []]
    assert {len(re.findall(r"<t[hd][ >]", row)) for row in rows} == {6, 11}, (
        "no gain, no forgetting, no skill"
    )
    for part in ("Trained and scored elsewhere", "not trained here: each record", "<dt>Score</dt>"):
        assert part in page
    for part in ("imported from synthetic/elsewhere results: first", "first.json", "1" * 40, "not points"):
        assert part in page
    assert page.index(">second<") < page.index(">first<") < page.index(">third<"), "best first, unknown last"
    text = "".join(Page(page).text)
    assert not re.search(r"\b(NaN|None|inf)\b", text) and "<dt>Score</dt>" not in _page()


def test_a_record_that_says_nothing_has_a_page() -> None:
    (board,) = data([imported("silent", None)])["boards"]
    assert (
        not board["scores_only"]
        and not board["forgetting_known"]
        and board["rows"][0]["scores"] == {"sums": None}
    )
    mixed = [*examples(), imported("silent", None, source=None), record(cell(LORA, "sums", 0), before=None)]
    assert not re.search(r"\b(NaN|None)\b", "".join(Page(_page(mixed)).text))


def test_data_is_strict_json(tmp_path: Path) -> None:
    page = build(FOLDER, tmp_path / "site")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    site = json.loads(page.with_name("data.json").read_text(), parse_constant=refuse)
    others, board = site["boards"]
    assert (others["scores_only"], board["scores_only"]) == (True, False)
    assert [row["variant"] for row in board["rows"]] == [
        "synthetic-pissa",
        "synthetic-lora",
        "synthetic-sparse",
    ]
    pissa = board["rows"][0]
    assert pissa["gains"]["sums"] == {"value": 100.0, "n": 1}
    diverged = next(one for one in pissa["cells"] if one["status"] == "diverged")
    assert diverged["gain"] is None and diverged["error"] == "loss is nan at step 7"
    first = next(one for one in pissa["cells"] if (one["task"], one["seed"]) == ("words", 0))
    assert (first["before"], first["after"], first["gain"]) == (0.0, 50.0, 50.0)
    assert (first["validation_log_loss"], first["bits_per_byte_change"]) == (0.5, 0.125)
    assert (first["effect"], first["weights"], first["source"]) == (None, None, None)
    effects = [one["effect"] for row in board["rows"] for one in row["cells"] if one["weights"]]
    assert effects == [{"from_base": 3.25, "from_start": 3.0, "delta_norm": 5.0, "reload_error": 1e-6}]


def test_a_store_without_records_and_a_missing_one_are_errors(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with pytest.raises(StoreError, match=r"no records in store .*store; make some with: suite run"):
        build(tmp_path / "store", tmp_path / "store" / "site")
    assert list((tmp_path / "store").iterdir()) == [] and "No records yet" in _page([])
    with pytest.raises(StoreError, match=r"no store at .*nowhere; make one with: suite run"):
        build(tmp_path / "nowhere", tmp_path / "site")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file is a file; give a folder for the page"):
        build(FOLDER, tmp_path / "file")


def test_a_hundred_records_take_less_than_a_second(tmp_path: Path) -> None:
    for seed in range(100):
        Store(tmp_path / "store").write(record(cell(LORA, "sums", seed)))
    start = time.process_time()
    build(tmp_path / "store", tmp_path / "site")
    assert time.process_time() - start < 1.0
