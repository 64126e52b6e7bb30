"""What scripts and the build must say alike: numbers as text, fields of a CSV file, what cannot be seen."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from leaderboard import pages
from leaderboard.text import HIDDEN, csv_line
from suite import words

Url = Callable[[str], str]
PYTHON: dict[str, Callable[[Any], str]] = {
    "points": pages.points,
    "nats": lambda value: pages.minus(words.nats(value)),
    "score": words.score,
    "rate": words.rate,
    "count": words.count,
    "bytes": pages.size,
    "duration": words.duration,
    "p": lambda value: "< 0.001" if value < 0.001 else f"{value:.3f}",
    "percent": lambda value: f"{value:.3g} %",
}
CASES = [
    ("points", 0.25, "+0.2"),
    ("points", 0.35, "+0.3"),  # below half-way in binary
    ("points", -0.75, "\u22120.8"),
    ("points", -0.04, "0.0"),
    ("nats", -0.0001, "0.000"),
    ("nats", 0.0625, "+0.062"),
    ("nats", -0.4125, "\u22120.412"),
    ("score", 47.25, "47.2"),
    ("score", 0.0, "0.0"),
    ("rate", 1e-5, "1e-05"),
    ("rate", 0.0001, "0.0001"),
    ("rate", 0.00031622776, "0.000316228"),
    ("rate", 1234567.0, "1.23457e+06"),
    ("rate", 0.0, "0"),
    ("rate", 3.0, "3"),
    ("count", 0, "0"),
    ("count", 999, "999"),
    ("count", 31_250, "31.2K"),
    ("count", 999_499, "999K"),
    ("count", 999_950, "1M"),
    ("count", 999_999_999, "1B"),
    ("count", 12_345_678_901_234, "12,346B"),
    ("bytes", 1023, "1023 B"),
    ("bytes", 32_000, "31.2 KiB"),
    ("bytes", 1000 * 1024 - 100, "1,000 KiB"),
    ("bytes", 1010 * 1024, "1,010 KiB"),
    ("bytes", 1500 * 2**30, "1,500 GiB"),
    ("duration", 8.25, "8.2 s"),
    ("duration", 59.95, "1 min 00 s"),
    ("duration", 64.5, "1 min 04 s"),
    ("duration", 7800.0, "2 h 10 min"),
    ("p", 0.0625, "0.062"),
    ("p", 0.00099, "< 0.001"),
    ("percent", 31.25, "31.2 %"),
    ("percent", 0.0000123, "1.23e-05 %"),
]


@pytest.mark.parametrize(("kind", "value", "text"), CASES)
def test_a_number_as_the_build_writes_it(kind: str, value: float, text: str) -> None:
    assert PYTHON[kind](value) == text


def test_scripts_write_numbers_as_the_build_does(page: Page, url: Url) -> None:
    page.goto(url("about.html"))
    draw = random.Random(6)
    whole = ("count", "bytes")
    every = [(kind, value) for kind, value, _ in CASES]
    for kind in PYTHON:
        for _ in range(400):
            value = math.exp(draw.uniform(-12, 28)) if kind in ("rate", *whole) else draw.uniform(0, 5000)
            halves = round(value * 16) / 16  # half-way between two numbers of a digit or three
            for one in (value, halves, -value if kind in ("points", "nats") else value):
                every.append((kind, int(one) if kind in whole else one))
    shown = page.evaluate("every => every.map(([kind, value]) => suite.format[kind](value))", every)
    expected = [PYTHON[kind](value) for kind, value in every]
    pairs = zip(every, shown, expected, strict=True)
    assert [one for one in pairs if one[1] != one[2]] == []
    absent = page.evaluate("kinds => kinds.map(kind => suite.format[kind](null))", [*PYTHON])
    assert set(absent) == {pages.absent()}


def test_what_cannot_be_seen_is_the_same_for_scripts(page: Page, url: Url) -> None:
    page.goto(url("cell.html"))
    found = page.evaluate(
        "[...Array(0x10000).keys()].filter(code => String.fromCharCode(code).search(drill.HIDDEN) >= 0)"
    )
    assert set(found) == HIDDEN
    assert {0x200B, 0x200D, 0xAD, 0x2060, 0x2065, 0xFFF9, 0xFFFB, 0x202E, 0} <= HIDDEN
    assert not HIDDEN & {0x0A, 0x09, 0x20, 0x41, 0x2212}


FIELDS = [
    ("=1+1", "'=1+1"),
    (" =1+1", "' =1+1"),
    ("\t@x", "'\t@x"),
    ("\rx", '"\'\rx"'),
    ("\n-2", '"\'\n-2"'),
    ("\u00a0+1", "'\u00a0+1"),
    ("\ufeff=1", "'\ufeff=1"),
    ("a;=1", '"a;=1"'),
    ('say "hi", you', '"say ""hi"", you"'),
    ("plain", "plain"),
    ("a = b", "a = b"),
    (-2.5, "-2.5"),
    (None, ""),
]


def test_a_field_of_a_table_runs_nothing_in_a_spreadsheet(page: Page, url: Url) -> None:
    page.goto(url("about.html"))
    values, expected = [value for value, _ in FIELDS], [text for _, text in FIELDS]
    assert [csv_line([value]) for value in values] == expected
    assert page.evaluate("all => all.map(suite.field)", values) == expected


def test_the_terms_of_the_guide_are_laid_out(page: Page, url: Url) -> None:
    page.goto(url("about.html"))
    terms = page.locator("dl.terms")
    assert terms.evaluate("one => getComputedStyle(one).display") == "grid"
    assert (
        page.evaluate(
            """() => {
            const cell = document.createElement("td");
            cell.className = "wrap";
            document.querySelector("main").append(cell);
            return getComputedStyle(cell).overflowWrap;
        }"""
        )
        == "anywhere"
    )
