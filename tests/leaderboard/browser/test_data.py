"""Data files that come late, damaged or never: a readable line, no error that nobody caught, a second try."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from leaderboard.files import slug
from tests.leaderboard.browser.conftest import PATIENCE
from tests.leaderboard.browser.drilled import published

READ = "025470f4bea29ad5"  # lori-d on code: its test split was read
Url = Callable[[str], str]


@pytest.fixture
def faulty(browser: Browser) -> Iterator[Page]:
    """A page whose data may fail: the browser says so in its console; an error that nobody caught fails."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    uncaught: list[str] = []
    page.on("pageerror", lambda error: uncaught.append(str(error)))
    yield page
    context.close()
    assert uncaught == []


def _damage(kind: str) -> Callable[[Route], None]:
    def answer(route: Route) -> None:
        if kind == "missing":
            route.abort()
            return
        key = route.request.url.rpartition("/data/")[2].removesuffix(".js")
        body = {"damaged": f'suiteData("{key}","{{");', "empty": "", "other": f'suiteData("{key}","7");'}[
            kind
        ]
        route.fulfill(body=body, content_type="text/javascript")

    return answer


PAGES = [
    ("compare.html", "compare/index", "#compare"),
    ("compare.html?a=lora&b=pissa", "compare/*/*", "#compare"),
    ("items.html", "items/index", "#items"),
    ("items.html", "items/*/*", "#items"),
    ("variant-lora.html", "variants/*", "#all-cells"),
    (f"cell.html#{READ}", "where/*", "#cell"),
    (f"cell.html#{READ}", "cells/*", "#cell"),
]


@pytest.mark.parametrize("kind", ["missing", "damaged", "empty", "other"])
@pytest.mark.parametrize(("where", "key", "place"), PAGES)
def test_a_page_says_that_its_data_cannot_be_read(
    faulty: Page, url: Url, where: str, key: str, place: str, kind: str
) -> None:
    faulty.route(f"**/data/{key}.js", _damage(kind))
    faulty.goto(url(where))
    expect(faulty.locator(f"{place} [role=alert]")).to_contain_text("could not be read")
    assert not faulty.locator(place).get_attribute("aria-busy")


@pytest.mark.parametrize(
    ("where", "key", "opened", "place"),
    [
        (f"cell.html?item=2#{READ}", "prompts/*", None, "#item-2 .asked"),
        (f"items.html?evaluation={slug('pocket_code')}&item=2", "prompts/*", None, "#opened"),
        (
            f"items.html?evaluation={slug('pocket_code')}&item=2",
            "cells/*",
            "#opened summary",
            "#opened .item",
        ),
        (
            "compare.html?a=lora&b=pissa",
            "items/*/*",
            "details.more:has-text('only one of them') > summary",
            None,
        ),
    ],
)
def test_a_part_says_that_its_data_cannot_be_read(
    faulty: Page, url: Url, where: str, key: str, opened: str | None, place: str | None
) -> None:
    faulty.route(f"**/data/{key}.js", _damage("missing"))
    faulty.goto(url(where))
    if opened:
        faulty.locator(opened).first.click()
    expect(faulty.locator(f"{place or 'main'} [role=alert]").first).to_contain_text("is missing")


def test_what_failed_is_asked_for_again(faulty: Page, url: Url) -> None:
    faulty.route("**/data/compare/index.js", _damage("missing"))
    faulty.goto(url("compare.html"))
    expect(faulty.get_by_role("alert")).to_contain_text("data/compare/index.js is missing")
    faulty.unroute("**/data/compare/index.js")
    assert faulty.evaluate("suite.load('compare/index').then(found => found.length)") == 1


class Late:
    """Holds the requests for some data until they are let go. Made before the page is opened."""

    def __init__(self, page: Page, pattern: str) -> None:
        self.page, self.held = page, list[Route]()
        page.route(pattern, lambda route: self.held.append(route))

    def arrive(self) -> None:
        """Let them go, and wait until the page has used what came."""
        assert self.held, "nothing was asked for"
        keys = [one.request.url.rpartition("/data/")[2].removesuffix(".js") for one in self.held]
        for one in self.held:
            one.continue_()
        for key in keys:
            self.page.evaluate("key => suite.load(key).then(() => 1)", key)
        self.page.wait_for_timeout(100)


def test_a_cell_that_comes_late_does_not_replace_the_one_asked_for_since(page: Page, url: Url) -> None:
    other = next(one for one in published() if one.cell.variant.name == "pissa" and one.read)
    late = Late(page, f"**/data/cells/{READ}.js")
    page.goto(url(f"cell.html#{READ}"), wait_until="commit")
    expect(page.locator("#cell[aria-busy]")).to_have_count(1)
    page.evaluate("id => { location.hash = id; }", other.id)
    expect(page.locator("h1")).to_contain_text("pissa")
    late.arrive()
    expect(page.locator("h1")).to_contain_text("pissa")
    expect(page.locator("#cell[aria-busy]")).to_have_count(0)


def test_a_cell_that_comes_late_does_not_replace_the_beginning(page: Page, url: Url) -> None:
    late = Late(page, f"**/data/cells/{READ}.js")
    page.goto(url(f"cell.html#{READ}"), wait_until="commit")
    expect(page.locator("#cell[aria-busy]")).to_have_count(1)
    page.evaluate("location.hash = ''")
    expect(page.locator("#cell[aria-busy]")).to_have_count(0)
    late.arrive()
    expect(page.locator("h1")).to_have_text("One cell")


def test_a_comparison_that_comes_late_does_not_replace_the_one_asked_for_since(page: Page, url: Url) -> None:
    late = Late(page, "**/data/compare/*/fullft*.js")
    page.goto(url("compare.html?a=lori-d&b=lora"))
    expect(page.locator(".verdicts li").first).to_contain_text("lora gains")
    page.get_by_label("against").select_option("fullft")
    page.get_by_label("against").select_option("pissa")
    expect(page.locator(".verdicts li").first).to_contain_text("pissa gains")
    late.arrive()
    expect(page.locator(".verdicts li").first).to_contain_text("pissa gains")
    expect(page.get_by_label("against")).to_have_value("pissa")


def test_items_that_come_late_do_not_replace_those_asked_for_since(page: Page, url: Url) -> None:
    code, arc, math = map(slug, ("pocket_code", "pocket_arc", "pocket_math"))
    late = Late(page, f"**/data/items/*/{math}.js")
    page.goto(url(f"items.html?evaluation={code}"))
    expect(page.locator("#items tbody tr")).to_have_count(40)
    choice = page.get_by_label("Evaluation")
    choice.select_option(math)
    choice.select_option(arc)
    expect(page.locator("#items")).to_contain_text("of 366 items")
    late.arrive()
    expect(page.locator("#items")).to_contain_text("of 366 items")
    expect(page.get_by_label("Evaluation")).to_have_value(arc)
