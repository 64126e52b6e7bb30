"""The page of two rows: the numbers are those of `suite compare`, whichever way round."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from leaderboard import compare
from leaderboard.files import Files
from leaderboard.site import Site
from suite.compare import Pairs, versus
from suite.statistics.noise import noise
from tests.example_records.make import examples, examples_of_others
from tests.leaderboard.planted import method, site_of
from tests.leaderboard.site_files import Page, value

EVIL = "\"><script>alert('x')</script>\u202e/../#?&"


def _written(tmp_path: Path, site: Site) -> Files:
    files = Files(tmp_path)
    compare.write(files, site)
    return files


def _three() -> list:
    tasks = ("sums", "words")
    return [
        *method("low", [50, 52, 54], tasks),
        *method("high", [90, 91, 92], tasks),
        *method("near", [53, 50, 55], tasks),
    ]


def test_every_pair_has_the_numbers_of_suite_compare(tmp_path: Path) -> None:
    records = _three()
    site = site_of(records)
    _written(tmp_path, site)
    (board,) = site.boards
    for a, b in combinations(board.rows, 2):
        found = value(tmp_path, f"compare/{board.id}/{a.key}")[b.key]
        (one,) = versus(records, a.label, b.label)
        assert len(found["lines"]) == len(one.lines) and found["notes"] == list(one.notes)
        for shown, line in zip(found["lines"], one.lines, strict=True):
            assert (shown["task"], shown["quantity"], shown["verdict"]) == (
                line.task,
                line.quantity,
                line.verdict,
            )
            change = line.comparison.interval
            assert shown["change"] == pytest.approx(
                [change.value, change.low, change.high], rel=1e-5, abs=1e-9
            )
            assert shown["a"][0] == pytest.approx(line.a.value, rel=1e-5)
            assert [shown["p"], shown["holm"]] == pytest.approx([line.comparison.p, line.p], rel=1e-5)
            assert shown["detectable"] == pytest.approx(line.comparison.detectable, rel=1e-5)
            assert [each[:3] for each in shown["flips"]] == [[f.seed, f.only_a, f.only_b] for f in line.flips]


def test_a_tie_says_what_its_noise_is_made_of(tmp_path: Path) -> None:
    site = site_of(_three())
    _written(tmp_path, site)
    (board,) = site.boards
    rows = {row.label: row for row in board.rows}
    first, second = sorted((rows["low"], rows["near"]), key=board.rows.index)
    lines = value(tmp_path, f"compare/{board.id}/{first.key}")[second.key]["lines"]
    read = Pairs(board.standings.board, {e.record.id: e.record for row in board.rows for e in row.entries})
    tied = [line for line in lines if line["verdict"] == "cannot tell"]
    assert tied and all(line["noise"] for line in tied)
    for line in tied:
        tasks = [line["task"]] if line["task"] else ["sums", "words"]
        wanted = noise(
            *({t: read.sample(row.place.row, line["quantity"], t) for t in tasks} for row in (first, second))
        )
        assert line["noise"]["seeds"] == pytest.approx(wanted.seeds, rel=1e-5)
        assert line["noise"]["more_seeds"] == wanted.more_seeds
    clear = value(tmp_path, f"compare/{board.id}/{board.rows[0].key}")
    assert any(line["noise"] is None for pair in clear.values() for line in pair["lines"])


def test_rows_that_cannot_be_compared_say_why(tmp_path: Path) -> None:
    site = site_of([*method("here", [60, 61], ("sums",)), *method("there", [60, 61], ("words",))])
    _written(tmp_path, site)
    (board,) = site.boards
    found = value(tmp_path, f"compare/{board.id}/{board.rows[0].key}")
    assert "nothing to compare" in found[board.rows[1].key]["fault"]


def test_tables_of_others_are_not_compared(tmp_path: Path) -> None:
    _written(tmp_path, site_of(examples_of_others()))
    assert value(tmp_path, "compare/index") == []
    assert "No table here has two rows" in "".join(Page((tmp_path / "compare.html").read_text()).text)


def test_a_long_board_is_bounded_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "MOST", 3)
    site = site_of([one for at in range(5) for one in method(f"m{at}", [50 + 8 * at, 51 + 8 * at])])
    files = _written(tmp_path, site)
    (entry,) = value(tmp_path, "compare/index")
    assert [row[1] for row in entry["rows"]] == ["m4", "m3", "m2"] and entry["more"] == 2
    assert sum(path.startswith(f"data/compare/{entry['id']}/") for path in files.written) == 2


def test_the_index_has_ranks_links_and_evaluations(tmp_path: Path) -> None:
    site = site_of(examples())
    _written(tmp_path, site)
    (entry,) = value(tmp_path, "compare/index")
    (board,) = site.boards
    assert entry["rows"] == [
        [row.key, row.label, f"{row.href}#{board.id}-{row.key}", row.place.rank] for row in board.rows
    ]
    assert set(entry["evaluations"]) == {"sums", "words"}


def test_hostile_labels_stay_text(tmp_path: Path) -> None:
    site = site_of([*method(EVIL, [60, 61]), *method("plain", [70, 71])])
    files = _written(tmp_path, site)
    (entry,) = value(tmp_path, "compare/index")
    assert EVIL in [row[1] for row in entry["rows"]]
    assert all(path.isascii() and ".." not in path and "<" not in path for path in files.written)
