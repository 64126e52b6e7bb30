"""Curves and their optimum: losses by hand, a known optimum found again, and intervals that cover it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.simulated_rates import GRID, bare, simulated, two_slopes
from suite.optimum import alike, gaussian, optimum, ratio, vertices
from suite.rates import complete, curves, reference, sparkline
from suite.record import BaseRef, Recipe, VariantRef
from tests.example_records.make import LORA, PISSA, imported
from tests.suite.curves import trial

NAN, INF = math.nan, math.inf


def test_curves_hold_the_validation_loss_by_rate_and_seed() -> None:
    records = [
        *(
            trial(LORA, rate, seed, loss + seed)
            for rate, loss in ((1e-3, 3.0), (2e-3, 1.0))
            for seed in (0, 1)
        ),
        trial(LORA, 4e-3, 0, INF),
        trial(LORA, 8e-3, 1, None),
        imported("first", 0.5),
    ]
    (curve,) = curves(records)
    assert (curve.rates, curve.seeds) == ((1e-3, 2e-3, 4e-3, 8e-3), (0, 1))
    np.testing.assert_array_equal(curve.losses, [[3, 4], [1, 2], [INF, NAN], [NAN, NAN]])
    np.testing.assert_array_equal(curve.means, [3.5, 1.5, INF, NAN])
    np.testing.assert_array_equal(curve.seconds[:2], [[20, 21], [20, 21]])
    assert (curve.rank, curve.untrained, sparkline(curve)) == (16, 1.5, "█▁x.")


def test_settings_and_rank_tell_curves_of_one_name_apart() -> None:
    def of(**settings: object) -> VariantRef:
        return VariantRef(name=LORA.name, settings={**LORA.settings, **settings}, revision=1)

    variants = [LORA, of(rank=8), of(alpha=8)]
    found = curves([trial(one, 1e-3, 0, 1.0) for one in variants])
    assert sorted((c.label, c.rank) for c in found) == [
        ("synthetic-lora alpha=32", 8),
        ("synthetic-lora alpha=32", 16),
        ("synthetic-lora alpha=8", 16),
    ]


def test_the_reference_shares_base_task_and_recipe() -> None:
    full = VariantRef(name="whole", settings={}, revision=1)
    other = BaseRef(name="other", digest="f" * 16)
    mixed = Recipe(steps=200, batch_size=16, precision="mixed")
    longer = Recipe(steps=300, batch_size=16)
    one, fit, *misfits = (
        curves([trial(variant, 1e-3, 0, 1.0, **changes)])[0]
        for variant, changes in (
            (LORA, {}),
            (full, {"recipe": mixed}),
            (full, {"base": other}),
            (full, {"recipe": longer}),
        )
    )

    def trains(curve: object) -> bool:
        return curve is not one

    assert reference(one, [one, *misfits], trains) is None
    assert reference(one, [one, *misfits, fit], trains) is fit


def test_only_what_was_run_together_is_compared() -> None:
    losses = [[5, NAN, NAN], [3, 4, NAN], [2, 3, 4], [4, 5, NAN], [INF, INF, NAN]]
    part = complete(bare(losses, GRID[:5]))
    assert (part.rates, part.seeds) == (GRID[1:5], (0, 1))
    halved = complete(bare([[5, NAN], [3, 4], [2, 3], [4, NAN]], GRID[:4]))
    assert (halved.rates, halved.seeds) == (GRID[:4], (0,))  # three rates before two seeds


def test_the_vertex_of_a_parabola_is_found_exactly() -> None:
    x = np.array([0.0, 0.3, 0.5, 1.0, 1.2])
    for best in (0.31, 0.5, 0.7):
        assert vertices(x, (2 + 3 * (x - best) ** 2)[None])[0] == pytest.approx(best)
    assert vertices(x, x[None])[0] == 0.0
    assert vertices(x, -x[None])[0] == 1.2
    assert vertices(x, np.zeros((1, 5)))[0] == 0.0


def test_a_gaussian_process_finds_the_lowest_point() -> None:
    x, at = np.arange(7) * 0.25, np.linspace(0, 1.5, 151)
    mean, deviation = gaussian(x, (x - 0.8) ** 2, at)
    assert at[mean.argmin()] == pytest.approx(0.8, abs=0.03)
    assert deviation[7:10].min() > deviation[::25].min()


@pytest.mark.parametrize(("left", "right"), [(1.0, 1.0), (0.7, 2.0), (2.0, 1.0)])
def test_a_known_optimum_is_found_within_a_sixth_of_a_step(left: float, right: float) -> None:
    rng = np.random.default_rng(0)
    for best in (6e-4, 1.3e-3, 2.5e-3, 5e-3):
        found = optimum(simulated(two_slopes(left, right), best, 1e-6, 3, rng))
        assert found is not None and found.edge is None
        assert abs(math.log10(found.rate / best)) < 0.25 / 6


@pytest.mark.parametrize(("noise", "seeds"), [(0.03, 3), (0.1, 3), (0.3, 3), (0.1, 5)])
def test_intervals_cover_a_known_optimum(noise: float, seeds: int) -> None:
    """Over curves of three shapes; the interval is 95 %, and 90 is four standard errors below that."""
    rng = np.random.default_rng(1)
    inside, widths = [], []
    for _ in range(100):
        for shape in (two_slopes(1, 1), two_slopes(0.7, 2), two_slopes(2, 1)):
            best = 10 ** rng.uniform(-3.1, -2.4)
            found = optimum(simulated(shape, best, noise, seeds, rng))
            assert found and found.low is not None and found.high is not None
            inside.append(found.low <= best <= found.high)
            widths.append(math.log10(found.high / found.low))
    assert np.mean(inside) > 0.9
    assert np.median(widths) < 0.12 + 2 * noise


def test_intervals_of_ratios_cover_a_known_ratio() -> None:
    rng = np.random.default_rng(2)
    inside = []
    for i in range(150):
        ours, theirs = (10 ** rng.uniform(-3.1, -2.4) for _ in range(2))
        one = optimum(simulated(two_slopes(1, 1.5), ours, 0.1, 3, rng))
        other = simulated(two_slopes(0.8, 1), theirs, 0.1, 3, rng)
        base = optimum(bare(other.losses, id=f"{i:016d}"))
        assert one and base
        found = ratio(one, base)
        assert found.low is not None and found.high is not None
        assert found.value == pytest.approx(one.rate / base.rate)
        inside.append(found.low <= ours / theirs <= found.high)
    assert np.mean(inside) > 0.9


def test_one_seed_has_no_interval() -> None:
    found = optimum(simulated(two_slopes(1, 1), 2e-3, 0.1, 1, np.random.default_rng(0)))
    assert found and (found.low, found.high, found.seeds) == (None, None, 1)
    assert ratio(found, found).low is None


@pytest.mark.parametrize(("best", "edge"), [(1e-5, "low"), (1.0, "high")])
def test_an_optimum_on_the_edge_is_a_bound(best: float, edge: str) -> None:
    found = optimum(simulated(two_slopes(1, 1), best, 0.1, 3, np.random.default_rng(0)))
    assert found and found.edge == edge
    assert found.rate == pytest.approx(GRID[0] if edge == "low" else GRID[-1])
    assert (found.open_low, found.open_high) == (edge == "low", edge == "high")
    assert found.low is not None and found.high is not None
    assert GRID[0] * 0.999 <= found.low <= found.high <= GRID[-1] * 1.001
    inner = optimum(simulated(two_slopes(1, 1), 2e-3, 0.01, 3, np.random.default_rng(0)))
    assert inner and not (inner.open_low or inner.open_high)
    assert ratio(inner, found).open_high == (edge == "low")
    assert ratio(inner, found).open_low == (edge == "high")
    assert ratio(found, inner).open_high == (edge == "high")


def test_a_rate_that_diverged_is_no_edge_and_no_optimum() -> None:
    losses = [[4, 4.1], [3, 3.1], [2, 2.1], [1, 1.2], [INF, 1]]
    found = optimum(bare(losses, GRID[:5]))
    assert found and (found.best, found.edge) == (GRID[3], None)
    assert GRID[2] < found.rate < GRID[4]
    assert optimum(bare([[INF, INF]] * 4, GRID[:4])) is None
    assert optimum(bare([[2, 2], [1, 1]], GRID[:2])) is None


def test_rates_alike_are_those_within_the_noise_of_the_pairs() -> None:
    # above the best by 0.1 +- 0.01 (t 17), by 0.1 +- 0.08 (t 2.2 < 4.3), and one that diverged with one seed
    losses = [[1.11, 2.1, 3.09], [1.0, 2.0, 3.0], [1.02, 2.1, 3.18], [1.0, 2.0, INF]]
    assert alike(bare(losses, GRID[:4])) == [GRID[1], GRID[2]]
    assert alike(bare([[3.0], [2.0], [2.001]], GRID[:3])) == [GRID[1]]
    assert alike(bare([[INF]] * 3, GRID[:3])) == []


def test_the_same_curve_gives_the_same_interval() -> None:
    curve = simulated(two_slopes(1, 1), 2e-3, 0.1, 3, np.random.default_rng(0))
    one, two = optimum(curve), optimum(curve)
    assert one and two and (one.low, one.high) == (two.low, two.high)
    other = curves([trial(PISSA, rate, seed, 1 + rate) for rate in GRID for seed in (0, 1)])[0]
    assert optimum(other) is not None
