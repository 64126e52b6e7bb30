"""Which rates a search tries, and which of them wins on validation."""

from __future__ import annotations

import math
from typing import Any

import pytest

from suite.record import HeldOut, Record, Scores, Search
from suite.tuning import beyond, choose, grid, index, key, point, searches
from tests.example_records.make import LORA, PISSA, cell, record

RATES = [1e-3, 1.8e-3, 3.2e-3]


def trial(
    rate: float,
    seed: int,
    loss: float | None,
    accuracy: float = 0.5,
    role: Any = "trial",
    variant: Any = LORA,
) -> Record:
    """A trial with this loss on validation; None diverged."""
    held = {"validation": HeldOut(accuracy=accuracy, nats=[loss or 1.0], tokens=[1])}
    after = Scores(
        target={}, general={}, log_loss={"validation": loss or 1.0}, bits_per_byte=None, held_out=held
    )
    return record(cell(variant, "sums", seed, learning_rate=rate)).model_copy(
        update={
            "status": "ok" if loss is not None else "diverged",
            "after": after if loss is not None else None,
            "measured": "validation",
            "search": Search(method="grid", rates=RATES, default=1.8e-3, role=role),
        }
    )


def test_the_grid_has_four_points_a_decade_in_two_digits() -> None:
    assert [point(i, 4) for i in range(-12, -7)] == [1e-3, 1.8e-3, 3.2e-3, 5.6e-3, 1e-2]
    assert [index(point(i, 4), 4) for i in range(-30, 5)] == list(range(-30, 5))
    ratios = [point(i + 1, 4) / point(i, 4) for i in range(-20, 0)]
    assert all(math.isclose(ratio, 10**0.25, rel_tol=0.03) for ratio in ratios)


@pytest.mark.parametrize("default", [1e-3, 1.1e-3, 9e-4])
def test_a_grid_lies_around_the_default(default: float) -> None:
    assert grid(default, 7, 4) == [1.8e-4, 3.2e-4, 5.6e-4, 1e-3, 1.8e-3, 3.2e-3, 5.6e-3]


def test_every_default_gets_as_many_rates() -> None:
    assert {len(set(grid(10**-x, 7, 4))) for x in (0.5, 1.3, 2.77, 5.2)} == {7}


def test_the_lowest_mean_loss_over_seeds_wins() -> None:
    records = [
        trial(rate, seed, loss) for seed in (0, 1) for rate, loss in zip(RATES, (0.5, 0.4, 0.6), strict=True)
    ]
    # seed 0 alone would choose the first rate
    records += [trial(1e-3, 2, 0.1), trial(1.8e-3, 2, 0.2), trial(3.2e-3, 2, 0.1)]
    found = choose(records)
    assert (found.rate, found.edge, found.trials, found.seeds) == (1.8e-3, None, 3, (0, 1, 2))
    assert found.losses[1e-3] == pytest.approx(1.1 / 3)


def test_a_rate_that_diverged_with_one_seed_is_not_chosen() -> None:
    records = [trial(1e-3, 0, 0.5), trial(1e-3, 1, 0.5), trial(1.8e-3, 0, 0.1), trial(1.8e-3, 1, None)]
    found = choose(records)
    assert found.rate == 1e-3 and math.isinf(found.losses[1.8e-3])


def test_a_rate_that_lacks_a_seed_is_not_chosen() -> None:
    complete = [trial(rate, seed, 0.5) for rate in RATES[:2] for seed in (0, 1)]
    found = choose([*complete, trial(3.2e-3, 0, 0.1)])
    assert (found.rate, found.seeds) == (1e-3, (0, 1)) and math.isinf(found.losses[3.2e-3])


def test_a_seed_that_one_rate_alone_has_changes_nothing() -> None:
    records = [trial(rate, seed, 0.1 if rate == 1e-3 else 0.9) for rate in RATES for seed in (0, 1, 2)]
    assert choose([*records, trial(3.2e-3, 3, 0.9)]) == choose(records)


def test_in_the_middle_of_a_run_the_seed_that_is_complete_counts() -> None:
    first = [trial(rate, 0, loss) for rate, loss in zip(RATES, (0.1, 0.2, 0.3), strict=True)]
    found = choose([*first, trial(3.2e-3, 1, 0.01)])
    assert (found.rate, found.seeds) == (1e-3, (0,))


def test_a_failed_outermost_rate_is_no_answer_about_the_edge() -> None:
    failed = trial(3.2e-3, 0, None).model_copy(update={"status": "failed"})
    assert choose([trial(1e-3, 0, 0.3), trial(1.8e-3, 0, 0.1), failed]).edge == "high"
    assert choose([trial(1e-3, 0, 0.3), trial(1.8e-3, 0, 0.1), trial(3.2e-3, 0, None)]).edge is None


def test_one_rate_alone_has_no_edge() -> None:
    assert choose([trial(1e-3, 0, 0.3)]).edge is None


def test_where_all_went_wrong_nothing_wins() -> None:
    found = choose([trial(rate, 0, None) for rate in RATES])
    assert (found.rate, found.edge, found.trials) == (None, None, 3) and beyond(found, 4) is None


def test_ties_go_by_accuracy_then_by_the_lower_rate() -> None:
    close = [trial(1e-3, 0, 0.5, 0.7), trial(1.8e-3, 0, 0.50005, 0.9), trial(3.2e-3, 0, 0.5002, 1.0)]
    assert choose(close).rate == 1.8e-3
    same = [trial(rate, 0, 0.5, 0.7) for rate in RATES]
    assert choose(same).rate == 1e-3


def test_a_documented_rate_off_the_grid_is_not_chosen() -> None:
    found = choose([*(trial(rate, 0, 0.5) for rate in RATES), trial(2e-3, 0, 0.1, role="default")])
    assert found.rate == 1e-3 and 2e-3 not in found.losses


@pytest.mark.parametrize(
    ("losses", "edge", "following"), [((0.1, 0.2, 0.3), "low", 5.6e-4), ((0.3, 0.2, 0.1), "high", 5.6e-3)]
)
def test_a_winner_on_the_edge_asks_for_one_more_rate(
    losses: tuple[float, ...], edge: str, following: float
) -> None:
    found = choose([trial(rate, 0, loss) for rate, loss in zip(RATES, losses, strict=True)])
    assert (found.edge, beyond(found, 4)) == (edge, following)


def test_added_rates_are_counted_and_may_win() -> None:
    records = [trial(rate, 0, loss) for rate, loss in zip(RATES, (0.3, 0.2, 0.1), strict=True)]
    found = choose([*records, trial(5.6e-3, 0, 0.05, role="edge")])
    assert (found.rate, found.edge, found.added, found.trials) == (5.6e-3, "high", 1, 4)
    stopped = choose([*records, trial(5.6e-3, 0, None, role="edge")])
    assert (stopped.rate, stopped.edge) == (3.2e-3, None)


def test_searches_part_by_everything_but_rate_and_seed() -> None:
    ours = [trial(rate, seed, 0.5) for rate in RATES for seed in (0, 1)]
    other = trial(1e-3, 0, 0.5, variant=PISSA)
    plain = record(cell(LORA, "sums", 5))
    found = searches([*ours, other, plain])
    assert sorted(map(len, found.values())) == [1, 6]
    assert key(ours[0].cell) == key(ours[-1].cell) != key(other.cell)


def test_test_scores_play_no_part() -> None:
    """A record whose test is read is chosen by validation all the same."""
    read = trial(1e-3, 0, 0.5).model_copy(update={"measured": "all"})
    assert read.after is not None
    better = read.after.model_copy(update={"log_loss": {"validation": 0.5, "test": 0.0}})
    records = [read.model_copy(update={"after": better}), trial(1.8e-3, 0, 0.4)]
    assert choose(records).rate == 1.8e-3
