"""Small sites of made-up records for the pages of cells, variants, pairs and items; axe-core over a page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.sync_api import Page

from leaderboard import assets, cells, compare, items, prompts, variant
from leaderboard.files import Files
from suite.record import Record
from suite.store import Store
from tests.leaderboard.planted import site_of

PUBLISHED = Path(__file__).parents[3] / "leaderboard" / "published" / "pocket"
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
GRAVE = ("serious", "critical")


def drilled(out: Path, records: Sequence[Record], stores: Sequence[Path] = ()) -> Files:
    """Write the drill-down of these records alone: no charts, no front page."""
    site = site_of(records, badge="community")
    files = Files(out)
    for one in records:
        cells.write_cell(out, one)
    prompts.write(files, site, stores)
    for part in (assets, variant, compare, items):
        part.write(files, site)
    return files


@cache
def published() -> tuple[Record, ...]:
    """The records of the pocket track, read once."""
    return tuple(Store(PUBLISHED).records())


@cache
def _axe() -> str:
    return AXE.read_text(encoding="utf-8")


def faults(page: Page) -> list[str]:
    """Serious accessibility faults of a page whose context was opened with bypass_csp=True."""
    page.evaluate(_axe())
    found: dict[str, Any] = page.evaluate("axe.run({preload: false, resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:120]}"
        for one in found["violations"]
        if one["impact"] in GRAVE
    ]


def wide(page: Page) -> int:
    """By how many pixels a page is wider than its window, without what the top of every page has."""
    return page.evaluate(
        "Math.max(...[...document.querySelectorAll('main, main > *, main section, main pre')]"
        ".map(one => one.getBoundingClientRect().right)) - document.documentElement.clientWidth"
    )
