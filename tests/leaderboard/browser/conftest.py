"""A real browser over the site of the published records. A line in its console or an outside request fails.

Without chromium these tests are skipped, unless LORA_SUITE_REQUIRE_BROWSER=1 (CI installs it).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Page, expect, sync_playwright

from leaderboard.build import build

PUBLISHED = Path(__file__).parents[3] / "leaderboard" / "published"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 30_000  # ms that a page may take: the machine may have other work
LEFT = "net::ERR_ABORTED"  # of a request that was under way when the page was left or closed
HERE = ("file:", "data:", "blob:", "http://127.0.0.1:")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test below this folder needs the browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    if os.environ.get("LORA_SUITE_REQUIRE_BROWSER") == "1":
        pytest.fail("no chromium, and LORA_SUITE_REQUIRE_BROWSER=1: apt install chromium")
    pytest.skip("no chromium: apt install chromium")


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for all tests of a process."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as started:
        running = started.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield running
        running.close()


@pytest.fixture(scope="session")
def built(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the published records, built once, also where several processes run the tests."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        out = tmp_path_factory.mktemp("site")
        build(PUBLISHED, out, workers=1)
        return out
    shared = tmp_path_factory.getbasetemp().parent  # of all workers of this run
    out, done = shared / "site", shared / "site.built"
    with FileLock(shared / "site.lock"):
        if not done.exists():
            build(PUBLISHED, out, workers=1)
            done.touch()
    return out


@pytest.fixture
def url(built: Path) -> Callable[[str], str]:
    """The address on disk of a page of that site, such as 'cell.html#0a1b'."""
    return lambda name: f"{built.as_uri()}/{name}"


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A function that opens a page in a fresh context; keywords are playwright's (viewport, color_scheme)."""
    faults: list[str] = []
    contexts = []

    def opened(**settings: object) -> Page:
        context = browser.new_context(**settings)  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", lambda m: faults.append(f"{m.type}: {m.text}") if m.type in _BAD else None)
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("request", lambda r: None if r.url.startswith(HERE) else faults.append(f"request: {r.url}"))
        page.on("requestfailed", lambda r: faults.append(f"failed: {r.url}") if r.failure != LEFT else None)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """A page of laptop size."""
    return open_page(viewport={"width": 1280, "height": 800})


_BAD = ("error", "warning", "assert")
