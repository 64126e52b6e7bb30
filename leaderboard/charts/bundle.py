"""The one script that draws all pictures in a browser: Vega, Vega-Lite, vega-embed, out of vl-convert.

It is 0.9 MB and takes seconds to put together, so it is kept while the versions and its bytes are the same.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

from leaderboard.charts.theme import VEGA_LITE
from leaderboard.files import Files

SNIPPET = "window.vegaEmbed = vegaEmbed;"
PATH = "static/vega.js"


def write(files: Files) -> None:
    """Write static/vega.js, which sets `vegaEmbed` and nothing else."""
    if _is_ours(files.out / PATH):
        files.keep(PATH)
        return
    files.text(PATH, _script())


@cache
def _script() -> str:
    import vl_convert

    text = vl_convert.javascript_bundle(SNIPPET, vl_version=VEGA_LITE)
    body = f"(() => {{\n{text}\n}})();\n"
    return head(body.encode()) + body


def head(body: bytes) -> str:
    """What it was made from, and the digest of what follows."""
    told = f"vl-convert {version('vl-convert-python')}, Vega-Lite {VEGA_LITE}"
    return f"/* {told}; SHA-256 of the lines below: {hashlib.sha256(body).hexdigest()} */\n"


def _is_ours(file: Path) -> bool:
    """Whether the file is there, of these versions and whole."""
    if not file.is_file():
        return False
    told, _, body = file.read_bytes().partition(b"\n")
    return told + b"\n" == head(body).encode()
