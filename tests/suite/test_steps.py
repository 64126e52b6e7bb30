"""Steps of a series: exact against enumeration, and what is promised of false alarms and of bumps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from benchmarks.steps import bumped, false_alarms, heavy, normal, seen, there_and_back
from suite.errors import UserError
from suite.seeds import seed_for
from suite.statistics import steps
from suite.statistics.steps import FEWEST, HELD, MOST, find_steps


def noise(count: int, *purpose: object) -> np.ndarray:
    return np.random.default_rng(seed_for(0, "steps", *purpose)).standard_normal(count)


def unevenness(values: np.ndarray) -> float:
    """The largest z over windows, straight from its definition."""
    ranks = stats.rankdata(values)
    count = len(ranks)
    found = 0.0
    for i, j in itertools.combinations(range(count + 1), 2):
        held = [size for size in (i, j - i, count - j) if size]
        if len(held) < 2 or min(held) < HELD:
            continue
        size = j - i
        inside, outside = ranks[i:j].mean(), np.delete(ranks, slice(i, j)).mean()
        spread = ranks.var(ddof=1) * (1 / size + 1 / (count - size))
        found = max(found, abs(inside - outside) / spread**0.5)
    return found


@pytest.mark.parametrize(
    "values", [(3, 1, 2, 5, 9, 4, 8, 7), (1, 1, 1, 2, 2, 2, 2, 2), (1, 1, 2, 1, 1, 3, 1, 2)]
)
def test_p_is_the_share_of_all_permutations_that_are_as_uneven(values: tuple[int, ...]) -> None:
    series = np.array(values, dtype=float)
    seen_here = unevenness(series) - 1e-9
    orders = itertools.permutations(range(len(values)))
    chosen = [order for k, order in enumerate(orders) if k % 20 == 0]
    exact = np.mean([unevenness(series[list(order)]) >= seen_here for order in chosen])
    assert find_steps(series).p == pytest.approx(exact, abs=0.03)


def test_a_step_is_found_where_it_is_with_its_size() -> None:
    values = noise(30, "one") + np.repeat([70.0, 62.0], [18, 12])
    found = find_steps(values)
    (step,) = found.steps
    assert step.at == 18 and found.p is not None and found.p < 0.001
    differences = values[18:, None] - values[None, :18]
    assert step.change == pytest.approx(np.median(differences))
    assert step.low is not None and step.high is not None and step.low < -8 < step.high < -6
    assert [(one.first, one.end) for one in found.levels] == [(0, 18), (18, 30)]
    assert found.levels[1].value == pytest.approx(np.median(values[18:]))


def test_a_step_lies_at_the_gap_and_not_where_noise_happens_to_fall() -> None:
    before = [40.3, 40.1, 40.5, 40.4, 40.2, 40.6, 39.1, 39.0]  # the last two are the lowest of the level
    (step,) = find_steps([*before, 32.0, 32.3, 31.8, 32.1, 31.9, 32.2]).steps
    assert step.at == 8


def test_several_steps_are_found_each_in_its_place() -> None:
    values = noise(60, "three") + np.repeat([0.0, 6.0, -2.0, 4.0], [15, 15, 15, 15])
    assert [step.at for step in find_steps(values).steps] == [15, 30, 45]


def test_a_level_and_back_is_two_steps_where_no_single_cut_tells() -> None:
    values = noise(40, "back") + np.repeat([0.0, 6.0, 0.0], [17, 6, 17])
    assert [step.at for step in find_steps(values).steps] == [17, 23]


def test_a_bump_is_no_step() -> None:
    most = stats.binom.ppf(0.999, 300, 0.05) / 300
    for count in (10, 30):
        assert false_alarms(bumped(1), count, 300, "bump") <= most
    flat = np.zeros(20)
    flat[9] = 1e300
    assert find_steps(flat).steps == ()


def test_what_never_changes_has_no_step() -> None:
    found = find_steps(np.full(20, 3.5))
    assert (found.steps, found.p, [one.value for one in found.levels]) == ((), 1.0, [3.5])


def test_a_change_without_noise_is_found() -> None:
    (step,) = find_steps([5.0] * 6 + [5.5] * 5).steps
    assert (step.at, step.change, step.low, step.high) == (6, 0.5, 0.5, 0.5)


@pytest.mark.parametrize("count", range(1, FEWEST))
def test_too_few_moments_claim_nothing(count: int) -> None:
    found = find_steps([0.0] * (count // 2) + [1000.0] * (count - count // 2))
    assert (found.steps, found.p, len(found.levels)) == ((), None, 1)


def test_with_one_moment_less_not_even_a_perfect_step_could_be_told() -> None:
    series = np.repeat([0.0, 1.0], [3, FEWEST - 4]) + 1e-3 * np.arange(FEWEST - 1)
    perfect = unevenness(series)
    orders = list(itertools.permutations(range(FEWEST - 1)))
    as_uneven = np.mean([unevenness(series[list(order)]) >= perfect - 1e-9 for order in orders])
    assert as_uneven > 0.05
    assert find_steps(np.repeat([0.0, 1.0], FEWEST // 2) + 1e-3 * np.arange(FEWEST)).steps


@pytest.mark.parametrize(("draw", "name"), [(normal, "normal"), (heavy, "t3")])
@pytest.mark.parametrize("count", [10, 30])
def test_false_alarms_are_five_percent(draw: object, name: str, count: int) -> None:
    share = false_alarms(draw, count, 300, name)  # type: ignore[arg-type]
    assert share <= stats.binom.ppf(0.999, 300, 0.05) / 300


def test_steps_that_matter_are_found() -> None:
    assert seen(normal, 30, 3.0, 100, "few").found > 0.95
    assert seen(normal, 10, 5.0, 100, "few").found > 0.9
    assert seen(normal, 30, 3.0, 100, "few").off < 0.5
    assert there_and_back(normal, 30, 5.0, 100, "few") > 0.9


@pytest.mark.parametrize(("old", "new"), [(3, 5), (4, 4), (10, 10), (5, 12)])
def test_the_interval_of_a_change_leaves_out_what_mann_and_whitney_would(old: int, new: int) -> None:
    beyond = steps._left_out(old, new)
    assert beyond is not None
    ways = steps._ways(old, new)
    assert ways.sum() == len(list(itertools.combinations(range(old + new), old)))
    u = np.arange(len(ways))
    at = stats.mannwhitneyu([*np.arange(old)], [*(np.arange(new) + old)], method="exact").pvalue
    assert 2 * ways[0] / ways.sum() == pytest.approx(at)
    assert ways[u <= beyond].sum() / ways.sum() <= 0.025 < ways[u <= beyond + 1].sum() / ways.sum()


def test_levels_that_are_too_short_have_no_interval() -> None:
    assert steps._left_out(3, 4) is None
    assert steps._left_out(20, 20) == 127 == steps._left_out.__wrapped__(20, 20)
    assert steps._left_out(20, 21) == pytest.approx(127 + 7, abs=2)  # where the normal limit begins


def test_a_long_series_is_searched_at_its_end() -> None:
    values = noise(MOST + 30, "long") + np.repeat([50.0, 0.0, 5.0], [30, MOST // 2, MOST // 2])
    found = find_steps(values)
    assert found.first == 30
    assert [step.at for step in found.steps] == [30 + MOST // 2]
    assert found.levels[0].first == 30 and found.levels[-1].end == MOST + 30


def test_the_same_series_has_the_same_answer() -> None:
    values = noise(25, "again")
    assert find_steps(values) == find_steps(values.copy())


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0], [2.0]]])
def test_what_is_no_series_is_refused(values: list[float]) -> None:
    with pytest.raises(UserError, match="finite numbers"):
        find_steps(values)
