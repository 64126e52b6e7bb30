"""Text that anybody may have written, wherever it is put: seen for what it is, and run by nothing."""

from __future__ import annotations

import csv
import io

from leaderboard import front
from leaderboard.charts.drawing import as_csv, clean
from leaderboard.text import HIDDEN, csv_line
from tests.leaderboard.planted import method, site_of

SEEN = "a\u200bb\u00adc\u2065d\ufff9e\u202ef\u0007g"


def test_a_page_shows_what_cannot_be_seen() -> None:
    whole = site_of([*method(SEEN, (50, 52)), *method("b", (51, 53))])
    page = front.page(whole, whole.boards[0])
    assert not {ord(one) for one in page} & HIDDEN
    assert "a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf\u2407g" in page


def test_a_picture_shows_what_cannot_be_seen() -> None:
    assert clean(f"{SEEN}\nh\ti") == "a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf\ufffdg\ufffdh\ufffdi"


def test_the_data_of_a_picture_run_nothing_in_a_spreadsheet() -> None:
    texts = ["=1", " =1", "\t=1", "\r=1", "\u00a0-1", "a;=1", 'a"b', "a=1"]
    text = as_csv([{"name": one, "value": at - 3.5} for at, one in enumerate(texts)])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == ["name", "value"] and [row[1] for row in rows[1:3]] == ["-3.5", "-2.5"]
    assert [row[0] for row in rows[1:]] == [
        "'=1", "' =1", "'\t=1", "'\r=1", "'\u00a0-1", "a;=1", 'a"b', "a=1",
    ]  # fmt: skip
    assert csv_line(["a;=1"]) == '"a;=1"'
