"""The parts of the site, in the order in which they are written. Each takes the files and the whole site."""

from __future__ import annotations

from collections.abc import Callable

from leaderboard import (
    about,
    assets,
    charts,
    compare,
    exports,
    external,
    front,
    history,
    items,
    regions,
    variant,
)
from leaderboard.files import Files
from leaderboard.site import Site

PARTS: tuple[Callable[[Files, Site], None], ...] = (
    assets.write,
    charts.write,
    front.write,
    variant.write,
    compare.write,
    items.write,
    regions.write,
    external.write,
    history.write,
    exports.write,
    about.write,
)
