"""The page of a variant: its definition, its rows, and all of its cells, ten thousand of them too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from leaderboard import variant
from leaderboard.files import Files
from suite.record import VariantRef
from tests.example_records.make import cell, record
from tests.leaderboard.browser.drilled import drilled, faults, published, wide
from tests.leaderboard.browser.page_cpu import cpu
from tests.leaderboard.planted import site_of

EVIL = '"><img src=x onerror=alert(1)>\u202e'
MANY = 10_000
Open = Callable[..., Page]
Url = Callable[[str], str]


def test_definition_rows_and_cells(page: Page, url: Url) -> None:
    page.goto(url("variant-lora.html"))
    expect(page.locator("pre.formula").first).to_contain_text("y = W x + s*B(A x)")
    expect(page.locator("main")).to_contain_text("arXiv 2106.09685")
    expect(page.locator("section.row").first).to_contain_text("Trainable parameters")
    cells = [one for one in published() if one.cell.variant.name == "lora"]
    expect(page.locator("#all-cells [role=status]")).to_contain_text(f"of {len(cells)} cells")


def test_cells_are_sorted_filtered_and_kept_in_the_address(page: Page, url: Url) -> None:
    page.goto(url("variant-lora.html"))
    rows = page.locator("#all-cells tbody tr")
    page.get_by_role("button", name="Validation loss").click()
    expect(page.locator("#all-cells th[aria-sort=ascending]")).to_have_text("Validation loss")
    cells = [one for one in published() if one.cell.variant.name == "lora" and one.after]
    losses = sorted(one.after.log_loss["validation"] for one in cells if one.after)
    expect(rows.first).to_contain_text(f"{losses[0]:.3f}")
    page.get_by_role("button", name="Validation loss").click()
    assert "sort=-loss" in page.url
    page.locator("#all-cells").get_by_label("Task").select_option("math")
    count = sum(one.cell.task.name == "math" for one in cells)
    expect(page.locator("#all-cells [role=status]")).to_contain_text(f"of {count} cells")
    page.reload()
    expect(page.locator("#all-cells [role=status]")).to_contain_text(f"of {count} cells")
    expect(page.locator("#all-cells th[aria-sort=descending]")).to_have_text("Validation loss")
    page.get_by_label("Search").fill("seed 1")
    expect(rows.first).to_contain_text("math")
    rows.first.locator("a").first.click()
    expect(page.locator("h1")).to_have_text("lora on math")


def test_what_is_filtered_can_be_saved(page: Page, url: Url) -> None:
    page.goto(url("variant-lora.html?task=code"))
    with page.expect_download() as saved:
        page.locator("#all-cells").get_by_role("button", name="Download").click()
    lines = Path(saved.value.path()).read_text().splitlines()
    cells = [one for one in published() if one.cell.variant.name == "lora" and one.cell.task.name == "code"]
    assert len(lines) == 1 + len(cells) and lines[0].startswith("Task,Seed,Learning rate,Status,Gain")


def test_of_ten_thousand_cells_fifty_are_laid_out_and_sort_at_once(open_page: Open, tmp_path: Path) -> None:
    ref = VariantRef(name="many", settings={"rank": 8}, revision=1)
    one = record(cell(ref, "sums", 0))
    drilled(tmp_path, [one])
    data = variant.data(site_of([one]).entries)
    first, rest = data["cells"][0][1:4], data["cells"][0][6:]
    rows = [[f"{at:016x}", *first, at % 50, (1 + at * 7919 % MANY) / MANY, *rest] for at in range(MANY)]
    Files(tmp_path).data("variants/many", {**data, "cells": rows})
    page = open_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{tmp_path.as_uri()}/variant-many.html")
    expect(page.locator("#all-cells tbody tr")).to_have_count(50)
    expect(page.locator("#all-cells [role=status]")).to_contain_text("of 10,000 cells")
    button = page.get_by_role("button", name="Learning rate")
    spent = cpu(page)
    before = spent()
    button.evaluate("one => { one.click(); document.body.offsetHeight; }")
    took = spent() - before
    expect(page.locator("#all-cells tbody tr").first).to_contain_text("0.0001")
    assert page.locator("#all-cells tbody tr").count() == 50
    assert took < 1000, took  # of its own work, ms; about 100 on a machine with nothing else to do


def test_a_hostile_name_is_a_name(open_page: Open, tmp_path: Path) -> None:
    ref = VariantRef(name=EVIL, settings={EVIL: EVIL}, revision=1)
    files = drilled(tmp_path, [record(cell(ref, "sums", seed), error=EVIL) for seed in (0, 1)])
    (name,) = [path for path in files.written if path.startswith("variant-")]
    page = open_page(viewport={"width": 390, "height": 800})
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.goto(f"{tmp_path.as_uri()}/{name}")
    expect(page.locator("h1")).to_contain_text("<img src=x onerror=alert(1)>")
    expect(page.locator("#all-cells tbody tr")).to_have_count(2)
    assert page.locator("main img").count() == 0 and wide(page) <= 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_no_serious_accessibility_fault(open_page: Open, url: Url, width: int, scheme: str) -> None:
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page.goto(url("variant-lori-s.html"))
    expect(page.locator("#all-cells tbody tr").first).to_be_visible()
    page.evaluate("document.querySelectorAll('details.more').forEach(one => { one.open = true; })")
    assert faults(page) == []
    assert wide(page) <= 0
