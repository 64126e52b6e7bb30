"""What scores of others can tell apart: one run each, and of no item whether it was right."""

from __future__ import annotations

import math
from typing import Any

import pytest

from suite.outside_scores import Reported, reported, title_of
from suite.record import Record
from tests.example_records.make import imported


def run(name: str, score: float | None, n: int | None = None, **changes: Any) -> Record:
    made = imported(name, score, **changes)
    if made.after is None:
        return made
    target = {at: one.model_copy(update={"n": n}) for at, one in made.after.target.items()}
    return made.model_copy(update={"after": made.after.model_copy(update={"target": target})})


def only(records: list[Record]) -> Reported:
    (found,) = reported(records)
    return found


def test_they_are_ranked_with_ties_over_the_items_of_the_source() -> None:
    scores = {"a": 0.50, "b": 0.48, "c": 0.30, "d": 0.29}
    found = only([run(name, value, n=1000) for name, value in scores.items()])
    assert [(title_of(one.record), one.rank, one.ties) for one in found.runs] == [
        ("a", 1, 1),
        ("b", 1, 1),
        ("c", 3, 1),
        ("d", 3, 1),
    ]
    assert (found.items, found.items_from, found.scored) == (1000, "source", 4)
    assert found.ranking is not None and found.ranking.neighbours_apart == 1
    assert found.runs[0].share is not None and found.runs[0].share.low < 0.5 < found.runs[0].share.high


def test_where_the_source_is_silent_the_scores_themselves_tell() -> None:
    found = only([run("a", 650 / 1319), run("b", 300 / 1319), run("c", 0.0)])
    assert (found.items, found.items_from) == (1319, "scores")
    assert [one.share.right for one in found.runs if one.share] == [650, 300, 0]


@pytest.mark.parametrize("scores", [(0.513, 0.48), (0.5, 0.25), (1 / 3, 2**-0.5)])
def test_where_nobody_tells_nothing_is_ranked(scores: tuple[float, float]) -> None:
    found = only([run(str(k), value) for k, value in enumerate(scores)])
    assert (found.items, found.items_from, found.ranking) == (None, None, None)
    assert [(one.rank, one.share, one.ties) for one in found.runs] == [(None, None, None)] * 2
    assert [one.score for one in found.runs] == sorted(scores, reverse=True)


def test_a_run_without_a_score_is_last_and_has_no_number() -> None:
    stopped = run("stopped", None).model_copy(update={"status": "failed"})
    found = only([stopped, run("b", 0.4, n=500), run("a", 0.3, n=500)])
    assert [one.score for one in found.runs] == [0.4, 0.3, None]
    assert (found.runs[-1].rank, found.runs[-1].share, found.scored) == (None, None, 2)


def test_a_score_of_a_run_that_failed_is_none() -> None:
    assert only([run("a", 0.3, n=500, status="failed"), run("b", 0.2, n=500)]).scored == 1


@pytest.mark.parametrize("value", [1.2, -0.1, math.nan, math.inf])
def test_what_is_no_share_is_not_ranked_as_one(value: float) -> None:
    found = only([run("odd", value, n=500), run("b", 0.2, n=500)])
    assert found.scored == 1 and found.runs[-1].score is None


def test_the_order_of_the_records_changes_nothing() -> None:
    records = [run("a", 0.5, n=900), run("b", 0.5, n=900), run("c", 0.1, n=900)]
    assert reported(records) == reported(records[::-1])
    assert reported([]) == []
