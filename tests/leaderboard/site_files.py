"""A built site as a test looks at it: its files, its elements, its links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

VOID = frozenset(
    {"meta", "link", "wbr", "rect", "img", "input", "br", "hr", "line", "circle", "path", "polygon"}
)
DATA = re.compile(r'suiteData\(("(?:[^"\\]|\\.)*"),("(?:[^"\\]|\\.)*")\);\n')


class Page(HTMLParser):
    """The elements, attributes and text of a page; unbalanced tags fail."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def ids(self) -> list[str]:
        return [attrs["id"] or "" for _, attrs in self.elements if "id" in attrs]

    @property
    def links(self) -> list[str]:
        """Everything that leads somewhere or is loaded."""
        names = ("href", "src", "action", "srcset", "data-src", "poster")
        return [attrs[name] or "" for _, attrs in self.elements for name in names if name in attrs]


def pages(out: Path) -> dict[str, Page]:
    """Every HTML page of a site, by its name."""
    return {file.name: Page(file.read_text(encoding="utf-8")) for file in sorted(out.glob("*.html"))}


def tree(out: Path) -> dict[str, bytes]:
    """Every file of a site but hidden ones (caches), by its path."""
    files = (file for file in sorted(out.rglob("*")) if file.is_file())
    found = {str(file.relative_to(out)): file.read_bytes() for file in files}
    return {path: content for path, content in found.items() if not Path(path).name.startswith(".")}


def strict(text: str) -> Any:
    """JSON without NaN and infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def value(out: Path, key: str) -> Any:
    """What a data file hands over; it holds nothing but one call with two strings."""
    text = (out / "data" / f"{key}.js").read_text(encoding="ascii")
    match = DATA.fullmatch(text)
    assert match, f"{key}: {text[:80]!r}"
    assert json.loads(match[1]) == key
    return strict(json.loads(match[2]))


def dead(out: Path, found: dict[str, Page]) -> Iterable[str]:
    """Links that lead nowhere: no such file, or no such place in the page."""
    for name, page in found.items():
        for link in page.links:
            if link.startswith("data:"):
                continue
            path, _, place = link.partition("#")
            path = path.partition("?")[0] or name
            anchored = place and path in found and path not in SCRIPTED
            if not (out / path).is_file() or (anchored and place not in found[path].ids):
                yield f"{name}: {link}"


SCRIPTED = ("cell.html",)  # its part after '#' is a record
