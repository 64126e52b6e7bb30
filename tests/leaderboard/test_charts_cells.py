"""Pictures of cells, not of rows: loss against rate, training, ranks; and how axes and names are placed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from leaderboard.charts import ranks, rates, training
from leaderboard.charts.axes import around, log_ticks
from leaderboard.charts.drawing import Picture, Row
from leaderboard.charts.labels import placed
from leaderboard.charts.searched import Curves
from leaderboard.charts.series import series
from leaderboard.charts.words import listed, share
from leaderboard.site import BoardView, Site
from suite.record import DeltaRank, Record, Search, VariantRef
from tests.example_records.make import EFFECT
from tests.leaderboard.planted import board_of, method, site_of
from tests.suite.curves import trial

GRID = [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2]


def _rows(picture: Picture | None, **wanted: Any) -> list[Row]:
    assert picture is not None
    return [row for row in picture.rows if all(row[key] == value for key, value in wanted.items())]


def _board(*methods: Sequence[Record]) -> tuple[BoardView, Any]:
    board = board_of(*methods)
    return board, series(board)


def _searched(name: str, losses: Sequence[float], documented: float) -> list[Record]:
    """A search over GRID whose seeds differ by a percent; its best rate was read on test."""
    variant = VariantRef(name=name, settings={}, revision=1)
    best = min(range(len(GRID)), key=lambda i: losses[i])
    search = Search(method="grid", rates=GRID, default=documented, role="trial")
    found = []
    for i, (rate, loss) in enumerate(zip(GRID, losses, strict=True)):
        for seed in (0, 1, 2):
            one = trial(variant, rate, seed, loss * (1 + 0.01 * seed) if loss else loss)
            if i == best:
                whole = method(name, [50])[0]
                after = whole.after and whole.after.model_copy(
                    update={"log_loss": {"validation": loss * (1 + 0.01 * seed)}}
                )
                one = one.model_copy(update={"measured": "all", "before": whole.before, "after": after})
            found.append(one.model_copy(update={"search": search}))
    return found


def _rates(whole: Site) -> Picture | None:
    (board,) = whole.boards
    shared = series(board)
    return rates.picture(Curves(whole).of(board, shared), shared)


def test_loss_curves_tell_where_they_are_lowest() -> None:
    valley = _searched("valley", [1.0, 0.6, 0.4, 0.6, math.inf], documented=GRID[2])
    slope = _searched("slope", [0.3, 0.5, 0.7, 0.9, 1.1], documented=GRID[4])
    beside = _searched("beside", [1.0, 0.6, 0.4, 0.6, 1.0], documented=GRID[3])
    picture = _rates(site_of([*valley, *slope, *beside]))
    assert picture
    assert (
        "Searches whose lowest loss lies inside what was tried: 2 of 3; not so slope on sums."
        in picture.sentence
    )
    assert "The documented rate lies within the optimum's 95 % interval in 1 of 3." in picture.sentence
    assert "3 cells diverged (crosses at the top)." in picture.sentence
    crosses = _rows(picture, what="diverged")
    assert {(row["variant"], row["rate"], row["loss"]) for row in crosses} == {("valley", GRID[4], None)}
    assert {row["seed"] for row in crosses} == {0, 1, 2}
    assert len(_rows(picture, what="seed")) == 42
    (mean,) = _rows(picture, what="mean", variant="slope", rate=GRID[0])
    assert mean["loss"] == pytest.approx(0.3 * 1.01)
    (lowest,) = _rows(picture, what="optimum", variant="valley")
    assert lowest["low"] < lowest["rate"] < lowest["high"] and GRID[1] < lowest["rate"] < GRID[3]
    assert {row["rate"] for row in _rows(picture, what="documented")} == {GRID[2], GRID[3], GRID[4]}


def test_rows_at_one_rate_have_no_loss_curve() -> None:
    assert _rates(site_of(method("m", [50, 52]))) is None


def test_training_curves_are_joined_and_averaged() -> None:
    whole = site_of(method("m", [50, 52, 54]))
    (board,) = whole.boards
    points = {0: 4.0, 1: 2.0, 2: 3.0}
    (row,) = board.rows
    entries = tuple(
        replace(
            entry,
            curve=((0, 0, 8.0), (0, 9, points[entry.record.cell.seed or 0]), (1, 0, math.nan), (1, 9, 1.0)),
        )
        for entry in row.entries
    )
    board = replace(board, rows=(replace(row, entries=entries),))
    picture = training.picture(board, series(board))
    means = _rows(picture, what="mean")
    assert [(one["step"], one["loss"]) for one in means] == [(0, 8.0), (9, 3.0), (19, 1.0)]
    assert len(_rows(picture, what="seed")) == 9
    assert picture and "mean over 3 seeds, each seed faint" in picture.sentence
    assert "m: in phases, drawn one after the other." in picture.sentence
    assert "sums: 1.00 (m)" in picture.sentence
    ends = [entries[0], replace(entries[1], curve=entries[1].curve[:2]), entries[2]]
    short = replace(board, rows=(replace(board.rows[0], entries=tuple(ends)),))
    told = [one["step"] for one in _rows(training.picture(short, series(short)), what="mean")]
    assert told == [0, 9], "no mean where a seed has no point"
    without = site_of(method("m", [50])).boards[0]
    assert training.picture(without, series(without)) is None


def _ranked(name: str, ninety: Sequence[int]) -> list[Record]:
    found = []
    for one, value in zip(method(name, [50, 52]), ninety, strict=True):
        rank = DeltaRank(numeric=16, stable=2.5, ninety=value, full=64)
        names = [
            "model.layers.0.self_attn.q_proj.weight",
            "model.layers.1.mlp.up_proj.weight",
            "model.embed.weight",
        ]
        effect = EFFECT.model_copy(update={"ranks": dict.fromkeys(names, rank)})
        found.append(one.model_copy(update={"effect": effect}))
    return found


def test_ranks_are_means_over_seeds() -> None:
    board, shared = _board(_ranked("thin", [2, 4]), _ranked("wide", [30, 34]), method("silent", [10, 12]))
    picture = ranks.picture(board, shared)
    assert {(row["variant"], row["layer"], row["module"], row["ninety"]) for row in picture.rows} == {
        ("thin", 0, "q_proj", 3.0),
        ("thin", 1, "up_proj", 3.0),
        ("wide", 0, "q_proj", 32.0),
        ("wide", 1, "up_proj", 32.0),
    }
    assert "mean over weights: thin 3.0 and wide 32.0; there could be 64." in picture.sentence
    assert "Without ranks in their records: 1 more." in picture.sentence
    assert "Weights outside of layers are not drawn." in picture.sentence
    none = ranks.picture(*_board(method("silent", [10, 12])))
    assert none.chart is None and none.sentence == ranks.NONE


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.layers.3.self_attn.q_proj.weight", (3, "q_proj")),
        ("transformer.h.11.mlp.c_fc.weight", (11, "c_fc")),
        ("lm_head.weight", None),
        ("x.99999.y", None),
        ("0.", (0, "0.")),
    ],
)
def test_a_weight_is_placed_by_its_name(name: str, place: Any) -> None:
    assert ranks.place(name) == place


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (30, 56, [30, 35, 40, 45, 50, 55]),
        (15e3, 2e6, [3e4, 1e5, 3e5, 1e6]),
        (0.9e-3, 0.11, [1e-3, 3e-3, 1e-2, 3e-2, 1e-1]),
        (2, 3, [2.0, 2.2, 2.4, 2.6, 2.8, 3.0]),
        (1e-9, 1e9, [1e-9, 1e-5, 1e-1, 1e3, 1e7]),
    ],
)
def test_log_axes_have_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    found = log_ticks(low, high)
    assert found == pytest.approx(ticks[: len(found)]) and len(found) <= 6
    assert around([low, high])[0] < low and around([low, high])[1] > high
    assert log_ticks(5.0, 5.0001)


def test_names_beside_points_cover_nothing() -> None:
    spread = [{"variant": "a", "x": 0.0, "y": 0.0}, {"variant": "long name", "x": 10.0, "y": 10.0}]
    assert [row["side"] for row in placed(spread, ("x",), ("y",), 300)] == ["right", "left"]
    heap = [{"variant": f"variant {at}", "x": at / 100, "y": at / 100} for at in range(20)]
    heap.append({"variant": "far", "x": 100.0, "y": 100.0})
    sides = [row["side"] for row in placed(heap, ("x",), ("y",), 300)]
    assert sides.count("") >= 17 and sides[-1] == "left"


def test_words() -> None:
    assert listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c" and listed([]) == "none"
    assert listed(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"
    assert (share(0.999), share(0.001), share(1.0), share(0.0)) == ("> 99 %", "< 1 %", "100 %", "0 %")
