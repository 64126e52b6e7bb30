"""What a test reads of a board's page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

PHONE = {"width": 360, "height": 740}


def column(page: Page, key: str) -> list[str]:
    """What the rows show in a column."""
    return page.evaluate(
        """(key) => {
            const heads = [...document.querySelectorAll("#board thead th")];
            const at = heads.findIndex((head) => head.dataset.key === key);
            return [...document.querySelectorAll("#board tbody tr")]
                .map(({cells}) => (cells[at].querySelector("a, button") ?? cells[at]).firstChild.textContent);
        }""",
        key,
    )


def names(page: Page) -> list[str]:
    return page.locator("#board tbody tr th bdi").all_text_contents()


def heading(page: Page, key: str) -> Any:
    return page.locator(f'#board thead th[data-key="{key}"]')


def number(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-"))


def saved(page: Page, kind: str) -> str:
    """The file that 'Download' gives."""
    page.locator("#download summary").click()
    with page.expect_download() as waiting:
        page.locator(f'#download button[data-format="{kind}"]').click()
    return Path(waiting.value.path()).read_text(encoding="utf-8")
