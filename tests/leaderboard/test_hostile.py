"""A store of records that want to do harm: the site is built, nothing of theirs runs or leaves the folder."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from leaderboard.build import Built, build
from suite.record import BaseRef, CurvePoint, Record, Score, Source
from suite.store import Store
from tests.example_records.make import EFFECT, LORA, PISSA, cell, examples, examples_of_others, record, scores

MARK = "hostile7"  # in all that could run
SCRIPT = f"\"'><script>{MARK}()</script><img src=x onerror={MARK}()>"
BOARDS = 2  # of the names are those of a track and base too
NAMES = (
    SCRIPT,
    f"javascript:{MARK}()",
    f"../../../{MARK}",
    f"..\\{MARK}",
    f"{{{{ {MARK} }}}} {{% raw %}} ${{{MARK}}}",
    f"</script><script>{MARK}()</script>",
    f"-->{MARK}<!--",
    "con.json",
    ".",
    "..",
    "__proto__ ",
    "constructor!",
    "%2e%2e%2f",
    "\u00e9\u6f22\u5b57" * 50,
    "'; drop",
    "a|b`c$d\\e_f^{g}~",
)
TEXT = f"{SCRIPT}\x00\x1b[2J\u202e\u200f\u2028]]>\\u003c/script> " + "x" * 2000


def _evaluations(one: Record, name: str) -> Record:
    """The record with its target evaluation called otherwise, and its items, and what was said."""
    evaluation = one.cell.evaluation.model_copy(
        update={"target": [name], "general": [*one.cell.evaluation.general]}
    )
    changed = one.cell.model_copy(update={"evaluation": evaluation})

    def renamed(score: Score) -> Score:
        items = [
            item.model_copy(update={"response": TEXT, "id": f"{name} {at}"})
            for at, item in enumerate(score.items)
        ]
        return score.model_copy(update={"evaluation": name, "items": items, "metric": name})

    sides = {}
    for part in ("before", "after"):
        if (known := getattr(one, part)) is not None:
            sides[part] = known.model_copy(update={"target": {name: renamed(*known.target.values())}})
    return one.model_copy(update={"cell": changed, "id": changed.id, **sides})


def hostile() -> Iterator[Record]:
    """Records that the schema takes, whose words and numbers are as bad as they may be."""
    for at, name in enumerate(NAMES):
        variant = LORA.model_copy(update={"name": name, "settings": {name: name, "rank": at}})
        task = cell(LORA, "sums", 0).task.model_copy(update={"name": name, "source": name, "digest": name})
        base = BaseRef(name=name, digest=name)
        texts = {"error": TEXT, "notes": [TEXT, name], "weights": name, "rows": name, "data": {name: name}}
        where = record(cell(LORA, "sums", 0)).provenance.model_copy(
            update={
                "command": TEXT,
                "device": name,
                "commit": name,
                "created": name,
                "versions": {name: name},
            }
        )
        places = [{"variant": variant}, {"task": task}, {"track": name, "base": base}]
        for seed, changes in enumerate(
            places if at < BOARDS else places[:2]
        ):  # a board has its charts to draw
            changed = cell(LORA, "sums", seed).model_copy(update=changes)
            made = record(changed, provenance=where, effect=EFFECT, adapted_modules=[name], **texts)
            yield _evaluations(made, name) if at % 2 else made
    yield from _numbers()


def _numbers() -> Iterator[Record]:
    """Records whose numbers are none, or extreme, where a record may say so."""
    odd = scores("sums_test", 2, (3, 2, 2), math.inf, math.nan)
    empty = {
        "sums_test": scores("sums_test", 2, (3, 2, 2), 1, 1)
        .target["sums_test"]
        .model_copy(update={"items": []})
    }
    points = [
        CurvePoint(phase=p, step=s, loss=v, learning_rate=None)
        for p, s, v in ((1, 0, math.nan), (0, -5, 1e99), (1, 0, -math.inf))
    ]
    one = cell(PISSA, "sums", 7)
    yield record(
        one, after=odd, curve=points, trainable_parameters=0, total_parameters=0, start_loss=math.nan
    )
    for seed, changes in enumerate(
        (
            {
                "after": odd.model_copy(update={"target": empty}),
                "before": odd.model_copy(update={"target": empty}),
            },
            {"after": None},
            {"before": None},
            {"before": None, "after": None, "cost": None},
            {"trainable_parameters": 2**62, "total_parameters": 1},
        ),
        start=8,
    ):
        yield record(cell(PISSA, "sums", seed), **changes)
    foreign = cell(PISSA, "sums", 20).model_copy(
        update={"recipe": None, "learning_rate": None, "seed": None, "source": "0" * 64}
    )
    fields = {SCRIPT: SCRIPT, "/a": math.nan, "/b": 10**18, "/c": None}
    yield record(
        foreign, source=Source(kind="imported", origin=TEXT, label=None, fields=fields, notes={SCRIPT: TEXT})
    )


def _spoiled(folder: Path) -> dict[str, Callable[[], object]]:
    """File -> what puts it there: none of them is a record."""
    good = json.loads(record(cell(LORA, "words", 3)).model_dump_json())

    def as_json(name: str, **changes: Any) -> Callable[[], object]:
        return lambda: (folder / name).write_text(json.dumps({**good, **changes}))

    return {
        "old.json": as_json("old.json", schema_version=1),
        "status.json": as_json("status.json", status=f"<b>{MARK}"),
        "missing.json": as_json("missing.json", provenance={}),
        "extra.json": as_json("extra.json", **{SCRIPT: SCRIPT}),
        "huge.json": as_json("huge.json", error=None, cell=None, id="x" * 10**6),
        f"{good['id']}.json.gz": lambda: (folder / f"{good['id']}.json.gz").write_bytes(b"\x1f\x8b"),
        f"<img src=x onerror={MARK}()>.json": as_json(f"<img src=x onerror={MARK}()>.json"),
        "\x1b[2J\u202e.json": as_json("\x1b[2J\u202e.json"),
        "folder.json": lambda: (folder / "folder.json").mkdir(),
        "pipe.json": lambda: os.mkfifo(folder / "pipe.json"),
        "leaves.json": lambda: (folder / "leaves.json").symlink_to("/etc/hostname"),
        "latin.json": lambda: (folder / "latin.json").write_bytes(b'{"id": "\xe9"}'),
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Built, set[str]]:
    """The folder of a site of all of them, what building it told, and the names of all files around it."""
    around = tmp_path_factory.mktemp("around")
    store = Store(around / "store")
    for one in (*examples(), *examples_of_others(), *hostile()):
        store.write(one)
    for put in _spoiled(around / "store" / "records").values():
        put()
    before = {str(file) for file in around.rglob("*")}
    built = build(around / "store", around / "site", 1)
    outside = {str(file) for file in around.rglob("*") if not file.is_relative_to(around / "site")} - before
    return around / "site", built, outside


def test_records_are_shown_and_files_that_are_none_are_named(site: tuple[Path, Built, set[str]]) -> None:
    out, built, outside = site
    shown = len(examples()) + len(examples_of_others()) + len(list(hostile()))
    assert built.records == shown
    assert len(built.rejected) == len(_spoiled(out))
    assert all(one.reason.isprintable() and one.file.isprintable() for one in built.rejected)
    about = (out / "about.html").read_text(encoding="utf-8")
    assert "old.json" in about and "a record of schema 1" in about
    assert outside == set()
    assert not [file for file in out.rglob("*") if file.is_symlink()]


class Page(HTMLParser):
    """What of a page could run or load, and whether its elements are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.words = ""
        self._within: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Scripts are files of ours, links lead to our own pages, and no attribute runs or styles."""
        known = dict(attrs)
        self._within = tag if tag in ("script", "style") else self._within
        if tag == "script" and not re.fullmatch(r"(static|data|charts)/[\w./-]+\.js", known.get("src") or ""):
            self.faults.append(f"script {known}")
        if tag in ("iframe", "object", "embed", "base", "form", "style"):
            self.faults.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name in ("style", "srcdoc", "formaction"):
                self.faults.append(f"{tag} {name}={value}")
            if name in ("href", "src") and not self._ours(value or ""):
                self.faults.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        """A script has ended."""
        self._within = None if tag == self._within else self._within

    def handle_data(self, data: str) -> None:
        """A script has no text of its own."""
        if self._within == "script" and data.strip():
            self.faults.append(f"inline script {data[:80]!r}")

    def _ours(self, link: str) -> bool:
        """A page or file of the site, by a name that the site makes; or one that our templates link to."""
        return (
            bool(re.fullmatch(r"(\w[\w./-]*)?(\?[\w=&%.-]*)?(#[\w.:%-]*)?", link)) and ".." not in link
        ) or ((link == "data:," or link.startswith("https://")) and MARK not in link)


def test_nothing_of_theirs_runs(site: tuple[Path, Built, set[str]]) -> None:
    pages = sorted(site[0].rglob("*.html"))
    assert len(pages) > len(NAMES)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        found = Page()
        found.feed(text)
        found.close()
        assert found.faults == [], page.name
        policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
        assert policy and unescape(policy[1]).startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy[1]
        assert "\x00" not in text and "\x1b" not in text


def test_names_of_files_are_ours(site: tuple[Path, Built, set[str]]) -> None:
    for file in site[0].rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", file.name) and len(file.name) < 120, file.name


def test_data_are_one_string_each(site: tuple[Path, Built, set[str]]) -> None:
    files = sorted((site[0] / "data").rglob("*.js"))
    assert len(files) > 50
    for file in files:
        text = file.read_text(encoding="utf-8")
        told = re.fullmatch(r'suiteData\(("(?:[^"\\]|\\.)*"),("(?:[^"\\]|\\.)*")\);\n', text)
        assert told, file.name
        value = json.loads(json.loads(told[2]), parse_constant=_no_number)
        assert value is not None
        assert "</script" not in text.lower() and "<!--" not in text


def _no_number(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_other_json_is_json(site: tuple[Path, Built, set[str]]) -> None:
    for file in site[0].rglob("*.json"):
        if not file.name.startswith("."):
            json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_number)


def test_pictures_hold_no_scripts(site: tuple[Path, Built, set[str]]) -> None:
    pictures = sorted(site[0].rglob("*.svg"))
    assert pictures
    for file in pictures:
        for element in ElementTree.parse(file).iter():
            assert element.tag.rpartition("}")[2] not in ("script", "foreignObject", "a", "use"), file.name
            names = {name.rpartition("}")[2] for name, _ in element.items()}
            assert not [name for name in names if name.startswith("on") or name == "href"], file.name
