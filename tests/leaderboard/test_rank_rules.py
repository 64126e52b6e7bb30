"""Who is ranked, and what no rank may claim: seeds that agree by luck, one seed, tasks that few rows have."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from leaderboard.answer import answer, tiers
from leaderboard.site import site
from suite import statistics
from suite.reading import Kept, Reading
from suite.record import Record
from suite.standings import Standings, standings
from suite.statistics import Sample
from tests.leaderboard.planted import board_of, method

Badge = Literal["verified", "community"] | None


def _ranks(found: Standings) -> dict[str, int | None]:
    return {place.row.label: place.rank for place in found.places}


def _binary(generator: np.random.Generator, right: list[int], items: int = 100) -> Sample:
    """Exactly so many right items by seed; which ones is drawn for each seed alone."""
    values = np.zeros((len(right), items))
    for row, count in zip(values, right, strict=True):
        row[generator.permutation(items)[:count]] = 100.0
    return Sample(tuple(range(len(right))), tuple(map(str, range(items))), values, limits=(0.0, 100.0))


def test_seeds_that_agree_to_the_last_item_prove_nothing() -> None:
    generator = np.random.default_rng(5)
    found = []
    for _ in range(40):
        a, b = _binary(generator, [60, 61, 62]), _binary(generator, [66, 67, 68])
        found.append(statistics.compare(a, b))
    assert min(each.p for each in found) > 1e-3
    assert min(each.interval.high - each.interval.low for each in found) > 2.0


def test_equal_variants_with_next_to_no_noise_of_seeds_are_no_order() -> None:
    """30 variants, 435 pairs: 5 % of such families may hold a wrong claim; half a floor made it 20 %."""
    generator = np.random.default_rng(11)
    items, wrong = tuple(map(str, range(250))), 0
    for _ in range(40):
        ease = generator.standard_normal(250)
        made = {}
        for name in range(30):
            luck = 0.02 * generator.standard_normal((3, 1)) + 0.5 * generator.standard_normal((3, 250))
            right = (ease + luck) / np.sqrt(1.25) < 1.28  # 90 % of the answers
            made[str(name)] = {"sums": Sample((0, 1, 2), items, 100.0 * right, limits=(0.0, 100.0))}
        wrong += any(pair.verdict != "cannot tell" for pair in statistics.ranks(made).pairs)
    assert wrong <= 2


def test_a_row_of_one_seed_is_not_ranked_beside_rows_of_three() -> None:
    rows = [method("a", [50, 65, 35]), method("b", [45, 60, 38]), method("lucky", [66])]
    (found,) = standings([one for row in rows for one in row])
    assert _ranks(found) == {"a": 1, "b": 1, "lucky": None}
    assert any("lucky is not ranked: one finished seed on sums" in fault for fault in found.faults)
    (alone,) = standings([*method("a", [60]), *method("b", [10])])
    assert _ranks(alone) == {"a": 1, "b": 2}, "where all have one seed, they are ranked by their items"


def test_a_task_of_two_rows_unranks_no_other() -> None:
    rows = [one for i in range(6) for one in method(f"m{i}", [50 + i, 51 + i, 52 + i], tasks=("s", "t"))]
    rows += [one for i in (0, 1) for one in method(f"m{i}", [50, 51, 52], tasks=("u",))]
    (found,) = standings(rows)
    assert found.tasks == ("s", "t") and None not in _ranks(found).values()


def test_rows_without_a_rank_are_told_beside_the_answer() -> None:
    rows = method("a", [50, 51, 49], tasks=("s", "t", "u")) + method("b", [10, 11, 12], tasks=("s", "t", "u"))
    board = board_of([*rows, *method("super", [80, 81, 79], tasks=("s", "t"))])
    found = answer(board, tiers(board), None)
    text = "".join(part if isinstance(part, str) else part.label for part in found.headline)
    assert text == "a: it gained more than every other ranked method, beyond doubt."
    told = ["".join(part if isinstance(part, str) else part.label for part in said) for said in found.sure]
    assert "Not ranked, and not in this answer: super." in told


def test_what_would_be_seen_among_all_pairs_is_more_than_of_one_alone() -> None:
    rows = [
        method(name, right) for name, right in (("a", [50, 53, 51]), ("b", [52, 50, 54]), ("c", [20, 22, 25]))
    ]
    (found,) = standings([one for row in rows for one in row])
    for pair in found.pairs:
        assert pair.visible > pair.comparison.detectable > 0
    (two,) = standings([*rows[0], *rows[1]])
    (pair,) = two.pairs
    assert pair.visible == pytest.approx(pair.comparison.detectable)


def test_records_of_the_community_move_no_verified_row() -> None:
    verified = [*method("a", [50, 52, 51]), *method("b", [60, 62, 61])]
    more = [one for one in method("a", [50, 52, 51, 99, 99]) if one.cell.seed in (3, 4)]
    own = method("c", [40, 41, 43])

    def kept(records: list[Record], badge: Badge) -> list[Kept]:
        return [Kept(one, str(badge), badge, ()) for one in records]

    alone = site(Reading(tuple(kept(verified, "verified")), (), ()))
    both = [*kept(verified, "verified"), *kept([*more, *own], "community")]
    together = site(Reading(tuple(both), (), ()))
    gains = [{row.label: row.place.gain for row in one.boards[0].rows} for one in (alone, together)]
    assert gains[0]["a"] == gains[1]["a"] and gains[1].keys() == {"a", "b", "c"}
    assert {one.file for one in together.rejected} == {f"community/{one.id}" for one in more}
    local = site(Reading((*kept(verified, None), *kept(more, None)), (), ()))
    assert len({row.label: row.entries for row in local.boards[0].rows}["a"]) == 5, "one's own count together"
