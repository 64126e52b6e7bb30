"""Shares of which nothing but the share is known: against scipy, published examples and a made-up truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from suite.errors import UserError
from suite.seeds import seed_for
from suite.statistics.proportions import items_behind, rank_shares, share, two_shares


@pytest.mark.parametrize(("right", "items"), [(0, 10), (10, 10), (3, 7), (677, 1319), (1318, 1319)])
def test_the_interval_is_wilsons(right: int, items: int) -> None:
    expected = stats.binomtest(right, items).proportion_ci(method="wilson")
    found = share(right, items)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(("a", "b"), [((56, 70), (48, 80)), ((0, 20), (7, 30)), ((5, 5), (4, 9))])
def test_the_test_is_chi_square_without_a_correction(a: tuple[int, int], b: tuple[int, int]) -> None:
    table = [[a[0], a[1] - a[0]], [b[0], b[1] - b[0]]]
    expected = stats.chi2_contingency(table, correction=False).pvalue
    value, *_, p = two_shares(share(*a), share(*b))
    assert (value, p) == pytest.approx((b[0] / b[1] - a[0] / a[1], expected))


@pytest.mark.parametrize(
    ("a", "b", "low", "high"),
    [  # Newcombe 1998, table II, method 10, to four digits
        ((48, 80), (56, 70), 0.0524, 0.3339),
        ((3, 10), (9, 10), 0.1705, 0.8090),
        ((2, 7), (6, 7), 0.0582, 0.8062),
        ((0, 29), (5, 56), -0.0381, 0.1926),
    ],
)
def test_the_interval_of_a_difference_is_newcombes(
    a: tuple[int, int], b: tuple[int, int], low: float, high: float
) -> None:
    assert two_shares(share(*a), share(*b))[1:3] == pytest.approx((low, high), abs=5e-5)


def test_shares_that_are_alike_cannot_be_told_apart() -> None:
    nothing = share(0, 30)
    assert two_shares(nothing, nothing)[3] == 1.0
    assert two_shares(share(9, 30), share(9, 30))[3] == pytest.approx(1.0)


def test_ranks_are_one_and_how_many_are_better_beyond_doubt() -> None:
    found = rank_shares(
        {name: share(right, 1000) for name, right in dict(c=300, a=515, b=500, d=480).items()}
    )
    assert list(found.shares) == ["a", "b", "d", "c"]
    assert found.ranks == {"a": 1, "b": 1, "d": 1, "c": 4}
    assert found.tied_with_first == ("b", "d")
    assert found.neighbours_apart == 1
    assert found.pair("c", "a").verdict == found.pair("a", "c").verdict
    assert (found.pair("a", "c").a, found.pair("a", "c").verdict) == ("a", "worse")


def test_holm_is_over_all_pairs() -> None:
    shares = {str(k): share(500, 1000) for k in range(20)} | {"best": share(548, 1000)}
    alone = two_shares(shares["0"], shares["best"])[3]
    found = rank_shares(shares)
    assert alone < 0.05 and found.ranks["0"] == 1
    assert found.pair("best", "0").p == pytest.approx(min(1.0, 210 * alone))


def test_equal_methods_are_rarely_told_apart() -> None:
    generator = np.random.default_rng(seed_for(0, "equal shares"))
    wrong = sum(
        max(
            rank_shares(
                {str(k): share(int(generator.binomial(500, 0.4)), 500) for k in range(8)}
            ).ranks.values()
        )
        > 1
        for _ in range(300)
    )
    assert wrong <= stats.binom.ppf(0.999, 300, 0.05)


def test_how_many_items_is_read_off_scores_that_are_written_in_full() -> None:
    assert items_behind([k / 1319 for k in (0, 677, 1319, 5)]) == 1319
    assert items_behind([k / 1172 for k in (3, 300, 586)]) == 1172


@pytest.mark.parametrize(
    "values",
    [
        [0.513, 0.4],  # rounded: 1,000 items and three digits look alike
        [0.5, 0.625],
        [0.0, 1.0],
        [],
        [1 / 3, 2**-0.5],
        [1 / 19_997, 1 / 19_993],  # together more items than any of our benchmarks has
        [1.5],
        [float("nan")],
        [-0.25],
    ],
)
def test_where_the_scores_do_not_tell_nothing_is_assumed(values: list[float]) -> None:
    assert items_behind(values) is None


@pytest.mark.parametrize(("right", "items"), [(1, 0), (-1, 5), (6, 5)])
def test_what_is_no_share_is_refused(right: int, items: int) -> None:
    with pytest.raises(UserError, match="no share"):
        share(right, items)


def test_nothing_cannot_be_ranked() -> None:
    with pytest.raises(UserError, match="no shares"):
        rank_shares({})
