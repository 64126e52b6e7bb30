"""Our own style and scripts, as they are."""

from __future__ import annotations

from leaderboard.files import Files
from leaderboard.pages import STATIC
from leaderboard.site import Site


def write(files: Files, site: Site) -> None:
    """Copy every static file."""
    for file in sorted(STATIC.iterdir()):
        files.bytes(f"static/{file.name}", file.read_bytes())
