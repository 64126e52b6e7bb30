"""The page of two rows: the numbers of `suite compare`, either way round, and why a tie is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from suite.compare import versus
from tests.leaderboard.browser.drilled import drilled, faults, published, wide
from tests.leaderboard.planted import method

EVIL = '"><img src=x onerror=alert(1)>\u202e'
Open = Callable[..., Page]
Url = Callable[[str], str]


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "\u2212")


def _over_tasks(page: Page, quantity: str) -> str:
    rows = page.get_by_role("region", name="The comparison").locator("tr.whole")
    return rows.filter(has_text=quantity).inner_text()


def test_numbers_are_those_of_the_command_either_way_round(page: Page, url: Url) -> None:
    for a, b in (("lora", "pissa"), ("pissa", "lora")):
        one = versus(published(), a, b)[0]
        page.goto(url(f"compare.html?a={a}&b={b}"))
        expect(page.get_by_role("region", name="The comparison")).to_be_visible()
        for quantity, title in (("gain", "Gain"), ("forgetting", "Forgetting")):
            line = next(each for each in one.lines if each.quantity == quantity and each.task is None)
            shown = _over_tasks(page, title)
            found = line.comparison.interval
            assert _signed(found.value) in shown, (shown, found)
            assert f"{_signed(found.low)} to {_signed(found.high)}" in shown
            assert f"{_signed(line.a.value)}" in shown and line.verdict in shown


def test_a_tie_is_explained_and_rows_can_be_chosen(page: Page, url: Url) -> None:
    page.goto(url("compare.html?a=lori-d&b=pissa"))
    expect(page.locator("h2", has_text="Why these are ties")).to_be_visible()
    expect(page.locator("main")).to_contain_text("would have been noticed in 80 of 100 repetitions")
    expect(page.locator("main")).to_contain_text("Of the noise")
    page.get_by_label("against").select_option("fullft")
    expect(page.locator(".verdicts li").first).to_contain_text("fullft gains")
    assert "b=fullft" in page.url and "a=lori-d" in page.url
    page.get_by_role("button", name="Swap").click()
    expect(page.locator(".verdicts li").first).to_contain_text("lori-d gains")
    expect(page.get_by_label("This one")).to_have_value("fullft")
    page.reload()
    expect(page.locator(".verdicts li").first).to_contain_text("lori-d gains")


def test_items_that_only_one_solves_lead_to_the_item(page: Page, url: Url) -> None:
    page.goto(url("compare.html?a=fullft&b=lora"))
    page.get_by_text("Items that only one of them solves").click()
    link = page.locator("p", has_text="fullft alone solves").first.locator("a").first
    item = link.inner_text()
    link.click()
    expect(page.locator("#opened h2")).to_have_text(f"Item {item}")
    assert "solved=fullft" in page.url and "unsolved=lora" in page.url


@pytest.mark.parametrize(
    "query", ["board=nope", "a=nope", "a=constructor&b=lora", "a=lora&b=lora", "a=%3Cscript%3E"]
)
def test_what_does_not_exist_is_told_plainly(page: Page, url: Url, query: str) -> None:
    page.goto(url(f"compare.html?{query}"))
    expect(page.get_by_role("alert")).to_be_visible()


def test_hostile_labels_are_labels(open_page: Open, tmp_path: Path) -> None:
    drilled(tmp_path, [*method(EVIL, [60, 61]), *method("plain", [62, 61])])
    page = open_page(viewport={"width": 390, "height": 800})
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.goto(f"{tmp_path.as_uri()}/compare.html")
    expect(page.locator(".verdicts")).to_contain_text("<img src=x onerror=alert(1)>U+202E")
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_no_serious_accessibility_fault(open_page: Open, url: Url, width: int, scheme: str) -> None:
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page.goto(url("compare.html?a=lori-d&b=lora"))
    expect(page.locator(".verdicts")).to_be_visible()
    page.evaluate("document.querySelectorAll('details.more').forEach(one => { one.open = true; })")
    expect(page.locator("p", has_text="alone solves").first).to_be_visible()
    assert faults(page) == []
    assert wide(page) <= 0
