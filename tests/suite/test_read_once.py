"""What is found once for many pairs is what each pair alone would find."""

from __future__ import annotations

from dataclasses import astuple, replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from suite import statistics
from suite.compare import Pairs
from suite.errors import UserError
from suite.statistics import Interval, Sample, flipped
from suite.statistics.intervals import detectable, difference, half_width
from suite.statistics.kept import Samples
from suite.statistics.many import Many
from suite.statistics.noise import noise, noises
from suite.statistics.variance import moments
from suite.summary import boards
from tests.example_records.make import LORA, PISSA, SPARSE, cell, examples, record


def _sample(seeds: int, shift: float, key: int) -> Sample:
    draw = np.random.default_rng(key)
    skill = shift + 0.3 * draw.normal(size=(seeds, 1)) + draw.normal(size=(seeds, 60))
    values = 100.0 * (skill > np.random.default_rng(99).normal(size=60))
    return Sample(tuple(range(seeds)), tuple(map(str, range(60))), values, limits=(0.0, 100.0))


@pytest.mark.parametrize("seeds", [1, 2, 6])
def test_the_noise_of_many_pairs_is_that_of_each(seeds: int) -> None:
    rows = {
        str(row): {task: _sample(seeds, 0.05 * row, 7 * row + at) for at, task in enumerate("xy")}
        for row in range(5)
    }
    rows["other seeds"] = {task: _sample(seeds + 1, 0.3, 50) for task in "xy"}
    couples = list(combinations(rows, 2))
    for tasks in (["x"], ["x", "y"]):
        found = noises(Many(rows), couples, tasks)
        assert any(one.more_items for one in found)
        for (a, b), one in zip(couples, found, strict=True):
            alone = noise(*({task: rows[name][task] for task in tasks} for name in (a, b)))
            numbers = [[-1.0 if part is None else part for part in astuple(each)] for each in (one, alone)]
            assert numbers[0] == pytest.approx(numbers[1], rel=1e-9, abs=1e-12)


def test_a_skill_is_its_part_of_all_that_was_forgotten() -> None:
    every = [one for one in examples() if (one.cell.variant, one.cell.task.name) == (LORA, "sums")]
    assert every and every[0].after is not None and len(every[0].after.general) > 1
    kept = Samples()
    for name in every[0].after.general:
        one, alone = kept.skill(name, every), statistics.skill(every, name)
        assert (one.items, one.groups, one.limits) == (alone.items, alone.groups, alone.limits)
        assert (one.values == alone.values).all()
    assert kept.of("gain", every) is kept.of("gain", every[::-1])
    with pytest.raises(UserError, match="no skill"):
        kept.skill("none of them", every)


@pytest.mark.parametrize(
    ("worse", "better"), [(0, 0), (0, 1), (3, 3), (2, 9), (40, 71), (400, 310), (900, 400)]
)
def test_flips_have_the_p_of_a_binomial_test(worse: int, better: int) -> None:
    wanted = stats.binomtest(better, worse + better).pvalue if worse + better else 1.0
    assert flipped(worse, better) == flipped(better, worse) == pytest.approx(wanted, rel=1e-12)


def test_one_row_that_was_trained_otherwise_spoils_its_own_pairs_alone() -> None:
    records = [record(cell(variant, "sums", seed)) for variant in (LORA, PISSA, SPARSE) for seed in (0, 1)]
    odd = [
        one.model_copy(update={"rows": "1" * 16 if one.cell.variant == SPARSE else "0" * 16})
        for one in records
    ]
    (board,) = boards(odd)
    pairs = Pairs(board, {one.id: one for one in odd})
    of = {row.variant: row for row in board.rows}
    pairs.between(of[LORA.name], of[PISSA.name])
    for other in (LORA, PISSA):
        with pytest.raises(UserError, match="cannot be compared"):
            pairs.between(of[other.name], of[SPARSE.name])


def test_the_number_of_items_that_is_told_is_the_least_that_is_enough() -> None:
    a, b = _sample(1, 0.0, 1), _sample(1, 0.12, 2)
    least = noise({"x": a}, {"x": b}).more_items
    parts, _ = difference(a, b)
    whole = moments(parts)
    assert least is not None and least > len(a.items)
    for items in (least - 1, least):
        times = items / len(a.items)
        more = replace(whole, item=whole.item / times, item_df=(whole.item_df + 1) * times - 1)
        edge = -float(stats.t.ppf(0.025, more.item_df))
        se = half_width(more) / edge
        seen = detectable(Interval(more.value, 0.0, 0.0, se, more.item_df, 1, items))
        assert (abs(more.value) >= seen) == (items == least)
