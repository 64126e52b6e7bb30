"""The answer card says what the standings can support, on boards whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from leaderboard import best
from leaderboard.answer import Answer, Tiers, answer, budget, tiers
from leaderboard.said import beats, difference, pairs_of
from leaderboard.site import BoardView
from suite.record import Cost, Record
from tests.leaderboard.planted import TOTAL, board_of, method

HIGH, MIDDLE, LOW = (90, 91, 89), (60, 61, 59), (30, 31, 29)
NOISY = (15, 55, 95)


def ask(*methods: Sequence[Record]) -> tuple[BoardView, Tiers, Answer]:
    board = board_of(*methods)
    found = tiers(board)
    lost = best.beside_best(best.forgetting(board, found.tied), lower=True)
    return board, found, answer(board, found, lost)


def text(parts: Sequence[object]) -> str:
    return "".join(part if isinstance(part, str) else part.label for part in parts)  # type: ignore[attr-defined]


def picked(found: Answer) -> dict[str, str]:
    return {pick.question: f"{text(pick.said)} | {text(pick.note)}" for pick in found.picks}


def names(rows: Sequence[object]) -> list[str]:
    return [row.label for row in rows]  # type: ignore[attr-defined]


def test_one_winner() -> None:
    board, found, said = ask(method("a", HIGH), method("b", MIDDLE), method("c", LOW))
    assert [row.place.rank for row in board.ranked] == [1, 2, 3]
    assert said.verdict == "one" and names(found.tied) == ["a"] and names(found.behind) == ["b", "c"]
    assert text(said.headline) == "a: it gained more than every other method, beyond doubt."
    assert text(said.sure[0]) == "3 of 3 pairs of methods told apart (at most 5 % risk of any wrong claim)."
    assert text(said.behind).startswith("b (\N{MINUS SIGN}30.0 [") and ", c (\N{MINUS SIGN}60.0 [" in text(
        said.behind
    )
    assert picked(said)["Trains"] == "4.1K (0.41 %) | "


def test_all_tied() -> None:
    _, found, said = ask(method("a", (50, 52, 54)), method("b", (51, 53, 55)), method("c", (50, 51, 52)))
    assert said.verdict == "tied" and names(found.tied) == ["b", "a", "c"] and not found.behind
    assert text(said.headline) == "The data cannot tell any of the 3 methods from the others. Best guess: b."
    assert text(said.sure[0]).startswith("0 of 3 pairs")
    assert [line.tier for line in said.lines] == ["best", "tied", "tied"]
    assert said.behind == ()
    two = ask(method("a", (50, 52, 54)), method("b", (51, 53, 55)))[2]
    assert text(two.headline) == "The data cannot tell either method from the other. Best guess: b."


def test_a_tie_with_others_behind() -> None:
    _, found, said = ask(method("a", (88, 90, 92)), method("b", (89, 91, 93)), method("c", LOW))
    assert names(found.tied) == ["b", "a"] and names(found.behind) == ["c"]
    assert text(said.headline) == "b is the best guess, but the data cannot tell it from a."
    difference = said.lines[1].difference
    assert difference is not None and round(difference.value, 6) == -1.0
    assert text(said.sure[2]).startswith("a beside b: \N{MINUS SIGN}1.0 [")


def test_a_noisy_row_is_not_ruled_out_and_not_recommended() -> None:
    """It shares rank 1 with a mean below that of a row that is behind beyond doubt."""
    board, found, said = ask(method("a", HIGH), method("b", MIDDLE), method("noisy", NOISY))
    assert {row.label: row.place.rank for row in board.ranked} == {"a": 1, "b": 2, "noisy": 1}
    assert names(found.tied) == ["a"] and names(found.open) == ["noisy"]
    assert text(said.headline) == "a gained most. Beside it only results too noisy to tell are not ruled out."
    assert [(line.row.label, line.tier) for line in said.lines] == [("a", "best"), ("noisy", "open")]
    assert all("noisy" not in told for told in picked(said).values())


def test_a_noisy_row_is_known_by_its_interval_too() -> None:
    _, found, _ = ask(method("a", HIGH), method("noisy", NOISY))
    assert names(found.tied) == ["a"] and names(found.open) == ["noisy"]
    _, both, _ = ask(method("a", NOISY), method("noisy", (10, 50, 90)))
    assert names(both.open) == []  # two noisy ones are told as a tie


def test_a_row_below_one_that_is_behind_is_open_however_wide_the_others_are() -> None:
    """Its interval is no wider than that of the best; its mean lies below that of b, which is behind."""
    board, found, _ = ask(method("a", (68, 84, 99)), method("b", (48, 64, 79)), method("x", (78, 60, 46)))
    assert {row.label: row.place.rank for row in board.ranked} == {"a": 1, "b": 2, "x": 1}
    wide = {row.label: row.place.gain.high - row.place.gain.low for row in board.ranked if row.place.gain}
    assert wide["x"] < 2 * wide["a"] and names(found.open) == ["x"]


def test_a_difference_is_told_from_either_side() -> None:
    board, _, _ = ask(method("a", HIGH), method("b", LOW))
    pairs = pairs_of(board.standings.pairs)
    first, second = board.ranked
    there, back = difference(pairs, first, second), difference(pairs, second, first)
    assert there and back and (there.value, there.low, there.high) == (-back.value, -back.high, -back.low)
    assert there.value == -60 and there.low < -60 < there.high
    assert beats(pairs, first, second) and not beats(pairs, second, first)


def test_the_best_may_not_be_apart_from_a_row_that_another_beats() -> None:
    """x is behind b and not behind a: nobody may say that a is better than x."""
    board, found, said = ask(method("a", (70, 99, 99)), method("b", (87, 86, 88)), method("x", (74, 73, 75)))
    beaten = {(pair.a, pair.b): pair.verdict for pair in board.standings.pairs}
    assert beaten[("b", "x")] == "worse" and beaten[("a", "x")] == "cannot tell"
    assert names(found.tied) == ["a", "b"] and " to b)" in text(said.behind)


def test_nobody_is_told_to_be_behind_the_best_if_only_another_beats_it() -> None:
    board = board_of(method("a", HIGH), method("b", MIDDLE), method("c", LOW))
    pairs = tuple(
        replace(pair, verdict="cannot tell") if {pair.a, pair.b} == {"a", "c"} else pair
        for pair in board.standings.pairs
    )
    board = replace(board, standings=replace(board.standings, pairs=pairs))
    said = answer(board, tiers(board), None)
    assert text(said.headline).startswith("a is the best guess") and text(said.headline).endswith("from c.")
    assert " to b)" in text(said.behind)


def test_one_method() -> None:
    _, _, said = ask(method("a", HIGH))
    assert said.verdict == "alone" and "nothing to compare it with" in text(said.headline)
    assert not any("pairs" in text(one) for one in said.sure)


def test_no_ranks() -> None:
    _, found, said = ask(method("a", HIGH, items=False), method("b", LOW, items=False))
    assert found.best is None and said.verdict == "none"
    assert text(said.headline).startswith("Not to be told from these records")
    assert said.lines == () and said.budget


def test_scores_alone() -> None:
    external = [
        one.model_copy(update={"before": None})
        for one in method("a", HIGH, items=False) + method("b", LOW, items=False)
    ]
    _, _, said = ask(external)
    assert said.verdict == "scores" and "a has the highest mean score, 90.0" in text(said.headline)


def test_what_trains_less_than_the_whole_model() -> None:
    whole = method("whole", (92, 94, 96), trainable=TOTAL)
    board, _, said = ask(whole, method("a", (88, 90, 92)), method("b", (87, 89, 91)), method("c", LOW))
    assert board.standings.reference == "whole"
    assert picked(said)["Without training the whole model"].startswith("a +90.0 [")
    assert picked(said)["Without training the whole model"].endswith("| not told from b")
    behind = ask(method("whole", LOW, trainable=TOTAL), method("a", HIGH))[2]
    none = ask(method("a", HIGH), method("b", LOW))[2]
    for other in (behind, none):
        assert "Without training the whole model" not in picked(other)


def test_within_the_tie() -> None:
    _, found, said = ask(
        method("a", (88, 90, 92), forgets=30, trainable=4096),
        method("b", (89, 91, 93), forgets=5, trainable=8192),
        method("c", LOW, forgets=0, trainable=1),
    )
    assert names(found.tied) == ["b", "a"]
    assert picked(said)["Forgets least"].startswith("b +5.0 [") and picked(said)["Forgets least"].endswith(
        "beyond doubt"
    )
    assert picked(said)["Trains fewest"] == "a 4.1K (0.41 %) | "
    near = ask(method("a", (88, 90, 92), forgets=6), method("b", (89, 91, 93), forgets=6))[2]
    assert picked(near)["Forgets least"].endswith("| not told from b")


def test_memory_of_two_ways_and_times_of_two_devices_do_not_compare() -> None:
    cost = Cost(train_wall_s=5.0, peak_memory_bytes=1, memory_method="other", pack=1)
    there = method("b", (89, 91, 93))[0].provenance.model_copy(update={"device": "elsewhere"})
    _, _, said = ask(method("a", (88, 90, 92)), method("b", (89, 91, 93), cost=cost, provenance=there))
    assert picked(said)["Needs least memory"] == "cannot be said | counted in 2 ways"
    assert picked(said)["Trains fastest"] == "cannot be said | ran on 2 devices"
    _, _, none = ask(method("a", (88, 90, 92)), method("b", (89, 91, 93), cost=None))
    assert picked(none)["Trains fastest"] == "cannot be said | not measured of 1 of 2"


def test_without_forgetting() -> None:
    cells = [*method("a", (88, 90, 92)), *method("b", (89, 91, 93))]
    bare = [
        one.model_copy(
            update={
                "before": one.before.model_copy(update={"general": {}}) if one.before else None,
                "after": one.after.model_copy(update={"general": {}}) if one.after else None,
            }
        )
        for one in cells
    ]
    _, _, said = ask(bare)
    assert said.verdict == "tied" and "Forgets least" not in picked(said)


def test_one_seed_and_no_gain_are_told() -> None:
    _, _, said = ask(method("a", (2,)), method("b", (1,)))
    told = [text(one) for one in said.sure]
    assert any(one.startswith("One seed") for one in told)
    assert any(one.startswith("Not sure whether a gains anything") for one in told)


def test_the_budget() -> None:
    board = board_of(
        method("a", HIGH, ("sums", "words"), rate=1e-3), method("b", LOW, ("sums", "words"), rate=1e-3)
    )
    assert budget(board) == (
        "2 tasks (sums, words)",
        "3 seeds",
        "100 test items each",
        "3 learning rates tried of each method, chosen on validation",
    )
    assert budget(board_of(method("a", HIGH)))[-1] == "learning rates not searched for"
