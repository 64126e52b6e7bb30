"""Pictures in a browser: drawn when seen, in the reader's theme, as wide as their place; names stay text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from leaderboard import assets, charts
from leaderboard.files import Files
from leaderboard.navigation import frame
from leaderboard.pages import POLICY, _environment
from tests.leaderboard.test_charts import EVIL, _hostile

PAGE = """{% extends "base.html" %}{% from "chart.html" import chart %}
{% block title %}Pictures{% endblock %}
{% block styles %}<link rel="stylesheet" href="static/charts.css">{% endblock %}
{% block main %}<h1>Pictures</h1><h2>All</h2>{% for ref in refs %}{{ chart(ref) }}{% endfor %}{% endblock %}
{% block scripts %}<script src="static/charts.js"></script>{% endblock %}"""
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def pictures(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every picture of a board whose variants have hostile names."""
    out = tmp_path_factory.mktemp("pictures")
    files, whole = Files(out), _hostile()
    assets.write(files, whole)
    charts.write(files, whole)
    refs = charts.of_board(whole.boards[0], whole)
    page = _environment().from_string(PAGE)
    files.text("pictures.html", page.render(policy=POLICY, refs=refs, **frame(whole, "pictures.html")))
    return out / "pictures.html"


def _draw_all(page: Page) -> list[str]:
    """Scroll to every figure and wait until it is drawn; their names."""
    names = []
    for figure in page.locator("figure[data-chart]").all():
        figure.scroll_into_view_if_needed()
        name = figure.get_attribute("data-chart") or ""
        ended = f"figure[data-chart='{name}'][data-drawn], figure[data-chart='{name}'][data-failed]"
        page.locator(ended).wait_for(state="attached")
        assert figure.get_attribute("data-failed") is None
        names.append(name)
    return names


def _colours(page: Page) -> set[str]:
    return set(
        page.locator(".chart-drawing svg text").evaluate_all(
            "all => all.map(one => one.getAttribute('fill'))"
        )
    )


def test_pictures_are_drawn_once_they_are_seen(page: Page, pictures: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.goto(pictures.as_uri())
    page.locator("figure[data-drawn]").first.wait_for(state="attached")
    assert not any(name.startswith("ranks-") and name.endswith(".js") for name in asked), "not yet in view"
    names = _draw_all(page)
    assert len(names) == 9
    assert page.locator(".chart-drawing svg").count() == 9 and page.locator(".chart-view img").count() == 0
    assert asked.count("vega.js") == 1
    assert {f"{name}.js" for name in names} <= set(asked)


def test_the_theme_is_followed(page: Page, pictures: Path) -> None:
    page.goto(pictures.as_uri())
    _draw_all(page)
    light = _colours(page)
    page.locator("#theme").click()
    expect(page.locator("figure[data-drawn=dark]")).to_have_count(9)
    assert light and not light & _colours(page)


def test_a_name_is_text_in_tooltips_axes_and_legends(page: Page, pictures: Path) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto(pictures.as_uri())
    _draw_all(page)
    texts = page.locator(".chart-drawing svg text").all_text_contents()
    assert EVIL[0] in texts and EVIL[1] in texts
    figure = page.locator("figure[data-chart^=plane-]")
    figure.scroll_into_view_if_needed()
    shown = set()
    for point in figure.locator("svg .mark-symbol:not(.legend-symbol) path").all():
        point.hover(force=True)
        tooltip = page.locator("#vg-tooltip-element.visible")
        if tooltip.count():
            shown.add(tooltip.locator("tr", has_text="variant").first.locator("td.value").text_content())
    assert shown >= {EVIL[0], EVIL[1]}
    assert (
        page.locator("#vg-tooltip-element img, #vg-tooltip-element script, figure img[onerror]").count() == 0
    )


def test_pictures_are_as_wide_as_their_place(open_page: OpenPage, pictures: Path) -> None:
    page = open_page(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    page.goto(pictures.as_uri())
    _draw_all(page)
    wide = _widths(page)
    page.set_viewport_size({"width": 390, "height": 844})
    narrow = _widths(page)
    for _ in range(100):
        if all(drawing < 390 for _, drawing in narrow):
            break
        page.wait_for_timeout(100)
        narrow = _widths(page)
    for place, drawing in (*wide, *narrow):
        assert 0.75 * place <= drawing <= place
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("figure[data-drawn=dark]").count() == 9


def _widths(page: Page) -> list[tuple[float, float]]:
    """(room, drawing) of every figure, px."""
    return page.locator(".chart-view").evaluate_all(
        "all => all.map(v => [v.clientWidth, v.querySelector('svg').getBoundingClientRect().width])"
    )


def test_a_picture_can_be_reached_by_keyboard_and_has_a_name(page: Page, pictures: Path) -> None:
    page.goto(pictures.as_uri())
    page.locator("figure[data-drawn]").first.wait_for(state="attached")
    view = page.get_by_role("img", name="Learning against forgetting")
    assert view.get_attribute("tabindex") == "0"
    told = view.get_attribute("aria-describedby")
    assert "bars are 95 % intervals" in (page.locator(f"#{told}").text_content() or "")
    page.locator(".brand").focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "chart-view":
            break
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Learning against forgetting"


def test_without_scripts_the_svg_stands(open_page: OpenPage, pictures: Path) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, java_script_enabled=False)
    page.goto(pictures.as_uri())
    image = page.locator(".chart-view img").first
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    assert box and 250 < box["width"] < 390 and box["height"] > 120, (
        "an image that is not there has no height"
    )
    assert page.locator(".chart-files a").first.get_attribute("href") == (
        image.get_attribute("src") or ""
    ).replace(".svg", ".csv")


def test_where_data_are_missing_the_svg_stays(browser: Browser, pictures: Path, tmp_path: Path) -> None:
    context = browser.new_context()
    context.route("**/data/charts/plane-*.js", lambda route: route.abort())
    page = context.new_page()
    page.goto(pictures.as_uri())
    page.locator("figure[data-failed]").first.wait_for(state="attached")
    figure = page.locator("figure[data-chart]").first
    assert figure.locator("img").is_visible() and figure.locator("svg").count() == 0
    context.close()
