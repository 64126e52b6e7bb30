"""Items against variants: who solved what, and what each of them answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from leaderboard.files import slug
from suite.record import Item, Record
from suite.summary import boards
from tests.example_records.make import LORA, PISSA, cell, record
from tests.leaderboard.browser.drilled import drilled, faults, published, wide

CODE = slug("pocket_code")
EVIL = "<img src=x onerror=alert(1)>\u202e"
Open = Callable[..., Page]
Url = Callable[[str], str]


def _shares(name: str) -> dict[str, list[float]]:
    """By row: the share of its seeds that got each item of an evaluation right."""
    records = {one.id: one for one in published()}
    (board,) = boards(records.values())
    found: dict[str, list[float]] = {}
    for row in board.rows:
        scores = [
            records[one].after for one in row.records if records[one].read and records[one].status == "ok"
        ]
        marks = [
            [item.correct or 0.0 for item in each.target[name].items]
            for each in scores
            if each and name in each.target
        ]
        found[row.label] = [sum(column) / len(column) for column in zip(*marks, strict=True)]
    return found


def test_solved_by_one_and_not_by_another(page: Page, url: Url) -> None:
    shares = _shares("pocket_code")
    only = [at for at in range(250) if shares["fullft"][at] > 0.5 and shares["lora"][at] <= 0.5]
    page.goto(url(f"items.html?evaluation={CODE}"))
    expect(page.locator("#items tbody tr")).to_have_count(40)
    page.get_by_label("Solved by").select_option("fullft")
    page.get_by_label("but not by").select_option("lora")
    expect(page.locator("#items")).to_contain_text(f"{len(only)} of 250 items")
    assert "solved=fullft" in page.url and "unsolved=lora" in page.url
    page.reload()
    expect(page.locator("#items")).to_contain_text(f"{len(only)} of 250 items")
    alone = [
        at
        for at in range(250)
        if shares["fullft"][at] > 0.5 and all(shares[r][at] <= 0.5 for r in shares if r != "fullft")
    ]
    page.get_by_label("but not by").select_option("*others")
    expect(page.locator("#items")).to_contain_text(f"{len(alone)} of 250 items")
    page.get_by_label("Solved by").select_option("*none")
    nobody = [at for at in range(250) if all(shares[r][at] <= 0.5 for r in shares)]
    expect(page.locator("#items")).to_contain_text(f"{len(nobody)} of 250 items")


def test_the_hardest_come_first_when_asked(page: Page, url: Url) -> None:
    shares = _shares("pocket_code")
    page.goto(url(f"items.html?evaluation={CODE}&sort=hard"))
    ease = [sum(row[at] for row in shares.values()) for at in range(250)]
    hardest = min(range(250), key=lambda at: (round(ease[at], 9), at))
    expect(page.locator("#items tbody tr th button").first).to_have_text(str(hardest + 1))


def test_an_item_shows_what_each_variant_answered(page: Page, url: Url) -> None:
    records = published()
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "/cells/" in one.url else None)
    page.goto(url(f"items.html?evaluation={CODE}"))
    page.get_by_role("button", name="Open item 61", exact=True).click()
    expect(page.locator("#opened h2")).to_have_text("Item 61")
    assert "item=61" in page.url and asked == []
    page.locator("#opened summary", has_text="pissa").click()
    expect(page.locator("#opened .sides section")).to_have_count(3)
    assert len(asked) == 3
    mine = {one.id: one for one in records}
    for at, link in enumerate(page.locator("#opened .sides section h4 a").all()):
        one = mine[(link.get_attribute("href") or "").partition("#")[2]]
        assert one.after is not None and one.cell.variant.name == "pissa"
        expected = one.after.target["pocket_code"].items[60].response
        expect(page.locator("#opened .sides section").nth(at).locator("pre")).to_have_text(expected or "")
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#opened")).to_have_count(0)


def test_a_general_skill_can_be_seen_by_the_task_that_was_trained(page: Page, url: Url) -> None:
    page.goto(url(f"items.html?evaluation={slug('pocket_arc')}"))
    expect(page.locator("#items tbody tr td.share").first).to_contain_text("/9")
    page.get_by_label("Trained on").select_option("math")
    expect(page.locator("#items tbody tr td.share").first).to_contain_text("/3")


@pytest.mark.parametrize("query", ["board=nope", "evaluation=nope", "evaluation=constructor"])
def test_what_does_not_exist_is_told_plainly(page: Page, url: Url, query: str) -> None:
    page.goto(url(f"items.html?{query}"))
    expect(page.get_by_role("alert")).to_contain_text("no such board or evaluation")


def _hostile(one: Record) -> Record:
    assert one.after is not None
    said = [Item(id=f"{EVIL}{at}", correct=float(at % 2), response=EVIL) for at in range(4)]
    target = one.after.target["sums_test"].model_copy(update={"items": said, "value": 0.5})
    return one.model_copy(update={"after": one.after.model_copy(update={"target": {"sums_test": target}})})


def test_hostile_ids_and_outputs_are_text(open_page: Open, tmp_path: Path) -> None:
    drilled(tmp_path, [_hostile(record(cell(ref, "sums", 0))) for ref in (LORA, PISSA)])
    page = open_page(viewport={"width": 390, "height": 800})
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.goto(f"{tmp_path.as_uri()}/items.html?item=2")
    page.locator("#opened summary").first.click()
    expect(page.locator("#opened pre").first).to_contain_text("<img src=x onerror=alert(1)>U+202E")
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_no_serious_accessibility_fault(open_page: Open, url: Url, width: int, scheme: str) -> None:
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page.goto(url(f"items.html?evaluation={CODE}&item=3"))
    page.locator("#opened summary").first.click()
    expect(page.locator("#opened .sides section")).to_have_count(3)
    assert faults(page) == []
    assert wide(page) <= 0
