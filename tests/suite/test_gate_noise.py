"""The gate's arithmetic, against scipy, by hand and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from suite.gate.noise import Difference, Prior, detectable, difference, interval, moderated, p_above, prior

OLD = {0: 1.0, 1: 1.4, 2: 0.9}
NEW = {3: 1.6, 4: 2.1, 5: 1.5, 6: 1.9}


def _values(seeds: dict[int, float]) -> list[float]:
    return list(seeds.values())


def test_independent_seeds_are_students_t() -> None:
    found = difference(OLD, NEW)
    expected = stats.ttest_ind(_values(NEW), _values(OLD), alternative="greater")
    assert p_above(found, 0.0) == pytest.approx(expected[1], rel=1e-12)
    low, high = interval(found, 0.95) or (0.0, 0.0)
    wanted = stats.ttest_ind(_values(NEW), _values(OLD)).confidence_interval(0.95)
    assert (low, high) == pytest.approx((wanted.low, wanted.high))
    assert (found.paired, found.seeds, found.df) == (False, (3, 4), 5)


def test_the_same_seeds_are_paired() -> None:
    new = {0: 1.3, 1: 1.5, 2: 1.3}
    found = difference({**OLD, 9: 5.0}, new)
    expected = stats.ttest_rel(_values(new), _values(OLD), alternative="greater")
    assert p_above(found, 0.0) == pytest.approx(expected[1], rel=1e-12)
    shifted = stats.ttest_1samp(np.subtract(_values(new), _values(OLD)), 0.1, alternative="greater")
    assert p_above(found, 0.1) == pytest.approx(shifted[1], rel=1e-12)
    assert (found.paired, found.seeds, found.df) == (True, (3, 3), 2)


def test_some_shared_seeds_are_no_pairs() -> None:
    found = difference(OLD, {2: 1.0, 7: 1.2})
    assert not found.paired and found.df == 3


def test_equal_values_divide_by_nothing() -> None:
    for new in (OLD, {0: 1.0}):
        found = difference(OLD, new)
        assert found.identical and found.value == 0.0
        assert p_above(found, 0.01) == 1.0
    flat = difference({0: 2.0, 1: 2.0}, {2: 2.0, 3: 2.0})
    assert flat.identical and flat.se == 0
    moved = difference({0: 2.0, 1: 2.0}, {2: 3.0, 3: 3.0})
    assert not moved.identical
    assert (p_above(moved, 0.5), p_above(moved, 1.5)) == (0.0, 1.0)


def test_one_seed_on_each_side_knows_no_noise() -> None:
    for new in ({0: 1.5}, {7: 1.5}):
        found = difference({0: 1.0}, new)
        assert found.df == 0 and not found.identical and math.isinf(found.se)
        assert p_above(found, 0.0) == 1.0
        assert interval(found, 0.95) is None
        assert math.isinf(detectable(found, 0.0, 0.01, 0.8))
    assert difference(OLD, {0: 1.5}).df == 2  # one shared seed, and two that tell of the noise
    with pytest.raises(ValueError, match="both sides"):
        difference({}, OLD)


def _groups(rng: np.random.Generator, n: int, df: float, variances: np.ndarray | float) -> list[Difference]:
    drawn = variances * rng.chisquare(df, n) / df
    return [Difference(0.0, float(v), df, 2 / 3, False, (3, 3)) for v in np.broadcast_to(drawn, n)]


def test_the_prior_finds_what_made_the_variances() -> None:
    rng = np.random.default_rng(0)
    scattered = prior(_groups(rng, 4000, 4, 0.09 * 8 / rng.chisquare(8, 4000)), 1e-6)
    assert scattered is not None
    assert scattered.df == pytest.approx(8, rel=0.15)
    assert scattered.variance == pytest.approx(0.09, rel=0.05)


def test_equal_variances_are_pooled() -> None:
    groups = _groups(np.random.default_rng(1), 30, 4, 0.04)
    common = prior(groups, 1e-6)
    assert common is not None and common.df == 29
    steady = [moderated(group, common, 1e-6) for group in groups]
    spread = [np.std([math.log(d.variance) for d in some]) for some in (groups, steady)]
    assert spread[1] < spread[0] / 5
    assert np.mean([d.variance for d in steady]) == pytest.approx(0.04, rel=0.2)
    assert all(d.df == 4 + common.df for d in steady)


def test_a_prior_needs_two_groups_and_is_worth_no_more_than_the_others() -> None:
    one, two = _groups(np.random.default_rng(2), 2, 4, 1.0)
    assert prior([one], 1e-6) is None
    assert moderated(one, None, 1e-6).variance == one.variance
    common = prior([one, two], 1e-6)
    assert common is not None and common.df == 1
    same = difference(OLD, OLD)
    assert prior([one, same, same], 1e-6) is None


def test_no_variance_is_smaller_than_the_resolution() -> None:
    flat = Difference(0.5, 0.0, 4, 2 / 3, False, (3, 3))
    assert moderated(flat, None, 0.1).variance == pytest.approx(0.01)
    assert moderated(flat, Prior(0.04, 4), 0.1).variance == pytest.approx(0.025)


def test_trigamma_is_inverted() -> None:
    from suite.gate.noise import _trigamma_inverse

    for x in (1e-4, 0.1, 1.0, 7.0, 1e3, 1e7):
        assert _trigamma_inverse(float(special.polygamma(1, x))) == pytest.approx(x, rel=1e-5)


def test_false_alarms_are_as_rare_as_stated_where_groups_differ_in_noise() -> None:
    """Three seeds a side, 15 groups whose variances scatter: p is uniform where nothing changed."""
    rng = np.random.default_rng(3)
    ps = []
    for _ in range(400):
        sd = np.sqrt(6 / rng.chisquare(6, 15))
        sides = rng.standard_normal((2, 15, 3)) * sd[:, None]
        raw = [
            difference(dict(enumerate(a)), {10 + i: x for i, x in enumerate(b)})
            for a, b in zip(*sides, strict=True)
        ]
        common = prior(raw, 1e-6)
        ps += [p_above(moderated(d, common, 1e-6), 0.0) for d in raw]
    for level, most in ((0.05, 0.06), (0.01, 0.014), (0.001, 0.0025)):
        assert level / 2 < np.mean(np.array(ps) < level) < most


@pytest.mark.parametrize(("paired", "n"), [(False, 4), (True, 8)])
def test_power_is_as_predicted(paired: bool, n: int) -> None:
    rng = np.random.default_rng(4)
    level, bound, found = 0.01, 0.2, 0
    scale = 1 / n if paired else 2 / n
    df = (n - 1 if paired else 2 * n - 2) + 14  # its own, and what 14 other groups are worth
    shift = detectable(Difference(0.0, 1.0, df, scale, paired, (n, n)), bound, level, 0.8)
    rounds = 600
    for _ in range(rounds):
        noise = rng.standard_normal((15, 2, n))
        raw = []
        for old, new in noise:
            first = 0 if paired else n
            a = old if not paired else np.zeros(n)
            raw.append(difference(dict(enumerate(a)), {first + i: x + shift for i, x in enumerate(new)}))
        found += p_above(moderated(raw[0], prior(raw, 1e-6), 1e-6), bound) < level
    assert 0.73 < found / rounds < 0.87
