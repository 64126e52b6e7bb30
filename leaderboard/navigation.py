"""What every page has around it: the links at the top, the newest record, how many files were left out."""

from __future__ import annotations

from typing import Any

from leaderboard.site import Site

SHOWN = 6  # boards that have a link of their own at the top; the others are on the page about the site


def frame(site: Site, here: str) -> dict[str, Any]:
    """The values of base.html for the page called `here`."""
    own = [board for board in site.boards if not board.external]
    links = [{"href": board.href, "name": board.title} for board in own[:SHOWN]]
    links.append({"href": "compare.html", "name": "Compare"})
    links.append({"href": "items.html", "name": "Items"})
    links.append({"href": "map.html", "name": "Low-regret map"})
    links.append({"href": "history.html", "name": "History"})
    if any(board.external for board in site.boards):
        links.append({"href": "external.html", "name": "Results of others"})
    links.append({"href": "about.html", "name": "How to read this"})
    return {"nav": links, "here": here, "newest": site.newest, "rejected": len(site.rejected)}
