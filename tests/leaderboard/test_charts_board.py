"""What each picture of a board shows and says, with data whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from leaderboard import charts
from leaderboard.charts import costs, forest, pairs, plane
from leaderboard.charts.drawing import Picture, Row
from leaderboard.charts.series import OTHERS, ROWS, series
from leaderboard.site import BoardView
from suite.record import Record
from tests.leaderboard.planted import RATES, board_of, method, site_of


def _rows(picture: Picture | None, **wanted: Any) -> list[Row]:
    assert picture is not None
    return [row for row in picture.rows if all(row[key] == value for key, value in wanted.items())]


def _board(*methods: Sequence[Record]) -> tuple[BoardView, Any]:
    board = board_of(*methods)
    return board, series(board)


def test_the_plane_marks_what_no_other_beats_in_both() -> None:
    strong, mild = method("strong", [80, 81], forgets=40), method("mild", [40, 42], forgets=5)
    beaten = method("beaten", [30, 31], forgets=20)
    picture = plane.picture(*_board(strong, mild, beaten))
    assert {row["variant"] for row in _rows(picture, in_front=True)} == {"strong", "mild"}
    assert picture and "than strong (> 99 %) and mild (100 %)" in picture.sentence
    assert "At 95 % or more stands strong and mild" in picture.sentence
    best = plane.picture(*_board(strong, mild, beaten, method("best", [95, 95], forgets=1)))
    assert best and "than best (100 %);" in best.sentence
    (row,) = _rows(picture, variant="strong")
    board = board_of(strong, mild, beaten)
    place = next(one.place for one in board.rows if one.label == "strong")
    assert place.gain and place.forgetting
    assert (row["gain"], row["gain_low"], row["gain_high"]) == (
        place.gain.value,
        place.gain.low,
        place.gain.high,
    )
    assert (row["forgetting"], row["forgetting_high"]) == (place.forgetting.value, place.forgetting.high)


def test_rows_at_default_rates_are_hollow_and_keep_the_colour() -> None:
    tuned = [
        one.model_copy(update={"after": one.after.model_copy(update={"log_loss": {"validation": 0.1}})})
        for one in method("m", [60, 62], rate=RATES[1], default=RATES[0])
        if one.after
    ]
    default = method("m", [50, 52], rate=RATES[0], default=RATES[0])
    board, shared = _board(tuned, default)
    picture = plane.picture(board, shared)
    assert {(row["variant"], row["series"], row["rates"]) for row in _rows(picture)} == {
        ("m", "m", "tuned"),
        ("m (default)", "m", "default"),
    }
    assert picture and "Hollow: at default rates." in picture.sentence
    assert shared.order == ["m", "m (default)"]


def test_a_pair_is_seen_from_both_sides() -> None:
    board, shared = _board(method("high", [80, 82]), method("low", [20, 21]), method("low2", [20, 21]))
    picture = pairs.picture(board, shared)
    assert len(_rows(picture)) == 6
    (up,), (down,) = _rows(picture, row="high", column="low"), _rows(picture, row="low", column="high")
    assert up["difference"] == pytest.approx(60.5) and up["verdict"] == "better" and up["sign"] == "▲"
    assert (down["difference"], down["difference_low"], down["difference_high"]) == (
        -up["difference"],
        -up["difference_high"],
        -up["difference_low"],
    )
    assert down["verdict"] == "worse" and down["sign"] == "▼"
    (tie,) = _rows(picture, row="low", column="low2")
    assert (tie["verdict"], tie["sign"]) == ("cannot tell", "=")
    assert picture and "Of 3 pairs 2 can be told apart; most often better: high (2 of 2)" in picture.sentence
    alone = pairs.picture(*_board(method("a", [50, 51]), method("b", [50, 51])))
    assert alone and alone.sentence.startswith("The one pair cannot be told apart; ")
    assert pairs.picture(*_board(method("a", [50, 51]))) is None


def test_gains_are_told_by_task() -> None:
    board, shared = _board(
        method("good", [80, 82], tasks=("sums", "words")), method("none", [0, 0], tasks=("sums", "words"))
    )
    picture = forest.gains(board, shared)
    assert {(row["panel"], row["variant"]) for row in _rows(picture)} == {
        (task, name) for task in ("sums", "words") for name in ("good", "none")
    }
    assert (
        picture
        and "sums: 1 of 2 have a gain whose interval lies above zero, most by estimate good (+81.0)."
        in picture.sentence
    )
    unsure = forest.gains(*_board(method("unsure", [2, 30]), method("good", [80, 82])))
    assert unsure and "sums: 1 of 2 have a gain" in unsure.sentence
    for row in _rows(picture):
        gain = next(one.place.gains[row["panel"]] for one in board.rows if one.label == row["variant"])
        assert gain and (row["value"], row["value_low"], row["value_high"]) == (
            gain.value,
            gain.low,
            gain.high,
        )


def test_forgetting_is_told_by_skill() -> None:
    board, shared = _board(method("keeps", [50, 52], forgets=0), method("loses", [50, 52], forgets=40))
    picture = forest.skills(board, shared)
    assert {row["value"] for row in _rows(picture, variant="keeps")} == {0.0}
    assert [row["value"] for row in _rows(picture, variant="loses")] == pytest.approx([40.0] * 3)
    assert picture
    told = "1 of 2 have a forgetting whose interval lies above zero, least by estimate keeps (0.0)."
    assert picture.sentence.count(told) == 3


def _cost(records: Sequence[Record], **changes: Any) -> list[Record]:
    return [
        one.model_copy(update={"cost": one.cost.model_copy(update=changes)}) for one in records if one.cost
    ]


def test_costs_are_drawn_as_they_are() -> None:
    small, large = method("small", [50, 52], trainable=1000), method("large", [70, 72], trainable=8000)
    wasteful = method("wasteful", [20, 22], trainable=8000)
    found = {one.kind: one for one in costs.pictures(*_board(small, large, wasteful))}
    told = found["parameters"].sentence
    assert told.startswith(
        "From 1K (small) to 8K (large); by the estimates no other variant gains more for less"
    )
    assert "than large and small." in told and "stand beside each other" in told
    at = {row["variant"]: (row["cost"], row["drawn_at"]) for row in found["parameters"].rows}
    assert at["small"] == (1000, 1000)
    assert at["large"][0] == at["wasteful"][0] == 8000 and at["large"][1] != at["wasteful"][1]
    assert 0.9 < at["large"][1] / 8000 < 1.1
    assert {row["cost"] for row in found["memory"].rows} == {150.0}
    assert "All with one way of counting memory: live-tensors." in found["memory"].sentence
    assert "All with one device: synthetic." in found["time"].sentence


def test_costs_that_cannot_be_compared_are_not_drawn() -> None:
    one, other = method("a", [50, 52]), method("b", [60, 62])
    elsewhere = [
        each.model_copy(update={"provenance": each.provenance.model_copy(update={"device": "other"})})
        for each in _cost(other, memory_method="counted otherwise")
    ]
    found = {each.kind: each for each in costs.pictures(*_board(one, elsewhere))}
    assert found["parameters"].chart is not None
    assert found["memory"].chart is None and found["time"].chart is None
    assert (
        "more than one way of counting memory (counted otherwise and live-tensors)"
        in found["memory"].sentence
    )
    assert "more than one device (other and synthetic)" in found["time"].sentence
    ref = found["time"].ref("time-x")
    assert not ref.drawn
    silent = {each.kind: each for each in costs.pictures(*_board(one, _cost(other, peak_memory_bytes=None)))}
    assert " 1 more without a number." in silent["memory"].sentence


def test_a_variant_has_one_colour_and_the_ninth_has_none() -> None:
    many = [method(f"m{at}", [90 - 5 * at, 88 - 5 * at]) for at in range(10)]
    whole = method("whole", [10, 12], trainable=999_999)
    _, shared = _board(*many, whole)
    assert shared.coloured == (*(f"m{at}" for at in range(7)), "whole"), (
        "what regret is measured from has one"
    )
    assert shared.group("m8") == OTHERS and shared.grey
    assert shared.scale().to_dict()["domain"] == [*shared.coloured, OTHERS]
    assert shared.legend(["m2", "m8"]).to_dict()["values"] == ["m2", OTHERS]


def test_names_that_look_alike_stay_apart() -> None:
    _, shared = _board(method("a\u200b", [50, 52]), method("a\u200c", [40, 42]), method("others", [30, 32]))
    assert sorted(shared.names.values()) == ["a\ufffd", "a\ufffd (2)", "others (2)"]


def test_large_boards_are_cut_and_say_so() -> None:
    board, _ = _board(*(method(f"m{at:02}", [60, 62]) for at in range(4)))
    rows = tuple(
        replace(board.rows[at % 4], key=f"k{at}", place=board.rows[at % 4].place) for at in range(ROWS + 6)
    )
    big = replace(board, rows=rows)
    picture = plane.picture(big, series(big))
    assert picture and len(picture.rows) == ROWS
    assert picture.sentence.endswith(f"Of {ROWS + 6} rows the {ROWS} best-ranked are drawn.")


def test_the_pictures_of_a_board_are_known_before_they_are_drawn() -> None:
    whole = site_of([*method("a", [50, 52]), *method("b", [60, 62])])
    refs = charts.of_board(whole.boards[0], whole)
    assert [ref.kind for ref in refs] == [
        "plane",
        "pairs",
        "gains",
        "skills",
        "parameters",
        "memory",
        "time",
        "ranks",
    ]
    assert [ref.drawn for ref in refs] == [True] * 7 + [False]
    assert all(ref.name == f"{ref.kind}-{whole.boards[0].id}" for ref in refs)
