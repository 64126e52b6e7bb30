"""The map, the results of others and the history in a real browser: drawn, readable, and all from disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from leaderboard import assets, external, history, regions
from leaderboard.charts import bundle, theme
from leaderboard.files import Files
from suite.reading import Kept
from tests.leaderboard.browser.drilled import faults
from tests.leaderboard.test_history_page import whole
from tests.suite.nightly import nights, slower
from tests.suite.region_records import study
from tests.suite.test_outside_scores import run

PAGES = ("map.html", "external.html", "history.html")
FIGURES = {"map.html": 1, "external.html": 1, "history.html": 5}


@pytest.fixture(scope="module")
def findings(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of a study with a planted truth, of nightly runs with planted steps, and of runs of others."""
    scores = {"alpha": 700, "beta": 690, "gamma": 500, "delta": 0}
    others = [run(name, right / 1319) for name, right in scores.items()]
    entries = [Kept(record, "study", None, ()) for record in [*study(), *others]]
    files = Files(tmp_path_factory.mktemp("findings"))
    bundle.write(files)
    files.data("charts/theme", theme.themes())
    for part in (assets, regions, external, history):
        part.write(files, whole([*entries, *nights(14, slower)]))
    return files.out


def drawn(page: Page) -> list[str | None]:
    """Scroll to every figure, and in which theme a script drew it."""
    figures = page.locator("figure[data-chart]")
    found = []
    for figure in figures.all():
        figure.scroll_into_view_if_needed()
        expect(figure).to_have_attribute("data-drawn", "light")
        found.append(figure.get_attribute("data-failed"))
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_is_drawn_and_has_its_data(findings: Path, page: Page, name: str) -> None:
    page.goto(f"{findings.as_uri()}/{name}")
    assert drawn(page) == [None] * FIGURES[name]
    for link in page.locator(".chart-files a").all():
        assert (findings / (link.get_attribute("href") or "")).is_file()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_no_fault_of_accessibility(
    findings: Path, open_page: Callable[..., Page], name: str, scheme: str
) -> None:
    page = open_page(color_scheme=scheme, bypass_csp=True)
    page.goto(f"{findings.as_uri()}/{name}")
    assert faults(page) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_need_not_scroll_sideways(findings: Path, open_page: Callable[..., Page], name: str) -> None:
    page = open_page(viewport={"width": 360, "height": 740})
    page.goto(f"{findings.as_uri()}/{name}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_map_says_its_verdicts(findings: Path, page: Page) -> None:
    page.goto(f"{findings.as_uri()}/map.html")
    row = page.locator("tr", has_text="rank 16, alpha 32").filter(has_text="behind")
    expect(row).to_contain_text("within noise")
    expect(page.locator("h1")).to_have_text("Low-regret map")


def test_a_run_of_others_leads_to_its_record(findings: Path, page: Page) -> None:
    page.goto(f"{findings.as_uri()}/external.html")
    expect(page.locator(".finding").first).to_contain_text("Of 3 neighbouring pairs 2 can be told apart")
    link = page.get_by_role("link", name="alpha").first
    expect(link).to_have_attribute("href", f"cell.html#{run('alpha', 700 / 1319).id}")


def test_the_history_names_the_step(findings: Path, page: Page) -> None:
    page.goto(f"{findings.as_uri()}/history.html")
    expect(page.locator("tbody tr").filter(has_text="gain").first).to_contain_text("2026-03-09 08ababa")


def test_the_published_records_say_how_little_they_are(url: Callable[[str], str], page: Page) -> None:
    page.goto(url("map.html"))
    expect(page.locator(".finding").first).to_contain_text("single points, no region")
    page.goto(url("history.html"))
    expect(page.locator(".finding").first).to_contain_text("one moment alone")
