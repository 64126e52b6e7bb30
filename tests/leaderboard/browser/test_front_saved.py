"""The files that a board's page saves, and names that would run if they could."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from leaderboard import assets, charts, front
from leaderboard.files import Files
from tests.leaderboard.browser.front_page import PHONE, column, heading, names, saved
from tests.leaderboard.planted import method, site_of
from tests.leaderboard.test_front import moved

Url = Callable[[str], str]
Open = Callable[..., Page]


def test_downloads_hold_what_is_shown(page: Page, url: Url) -> None:
    page.goto(url("index.html"))
    page.locator('[data-filter="kind"]').select_option("tuned")
    heading(page, "forgetting").locator("button").click()
    shown, heads = names(page), page.locator("#board thead th:visible").all_text_contents()
    rows = list(csv.DictReader(io.StringIO(saved(page, "csv"))))
    assert [row["Method"] for row in rows] == shown
    assert [head for head in rows[0] if not re.search(": (low|high)$", head)] == heads
    low, value, high = (float(rows[0][f"Forgetting{end}"]) for end in (": low", "", ": high"))
    assert low <= value <= high and f"+{value:.1f}" == column(page, "forgetting")[0]
    assert float(rows[0]["Time"]) > 0 and rows[0]["Rank"].isdigit()
    found = json.loads(saved(page, "json"))
    assert [row["variant"] for row in found["rows"]] == shown
    assert found["rows"][0]["forgetting"] == {"value": value, "low": low, "high": high}
    assert found["rows"][0].keys() == {"variant", *(name for name in found["rows"][0] if name != "variant")}
    tex = saved(page, "latex")
    body = tex.split("\\midrule\n")[1].split("\\bottomrule")[0].strip().splitlines()
    assert len(body) == len(shown) and all(line.count("&") == len(heads) - 1 for line in body)
    assert tex.count("\\toprule") == 1 and f"$+${value:.1f} [$+$" in tex
    marked = saved(page, "markdown").strip().splitlines()
    assert len(marked) == len(shown) + 2 and all(line.count("|") == len(heads) + 1 for line in marked)


HOSTILE = [
    "=1+1",
    "@x",
    "-2",
    "a|b<script>",
    'say "hi", you',
    "50% & a_b ^~ \\ $x$ #1 {}",
    "[x](javascript:y)",
    "a\nb",
]


def test_each_format_keeps_text_as_text(page: Page, url: Url) -> None:
    page.goto(url("index.html"))

    def write(kind: str) -> str:
        return page.evaluate(
            """([kind, names]) => suiteFormats[kind].write({title: "t", columns: [
                {key: "variant", title: "Method", kind: "t"}, {key: "gain", title: "Gain", kind: "c"}],
                rows: names.map((text) => [{text, small: "", numbers: []},
                    {text: "\u22122.0", small: "[\u22123.0, +1.0]", numbers: [-2, -3, 1]}])})""",
            [kind, HOSTILE],
        )

    rows = list(csv.reader(io.StringIO(write("csv"))))
    assert [row[0] for row in rows[1:4]] == ["'=1+1", "'@x", "'-2"] and rows[5][0] == HOSTILE[4]
    assert all(row[1:] == ["-2", "-3", "1"] for row in rows[1:]) and len(rows) == len(HOSTILE) + 1
    assert [row["variant"] for row in json.loads(write("json"))["rows"]] == HOSTILE
    tex = write("latex").splitlines()
    shown = "$-$2.0 [$-$3.0, $+$1.0] \\\\"
    escaped = "50\\% \\& a\\_b \\textasciicircum{}\\textasciitilde{} \\textbackslash{} \\$x\\$ \\#1 \\{\\}"
    assert f"{escaped} & {shown}" in tex
    assert f"{{}}[x](javascript:y) & {shown}" in tex  # else it would be an option of the line before it
    marked = write("markdown")
    assert "<" not in marked and "a&#124;b&#60;script&#62;" in marked and "](" not in marked
    assert all(line.count("|") == 3 for line in marked.strip().splitlines())


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bases of one track, and names that would run if they could."""
    name = "<img src=x onerror=alert(1)>\" \u202e'=cmd|' & a_b %"
    near = method("b" * 300, (51, 53), trainable=99_996)  # of a million: '10 %' is shown
    cells = [*method(name, (50, 52), settings={"rank": 8}), *near]
    other = [moved(one, f"{at:016x}") for at, one in enumerate(method("a", (50, 52)))]
    site = site_of([*cells, *other])
    out = tmp_path_factory.mktemp("planted")
    files = Files(out)
    for write in (assets.write, charts.write, front.write):
        write(files, site)
    return out


def test_hostile_names_run_nothing(open_page: Open, planted: Path) -> None:
    page = open_page(viewport=PHONE)
    page.goto((planted / "index.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert page.locator("img[src=x]").count() == 0 and any("<img" in name for name in names(page))
    page.locator("#search").fill("<img")
    assert len(names(page)) == 1
    (row,) = csv.DictReader(io.StringIO(saved(page, "csv")))
    assert row["Method"].startswith("<img src=x")


def test_a_base_leads_to_its_board(open_page: Open, planted: Path) -> None:
    page = open_page()
    page.goto((planted / "index.html").as_uri())
    page.locator("#base").select_option(label="second-base")
    page.wait_for_url("**/board-*.html")
    expect(page.locator("h1")).to_contain_text("second-base")


def test_a_filter_asks_for_what_was_measured_and_not_for_what_is_shown(page: Page, planted: Path) -> None:
    page.goto((planted / "index.html").as_uri())
    page.locator('[data-filter="size"]').select_option("1-10")
    assert names(page) == ["b" * 300]
    page.locator('[data-filter="size"]').select_option("0.1-1")
    page.locator('[data-filter="setting"]').select_option("8")
    assert len(names(page)) == 1 and "<img" in names(page)[0]


def test_a_comma_in_the_name_of_a_task_survives_a_reload(page: Page, tmp_path: Path) -> None:
    tasks = ("a,b %2C", "sums")
    site = site_of([*method("a", (50, 52), tasks), *method("b", (51, 53), tasks)])
    files = Files(tmp_path)
    for write in (assets.write, charts.write, front.write):
        write(files, site)
    page.goto((tmp_path / "index.html").as_uri())
    page.locator("#columns summary").click()
    page.locator("#columns").get_by_label("Gain: sums").uncheck()
    heads = page.locator("#board thead th:visible").all_text_contents()
    assert "Gain: a,b %2C" in heads and "Gain: sums" not in heads
    page.reload()
    assert page.locator("#board thead th:visible").all_text_contents() == heads
