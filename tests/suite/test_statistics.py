"""Intervals, tests and ranks against scipy, closed forms, and benchmarks that are made up."""

from __future__ import annotations

import itertools
import time
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from benchmarks.intervals import GAINS, SHARES, family, gains, holds, naive, normal, power, scores
from suite.errors import UserError
from suite.seeds import seed_for
from suite.statistics import (
    Sample,
    compare,
    compare_over_tasks,
    holm,
    improvement,
    interval,
    mcnemar,
    over_tasks,
    pareto,
    permutation,
    ranks,
    regret,
)
from suite.statistics.variance import Part, moments

POINTS = (-100.0, 100.0)


def sample(
    values: np.ndarray,
    limits: tuple[float, float] | None = None,
    seeds: tuple[int, ...] = (),
    groups: tuple[str, ...] = (),
    named: str = "",
) -> Sample:
    count, items = values.shape
    return Sample(
        seeds or tuple(range(count)), tuple(f"{named}{i}" for i in range(items)), values, groups, limits
    )


def noise(shape: tuple[int, ...], *purpose: object) -> np.ndarray:
    return np.random.default_rng(seed_for(0, *purpose)).standard_normal(shape)


def test_with_one_item_it_is_the_t_interval_over_seeds() -> None:
    values = noise((10, 1), "seeds alone")
    low, high = stats.t.interval(0.95, 9, values.mean(), stats.sem(values[:, 0]))
    found = interval(sample(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.df, found.seeds, found.items) == (9, 10, 1)


def test_with_items_that_do_not_differ_it_is_the_t_interval_over_seeds() -> None:
    values = np.repeat(noise((10, 1), "no items"), 30, axis=1)
    low, high = stats.t.interval(0.95, 9, values.mean(), stats.sem(values[:, 0]))
    found = interval(sample(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_with_one_seed_it_is_the_t_interval_over_items_and_says_so() -> None:
    values = noise((1, 40), "items alone")
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values[0]))
    found = interval(sample(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.seeds == 1


def test_with_seeds_that_agree_it_is_the_t_interval_over_items() -> None:
    values = np.repeat(noise((1, 40), "no seeds"), 3, axis=0)
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values[0]))
    found = interval(sample(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_with_many_seeds_both_parts_add_up_as_variances() -> None:
    values = noise((400, 1), "s") + noise((1, 400), "i")
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    expected = np.hypot(*(stats.t.ppf(0.975, 399) * stats.sem(part) for part in (rows, columns)))
    found = interval(sample(values))
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=1e-3)


def test_the_parts_are_the_mean_squares_of_the_two_way_table() -> None:
    values = noise((4, 1), "s") + noise((1, 30), "i") + noise((4, 30), "r")
    rows, columns = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    rest = ((values - rows - columns + values.mean()) ** 2).sum() / (3 * 29)
    between_items = 4 * columns.var(ddof=1)
    found = moments([Part(sample(values))])
    assert found.seed == pytest.approx(30 * rows.var(ddof=1) / 120)
    assert found.item == pytest.approx((between_items - rest) / 120)
    assert found.rest == pytest.approx(rest / 120)
    assert (found.seed_df, found.item_df) == pytest.approx((3, 29))


def test_a_share_of_one_seed_is_agresti_and_coull_with_two_items_added() -> None:
    values = np.array([[100.0] * 30 + [0.0] * 10])
    added = np.append(values[0], [0.0, 100.0])
    low, high = stats.t.interval(0.95, 41, added.mean(), stats.sem(added))
    found = interval(sample(values, (0.0, 100.0)))
    assert (found.low, found.high, found.value) == pytest.approx((low, high, 75.0))


@pytest.mark.parametrize("items", [4, 50, 1000])
@pytest.mark.parametrize("seeds", [1, 3])
def test_outcomes_that_are_all_alike_claim_no_certainty(seeds: int, items: int) -> None:
    found = interval(sample(np.full((seeds, items), 100.0), (0.0, 100.0)))
    wilson = 100 * stats.binomtest(items, items).proportion_ci(method="wilson").low
    assert found.high == found.value == 100.0
    assert found.low == pytest.approx(wilson, abs=0.5 * (100 - wilson))
    same = compare(*[sample(np.zeros((seeds, items)), POINTS)] * 2)
    assert same.interval.low < 0 < same.interval.high
    assert same.p == 1.0 and same.detectable > 0


def test_groups_weigh_the_same_and_their_distance_is_no_noise() -> None:
    few, many = noise((1, 10), "few"), noise((1, 90), "many") + 50
    groups = ("few",) * 10 + ("many",) * 90
    found = interval(sample(np.hstack([few, many]), groups=groups))
    se = np.hypot(stats.sem(few[0]), stats.sem(many[0])) / 2
    assert found.value == pytest.approx((few.mean() + many.mean()) / 2)
    assert found.se == pytest.approx(se)


def test_paired_seeds_take_what_both_share_out() -> None:
    common = 5 * noise((3, 1), "shared seed") + 30 * noise((1, 100), "shared item")
    a, b = common + noise((3, 100), "a"), common + 1 + noise((3, 100), "b")
    paired, apart = compare(sample(a), sample(b)), compare(sample(a), sample(b, seeds=(7, 8, 9)))
    assert (paired.paired_seeds, apart.paired_seeds) == (3, 0)
    assert paired.apart and not apart.apart
    assert paired.interval.value == pytest.approx(apart.interval.value)
    backwards = compare(sample(b), sample(a))
    assert (backwards.interval.low, backwards.p) == pytest.approx((-paired.interval.high, paired.p))


def test_only_common_items_and_seeds_are_compared() -> None:
    a, b = sample(noise((3, 10), "x")), sample(noise((2, 12), "y"), seeds=(2, 1))
    found = compare(a, b)
    expected = b.values[[1, 0], :10].mean() - a.values[1:].mean()
    assert found.interval.value == pytest.approx(expected)
    assert (found.paired_seeds, found.interval.items) == (2, 10)
    with pytest.raises(UserError, match="no item in common"):
        compare(a, sample(noise((3, 10), "z"), named="other"))


@pytest.mark.parametrize("shift", np.linspace(-4, 4, 33))
def test_p_is_below_five_percent_exactly_where_the_interval_leaves_zero_out(shift: float) -> None:
    for seeds in (1, 2, 3, 5):
        values = noise((seeds, 1), "seed", shift) + 8 * noise((seeds, 60), "rest", shift) + shift
        for limits in (None, POINTS):
            found = compare(sample(np.zeros((seeds, 60)), limits), sample(values, limits))
            assert found.apart == (found.interval.low > 0 or found.interval.high < 0)


def test_p_of_one_seed_is_the_paired_t_test() -> None:
    a, b = noise((1, 30), "a"), noise((1, 30), "b") + 0.4
    assert compare(sample(a), sample(b)).p == pytest.approx(stats.ttest_rel(b[0], a[0]).pvalue, rel=1e-6)


def test_detectable_is_the_power_of_the_t_test() -> None:
    found = compare(sample(np.zeros((1, 30))), sample(noise((1, 30), "power")))
    edge = stats.t.ppf(0.975, 29)
    shift = found.detectable / found.interval.se
    assert stats.nct.sf(edge, 29, shift) == pytest.approx(0.8, abs=1e-4)


def test_tasks_weigh_the_same_and_their_seeds_are_their_own() -> None:
    boards = {task: noise((4, 1), task) for task in "abc"}
    found = over_tasks({task: sample(values) for task, values in boards.items()})
    means = [values.mean() for values in boards.values()]
    variance = sum(stats.sem(values[:, 0]) ** 2 for values in boards.values()) / 9
    assert found.value == pytest.approx(np.mean(means))
    assert found.se == pytest.approx(np.sqrt(variance), rel=0.05)
    assert 3 < found.df <= 9


def test_items_that_tasks_share_are_counted_once() -> None:
    item = noise((1, 200), "shared")
    apart = {task: sample(item + 0.01 * noise((3, 200), task), named=task) for task in "ab"}
    shared = {task: sample(item + 0.01 * noise((3, 200), task)) for task in "ab"}
    assert over_tasks(shared).se == pytest.approx(np.sqrt(2) * over_tasks(apart).se, rel=0.02)


def test_holm_of_a_known_family() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("worse", "better"), [(0, 0), (0, 6), (3, 9), (10, 10)])
def test_mcnemar_is_the_binomial_test_of_what_differs(worse: int, better: int) -> None:
    a = np.array([1] * worse + [0] * better + [1, 0, 1])
    b = np.array([0] * worse + [1] * better + [1, 0, 1])
    expected = stats.binomtest(worse, worse + better).pvalue if worse + better else 1.0
    assert mcnemar(a, b) == pytest.approx(expected)
    with pytest.raises(UserError, match="0/1"):
        mcnemar(a * 100, b)


@pytest.mark.parametrize("items", [9, 40])
def test_permutation_is_scipys(items: int) -> None:
    differences = noise((items,), "flips", items) + 0.3
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=9999, rng=1
    )
    assert permutation(differences) == pytest.approx(expected.pvalue, abs=1e-12 if items == 9 else 0.015)
    assert permutation(np.stack([differences, differences])) == permutation(differences)
    assert permutation(np.zeros(5)) == 1.0


def test_permutation_tries_every_pattern_of_few() -> None:
    values = np.array([1.0, 2.0, -4.0, 3.0, 0.0])
    every = [abs(np.dot(signs, values)) for signs in itertools.product((-1, 1), repeat=5)]
    assert permutation(values) == np.mean(np.array(every) >= abs(values.sum()))


def board(shifts: dict[str, float], what: str = "gain") -> dict[str, dict[str, Sample]]:
    return {
        name: {
            task: sample(20 * noise((1, 200), task) + noise((3, 200), what, name, task) + shift)
            for task in "xyz"
        }
        for name, shift in shifts.items()
    }


def test_ranks_are_shared_where_nothing_tells_apart() -> None:
    found = ranks(board({"low": 0, "high": 5, "also high": 5.01}))
    assert {each.variant: each.rank for each in found.standings} == {"high": 1, "also high": 1, "low": 3}
    assert found.rank("low") == 3
    assert found.pair("also high", "high").verdict == "cannot tell"
    assert 0 < found.pair("high", "also high").comparison.detectable < 1
    assert found.pair("low", "high").verdict == "better"
    turned = ranks(board({"low": 0, "high": 5, "also high": 5.01}), higher_is_better=False)
    assert turned.rank("low") == 1 and turned.rank("high") == turned.rank("also high") == 2
    assert turned.pair("low", "high").verdict == "worse"


def test_ranks_need_the_same_tasks() -> None:
    rows = board({"a": 0, "b": 1})
    del rows["b"]["x"]
    with pytest.raises(UserError, match="tasks"):
        ranks(rows)
    with pytest.raises(UserError, match="no variants"):
        ranks({})


def test_a_large_board_is_ranked_in_seconds() -> None:
    rows = board({f"v{i}": float(i) for i in range(30)})
    start = time.process_time()
    assert len(ranks(rows).pairs) == 435
    assert time.process_time() - start < 10


def test_regret_is_what_a_variant_stays_behind() -> None:
    rows = board({"reference": 5, "behind": 3})
    found = regret(rows, "reference")
    assert list(found) == ["behind"]
    assert found["behind"].interval.value == pytest.approx(2, abs=0.3) and found["behind"].apart
    expected = compare_over_tasks(rows["behind"], rows["reference"])
    assert asdict(found["behind"].interval) == pytest.approx(asdict(expected.interval), abs=1e-12)
    with pytest.raises(UserError, match="no reference"):
        regret(rows, "nobody")


def test_the_front_holds_what_nothing_dominates() -> None:
    gain = board({"learns": 10, "keeps": 5, "dominated": 0})
    lost = board({"learns": 8, "keeps": 2, "dominated": 9}, "lost")
    found = pareto(gain, lost)
    assert found == {"learns": 1.0, "keeps": 1.0, "dominated": 0.0}
    twins = pareto(board({"a": 0, "b": 0}), board({"a": 0, "b": 0}, "lost"))
    assert 0.05 < min(twins.values()) <= max(twins.values()) < 0.999
    with pytest.raises(UserError, match="same variants"):
        pareto(gain, {})


def test_improvement_counts_pairs_of_runs() -> None:
    a = {"x": sample(np.array([[1.0, 1.0], [3.0, 3.0]]))}
    b = {"x": sample(np.array([[2.0, 2.0], [3.0, 3.0]]))}
    expected = stats.mannwhitneyu([2, 3], [1, 3]).statistic / 4
    assert improvement(a, b).probability == expected == 0.625
    clear = improvement(board({"a": 0})["a"], board({"b": 50})["b"])
    assert (clear.probability, clear.low, clear.high, clear.tasks) == (1.0, 1.0, 1.0, 3)
    with pytest.raises(UserError, match="tasks"):
        improvement(a, {})


def test_the_same_numbers_come_out_each_time() -> None:
    rows = board({"a": 0, "b": 0.1})
    assert pareto(rows, rows) == pareto(rows, rows)
    assert improvement(rows["a"], rows["b"]) == improvement(rows["a"], rows["b"])


def test_a_sample_that_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="values"):
        Sample((0,), ("a", "b"), np.zeros((2, 2)))
    with pytest.raises(UserError, match="twice"):
        Sample((0, 0), ("a", "b"), np.zeros((2, 2)))
    with pytest.raises(UserError, match="finite"):
        sample(np.array([[np.nan, 1.0]]))
    with pytest.raises(UserError, match="no interval"):
        interval(sample(np.ones((1, 1))))


@pytest.mark.parametrize("name", list(SHARES))
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_hold_the_truth(name: str, seeds: int) -> None:
    share, _ = holds(normal(SHARES[name]), seeds, 50, 300, "test", name)
    assert 0.905 <= share <= 0.99


def test_intervals_of_right_and_wrong_hold_the_truth() -> None:
    for percent in (2, 50, 98):
        assert holds(scores(percent), 3, 50, 200, "test", percent)[0] >= 0.905
    for before, after in GAINS[1:3]:
        assert holds(gains(before, after), 3, 250, 200, "test", before)[0] >= 0.905


def test_the_plain_bootstrap_does_not() -> None:
    assert naive(normal(SHARES["seed"]), 3, 50, 200, "test") < 0.88


def test_equal_variants_are_told_apart_by_chance_alone() -> None:
    assert family(normal(SHARES["both"]), 3, 50, 60, "test") <= 0.12


@pytest.mark.parametrize("name", ["item", "rest"])
def test_what_is_detectable_is_found_four_times_in_five(name: str) -> None:
    found, _ = power(normal(SHARES[name]), 3, 50, 200, "test")
    assert 0.7 <= found <= 0.92
