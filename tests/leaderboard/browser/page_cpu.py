"""How long the thread of a page worked: what others do on the machine does not count."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page


def cpu(page: Page) -> Callable[[], float]:
    """A function that gives the milliseconds that the page's own thread has worked since its navigation."""
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        found = client.send("Performance.getMetrics")["metrics"]
        return 1000 * next(one["value"] for one in found if one["name"] == "TaskDuration")

    return spent
