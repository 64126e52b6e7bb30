"""The front page of a board: what it shows, what looks alike, how large it gets, and that text stays text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from leaderboard import best, compare, front
from leaderboard.columns import columns
from leaderboard.files import Files
from leaderboard.shown import SIZES, Scale, size_class
from leaderboard.site import Site
from suite.reading import Rejected
from suite.record import Cost, Record
from suite.statistics import Interval
from tests.leaderboard.planted import TOTAL, board_of, method, site_of

TASKS = ("sums", "words")


def records() -> list[Record]:
    """Whole, two that are tied, one noisy, one far behind and at its default rate too."""
    return [
        *method("whole", (95, 96, 97), TASKS, trainable=TOTAL, rate=1.8e-3, forgets=40),
        *method("twin-a", (80, 82, 84), TASKS, rate=1.8e-3, forgets=10, settings={"rank": 8, "alpha": 16}),
        *method("twin-b", (81, 83, 85), TASKS, rate=3.2e-3, forgets=10, settings={"rank": 16}),
        *method("low", (30, 31, 32), TASKS, rate=1e-3, default=1.8e-3, forgets=1, trainable=100),
    ]


@pytest.fixture(scope="module")
def site() -> Site:
    return site_of(records(), badge="verified", rejected=[Rejected("x.json", "no record")])


@pytest.fixture(scope="module")
def page(site: Site) -> str:
    return front.page(site, site.boards[0])


def row(page: str, name: str) -> str:
    (found,) = [one for one in re.findall(r"<tr class=.*?</tr>", page, re.S) if f"<bdi>{name}</bdi>" in one]
    return found


def test_the_page_is_where_its_board_says(site: Site, tmp_path: Path) -> None:
    files = Files(tmp_path)
    front.write(files, site)
    assert files.written == {"index.html"}
    assert (tmp_path / "index.html").read_text() == front.page(site, site.boards[0])


def test_the_answer_comes_before_the_table(page: str) -> None:
    assert page.index('class="verdict"') < page.index("<table")
    assert "whole" in re.search(r'class="verdict">(.*?)</p>', page, re.S).group(1)  # type: ignore[union-attr]
    assert "3 seeds" in page and "100 test items each" in page


def test_a_row_shows_what_it_gained_lost_and_cost(page: str, site: Site) -> None:
    found = row(page, "twin-a")
    for part in ("+82.0<i>[", "+10.0<i>[", "4.1K<i>0.41 %", "150 MiB", "21.0 s", ">6 ok</a>", "0.0018"):
        assert part in found, part
    assert f'href="variant-twin-a.html#{site.boards[0].id}-twin-a"' in found
    assert (
        "\N{MINUS SIGN}" in page and "None" not in page and "nan" not in page.lower().replace("finance", "")
    )


def test_what_cannot_be_told_apart_looks_so(page: str) -> None:
    ranked = {
        name: re.search(r'<td class="rank( \w+)?">(.)', row(page, name))
        for name in ("whole", "twin-a", "twin-b", "low")
    }
    assert {name: found.groups() for name, found in ranked.items() if found} == {
        "whole": (None, "1"),
        "twin-a": (" tied", "2"),
        "twin-b": (" tied", "2"),
        "low": (None, "4"),
    }
    assert "<i>tied</i>" in row(page, "twin-a") and "<i>tied</i>" not in row(page, "low")
    assert '<td class="best" data-k="96' in row(page, "whole")
    assert 'class="near" data-k="83' not in row(page, "twin-b")  # its gain is told from the best


def test_a_row_knows_what_it_cannot_be_told_from(page: str) -> None:
    """As bits, of the ranked rows in their order: whole, twin-b, twin-a, low."""
    order = ("whole", "twin-b", "twin-a", "low")
    bits = [re.findall(r'data-near="(\w+)"', row(page, name)) for name in order]
    assert bits == [["0"], ["4"], ["2"], ["0"]]


def test_a_winner_beside_a_noisy_row_is_not_tied() -> None:
    site = site_of([*method("a", (90, 91, 89)), *method("b", (60, 61, 59)), *method("c", (15, 55, 95))])
    page = front.page(site, site.boards[0])
    assert '<td class="rank">1<' in row(page, "a") and '<td class="rank open">1<i>not ruled out' in row(
        page, "c"
    )


def test_a_column_marks_what_is_near_its_best() -> None:
    board = board_of(method("a", (88, 90, 92)), method("b", (89, 91, 93)), method("c", (20, 21, 22)))
    found = best.beside_best(best.gains(board))
    assert found is not None and (found.best, found.near) == ("b", {"a"})
    assert best.by_rank(board) == found
    lower = best.beside_best(best.gains(board), lower=True)
    assert lower is not None and (lower.best, lower.near) == ("c", frozenset())
    assert best.beside_best({}) is None


def test_the_best_of_a_column_is_chosen_by_looking() -> None:
    """A pair that is apart on its own (p 0.02) is not, once any of ten pairs could have been the best."""
    board = board_of(method("a", (60, 61, 62)), method("b", (68, 72, 76)))
    two = best.gains(board)
    assert best.beside_best(two) == best.Beside("b", frozenset())
    many = {**two, **{f"{name} {at}": by for at in range(4) for name, by in two.items()}}
    found = best.beside_best(many)
    assert found is not None and found.best == "b" and "a" in found.near


def test_default_rows_follow_without_a_rank() -> None:
    from tests.suite.test_standings import WHOLE, searched

    site = site_of([*searched(WHOLE, 3.2e-3, 90)])
    page = front.page(site, site.boards[0])
    found = re.findall(r"<tr class=.*?</tr>", page, re.S)
    assert [one.split('"')[1] for one in found] == ["tuned", "default"]
    assert '<td class="rank">\N{EN DASH}<i>default rate</i>' in found[1] and "data-near" not in found[1]
    assert "high edge" in found[0] and "high edge" not in found[1]


def test_scores_of_others_get_the_same_page() -> None:
    bare = [one.model_copy(update={"before": None}) for one in method("a", (50,), items=False)]
    site = site_of(bare)
    page = front.page(site, site.boards[0])
    assert "Mean score" in page and "50.0" in page and "Mean gain" not in page and "Rank</th>" not in page


def test_a_row_of_fewer_seeds_says_so() -> None:
    site = site_of([*method("a", (50, 52, 54)), *method("b", (51, 53))])
    page = front.page(site, site.boards[0])
    assert "2 of 3 seeds" in row(page, "b") and "of 3 seeds" not in row(page, "a")


def test_times_of_two_devices_carry_their_device() -> None:
    there = method("b", (51, 53))[0].provenance.model_copy(update={"device": "elsewhere"})
    site = site_of([*method("a", (50, 52)), *method("b", (51, 53), provenance=there)])
    page = front.page(site, site.boards[0])
    assert "<i>elsewhere</i>" in row(page, "b") and "Times on 2 devices do not compare" in page
    packed = Cost(train_wall_s=9.0, pack=4)
    pack = site_of(method("a", (50, 52), cost=packed))
    assert "9.0 s<i>in a pack</i>" in row(front.page(pack, pack.boards[0]), "a")


def test_badges_are_told_once_or_by_row(page: str, site: Site) -> None:
    assert "all records verified" in page and "verified" not in row(page, "low")
    mixed = Site(site.boards, site.entries, (), ())
    view = mixed.boards[0]
    rows = tuple(
        type(one)(
            one.key,
            one.href,
            one.place,
            tuple(type(e)(e.record, e.store, None, ()) for e in one.entries),
            one.cost,
        )
        if one.label == "low"
        else one
        for one in view.rows
    )
    board = replace(view, rows=rows)
    found = front.page(Site((board,), site.entries, (), ()), board)
    assert (
        "all records" not in found
        and ">verified<" in row(found, "whole")
        and ">verified<" not in row(found, "low")
    )


def test_filters_are_there_where_they_choose(page: str) -> None:
    assert re.findall(r'data-filter="(\w+)"', page) == ["task", "setting", "size"]
    assert '<option value="8">8</option><option value="16">16</option><option value="none">' in page
    assert 'id="base"' not in page and "1 file was no record" in page


def moved(one: Record, name: str) -> Record:
    """The same cell on another base."""
    base = one.cell.base.model_copy(update={"name": "second-base", "digest": "fedcba9876543210"})
    return one.model_copy(update={"id": name, "cell": one.cell.model_copy(update={"base": base})})


def test_boards_of_one_track_lead_to_each_other() -> None:
    cells = method("a", (50, 52))
    other = [moved(one, f"{at:016x}") for at, one in enumerate(cells)]
    site = site_of([*cells, *other])
    assert len(site.boards) == 2
    page = front.page(site, site.boards[0])
    assert f'<option value="{site.boards[1].href}">' in page and 'id="base"' in page


def test_hostile_names_stay_text() -> None:
    name = "<script>alert(1)</script>\" onmouseover='x' \u202e=cmd|"
    site = site_of([*method(name, (50, 52), settings={"x": "<img src=x onerror=y>"}), *method("b", (51, 53))])
    page = front.page(site, site.boards[0])
    assert "<script>alert" not in page and "<img src=x" not in page and "style=" not in page
    assert not re.search(r"<[^>]*\son\w+=", page)
    long = site_of(method("b" * 3000, (50, 52), settings={"x": "y" * 1_000_000}))
    assert len(front.page(long, long.boards[0])) < 100_000


def test_a_bar_lies_on_the_scale_of_its_column() -> None:
    one = Interval(5.0, 0.0, 10.0, 1.0, 5.0, 3, 100)
    scale = Scale.of([one])
    assert scale.path(one) == "M1 4H77M39 0v8" and scale.ends == "0 10"
    assert Scale.of([Interval(5.0, 5.0, 5.0, 0.0, 1.0, 1, 1)], zero=False).path(one).startswith("M")


def test_size_classes() -> None:
    shares = {"0.0009": 900, "0.001": 1000, "0.05": 50_000, "0.1": 100_000, "1": TOTAL}
    found = [size_class(board_of(method("a", (5, 6), trainable=count)).rows[0]) for count in shares.values()]
    assert found == ["<0.1", "0.1-1", "1-10", ">10", ">10"] and len(SIZES) == 4


def test_columns_of_a_board(site: Site) -> None:
    found = [column.key for column in columns(site.boards[0], {}) if column.usual]
    first = ["rank", "gain", "task sums", "task words", "forgetting", "regret"]
    assert found == [*first, "rate", "parameters", "memory", "time", "cells"]


def test_two_hundred_methods_fit_into_the_page(page: str) -> None:
    """With 200 methods of three tasks, each with a default row, and 40 ties told, it stays below 500 KB."""
    names = [f"a-method-with-a-name-{at:03d}" for at in range(12)]
    cells = [one for at, name in enumerate(names) for one in method(name, (40 + at, 50), (*TASKS, "more"))]
    site = site_of([*cells, *method("whole", (95, 96), (*TASKS, "more"), trainable=TOTAL)])
    found = front.page(site, site.boards[0])
    rows = re.findall(r"<tr class=.*?</tr>", found, re.S)
    assert len(rows) == 13
    each = max(len(one.encode()) for one in rows) + 200 // 4  # and the bits of 200 rows
    assert len(found.encode()) - sum(len(one.encode()) for one in rows) + 400 * each < 500_000


def test_pairs_that_the_page_does_not_compare_are_told_as_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [one for at in range(6) for one in method(f"m {at}", (50 + at, 51 + at))]
    whole = site_of(records)
    page = front.page(whole, whole.boards[0])
    assert "suite compare" not in page and page.count('href="compare.html?board=') >= 15
    monkeypatch.setattr(compare, "MOST", 3)
    monkeypatch.setattr(front, "TIES", 14)
    page = front.page(whole, whole.boards[0])
    there = [row.key for row in compare.compared(whole.boards[0])]
    linked = re.findall(r'href="compare\.html\?board=[^"]*?&amp;a=([^"&]+)&amp;b=([^"&]+)"', page)
    assert len(there) == 3 and {key for pair in linked for key in pair} == set(there)
    assert "suite compare &#39;m 5&#39; &#39;m 0&#39;" in page
    assert ">compare any two</a> of the first 3 rows, others by <code>suite compare A B</code>." in page
    monkeypatch.setattr(compare, "MOST", 0)
    page = front.page(whole, whole.boards[0])
    assert "compare.html?" not in page and "compare any two by <code>suite compare A B</code>." in page


def test_a_row_carries_what_its_filters_ask_for() -> None:
    shares = method("a", (50, 52), trainable=99_996)  # of a million: below a tenth, though '10 %' is shown
    page_of = site_of([*shares, *method("b", (51, 53), settings={"rank": 8})])
    page = front.page(page_of, page_of.boards[0])
    assert 'data-size="1-10" data-setting="none"' in page and 'data-size="0.1-1" data-setting="8"' in page
    assert "<i>10 %</i>" in page


def test_the_ties_that_are_explained_are_those_of_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of([*method("a", (52, 53, 54)), *method("b", (30, 52, 72)), *method("c", (49, 50, 51))])
    board = site.boards[0]
    assert [row.label for row in board.ranked] == ["a", "b", "c"]
    first = board.standings.ties[0]
    assert {first.a, first.b} == {"a", "c"}, "the pair that is known best stands apart"
    monkeypatch.setattr(front, "TIES", 2)
    shown = re.findall(r'<tr><th scope="row" class="t">(.*?)</th>', front.page(site, board))
    told = [re.findall(r"<bdi>(\w)</bdi>", one) for one in shown]
    assert told == [["b", "a"], ["c", "b"]] and "1 more pairs cannot be told apart" in front.page(site, board)
