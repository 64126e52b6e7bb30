"""What the noise of a difference is made of: tables whose components are known."""

from __future__ import annotations

import numpy as np
import pytest

from suite import statistics
from suite.errors import UserError
from suite.statistics import Sample
from suite.statistics.noise import MOST, Noise, noise


def _table(seeds: int, items: int, of: tuple[float, float, float], mean: float = 0.0, key: int = 0) -> Sample:
    """Normal effects with these variances of seed, item and single answer."""
    draw = np.random.default_rng(key)
    seed, item, answer = (np.sqrt(each) for each in of)
    values = (
        mean
        + seed * draw.standard_normal((seeds, 1))
        + item * draw.standard_normal((1, items))
        + answer * draw.standard_normal((seeds, items))
    )
    return Sample(tuple(range(seeds)), tuple(map(str, range(items))), values)


def _zero(like: Sample) -> Sample:
    return Sample(like.seeds, like.items, np.zeros_like(like.values))


def _noise(table: Sample) -> Noise:
    return noise({"task": _zero(table)}, {"task": table})


def test_shares_are_those_that_the_table_was_made_with() -> None:
    seeds, items = 60, 400
    table = _table(seeds, items, (0.4, 4.0, 60.0))
    parts = np.array([4.0 / items, 0.4 / seeds, 60.0 / (seeds * items)])
    found = _noise(table)
    assert [found.items, found.seeds, found.answers] == pytest.approx(parts / parts.sum(), abs=0.08)
    assert sum(each or 0.0 for each in (found.items, found.seeds, found.answers)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("of", "largest"), [((9, 1, 1), "seeds"), ((0.0, 99, 1), "items"), ((0, 0, 50), "answers")]
)
def test_the_source_that_dominates_is_named(of: tuple[float, float, float], largest: str) -> None:
    found = _noise(_table(5, 200, of, key=3))
    shares = {"items": found.items, "seeds": found.seeds, "answers": found.answers}
    assert max(shares, key=lambda name: shares[name] or 0.0) == largest and (shares[largest] or 0) > 0.6


def test_a_quarter_of_the_difference_needs_sixteen_times_the_seeds() -> None:
    """Of noise that is the seeds' alone, with so many that degrees of freedom no longer matter."""
    table = _table(100, 50, (1.0, 0.0, 0.0), key=1)
    centred = Sample(table.seeds, table.items, table.values - table.values.mean())
    least = statistics.compare(_zero(centred), centred).detectable
    small = Sample(table.seeds, table.items, centred.values + least / 4)
    assert _noise(small).more_seeds == pytest.approx(1600, rel=0.03)
    assert _noise(small).more_items is None, "no number of items is enough"


def test_a_third_of_the_difference_needs_nine_times_the_items() -> None:
    table = _table(40, 300, (0.0, 1.0, 0.0), key=2)
    centred = Sample(table.seeds, table.items, table.values - table.values.mean())
    least = statistics.compare(_zero(centred), centred).detectable
    small = Sample(table.seeds, table.items, centred.values + least / 3)
    found = _noise(small)
    assert found.more_items == pytest.approx(2700, rel=0.03) and found.more_seeds is None


def test_so_many_seeds_are_enough_in_so_many_repetitions() -> None:
    """Benchmarks of a known truth, run with the number of seeds that a first look asked for."""
    truth, of, items = 1.0, (1.0, 0.0, 4.0), 60
    asked = []
    for key in range(60):
        found = _noise(_exactly(_table(8, items, of, key=1000 + key), truth)).more_seeds
        asked.append(8 if found is None else found)
    seeds = int(np.median(asked))
    seen = [
        statistics.compare(_zero(table), table).apart
        for key in range(300)
        if (table := _table(seeds, items, of, truth, key=key))
    ]
    assert 0.68 <= np.mean(seen) <= 0.92, (seeds, np.mean(seen))


def _exactly(table: Sample, mean: float) -> Sample:
    return Sample(table.seeds, table.items, table.values - table.values.mean() + mean)


def test_what_is_enough_already_or_never_asks_for_nothing() -> None:
    far = _noise(_table(5, 100, (1.0, 1.0, 1.0), mean=100.0))
    assert (far.more_seeds, far.more_items) == (None, None)
    same = _table(5, 100, (1.0, 1.0, 1.0))
    none = noise({"task": same}, {"task": same})
    assert none == Noise(0.0, 0.0, 0.0, None, None)
    close = _exactly(_table(5, 100, (1.0, 0.0, 0.0)), 1e-6)
    assert _noise(close).more_seeds is None, f"beyond {MOST} times as many"


def test_one_seed_says_nothing_of_others() -> None:
    found = _noise(_exactly(_table(1, 100, (5.0, 1.0, 1.0)), 0.1))
    assert (found.items, found.seeds, found.answers, found.more_seeds) == (1.0, None, None, None)
    assert found.more_items is not None and found.more_items > 100


def test_several_tasks_are_their_mean_and_must_be_the_same() -> None:
    tables = {str(key): _table(3, 80, (2.0, 1.0, 1.0), key=key) for key in range(3)}
    zeros = {name: _zero(table) for name, table in tables.items()}
    found = noise(zeros, tables)
    assert found.seeds is not None and found.answers is not None
    assert found.items + found.seeds + found.answers == pytest.approx(1)
    with pytest.raises(UserError, match="both have"):
        noise(zeros, {"0": tables["0"]})
