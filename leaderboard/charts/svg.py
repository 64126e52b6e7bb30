"""The SVG of a picture, by vl-convert in the light theme; drawn again only if anything of it changed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from leaderboard.charts import theme
from leaderboard.files import Files

FONT = "Arial, 'Helvetica Neue', 'Liberation Sans', sans-serif"  # of the width that vl-convert measures
PADDING = {"left": 22, "right": 14, "top": 8, "bottom": 8}  # px, for the wider letters of other fonts
_TAG = re.compile(r"<[^>]+>")  # texts are left alone: they hold no '<'
_ID = re.compile(r"""((?:\bid=|url\(|href=)["']?#?)(gradient_|clip)(\d+)""")
DIGITS = 16  # hex digits of a digest


def write(files: Files, path: str, spec: Mapping[str, Any]) -> None:
    """Write the SVG of a specification, or keep the one that the same vl-convert drew from the same."""
    drawn = dressed(spec)
    made_from = _digest(json.dumps([drawn, version("vl-convert-python")], allow_nan=False))
    file = files.out / path
    if file.is_file() and _is_of(file.read_bytes(), made_from):
        files.keep(path)
        return
    body = draw(drawn)
    files.text(path, f"{body}\n{_stamp(made_from, body)}")


def draw(dressed: Mapping[str, Any]) -> str:
    """A dressed specification as SVG. Same specification, same text."""
    import vl_convert

    return numbered(vl_convert.vegalite_to_svg(dict(dressed), vl_version=theme.VEGA_LITE).strip())


def numbered(text: str) -> str:
    """The SVG with its ids counted from 0: vl-convert counts on over all that a process draws."""
    known: dict[str, str] = {}

    def renamed(match: re.Match[str]) -> str:
        told = known.setdefault(match[2] + match[3], f"{match[2]}{len(known)}")
        return match[1] + told

    return _TAG.sub(lambda tag: _ID.sub(renamed, tag[0]), text)


def dressed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The specification with the light theme, as wide as an SVG is."""
    return {
        **_sized(spec),
        "config": {**theme.config(dark=False), "font": FONT},
        "background": theme.LIGHT.card,
        "padding": PADDING,
    }


def _sized(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Of several panels, as many beside each other as fit."""
    about = spec.get("usermeta", {}).get("suite", {})
    if "panels" not in about:
        return {**spec, "width": theme.WIDTH, "autosize": {"type": "fit-x", "contains": "padding"}}
    gap = spec.get("spacing", 16)
    free = theme.WIDTH - about["spare"] + gap
    columns = about.get("fixed") or max(1, min(about["panels"], free // (about["least"] + gap)))
    inner = {**spec["spec"], "width": max(40, free // columns - gap)}
    return {**spec, "spec": inner} | ({} if "fixed" in about else {"columns": columns})


def _stamp(made_from: str, body: str) -> str:
    return f"<!-- made from {made_from}, drawn as {_digest(body)} -->\n"


def _is_of(content: bytes, made_from: str) -> bool:
    """Whether a file is what was drawn from this, whole and unchanged."""
    body, _, stamp = content.decode("utf-8", "replace").rstrip("\n").rpartition("\n")
    return f"{stamp}\n" == _stamp(made_from, body)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
