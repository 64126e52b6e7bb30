"""Many comparisons at once are the comparisons one by one, to 1e-12; and the board of every pair."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from suite.compare import Pairs, versus
from suite.errors import UserError
from suite.statistics import Comparison, Sample, compare_over_tasks, mcnemar, ranks
from suite.statistics.many import Many, compare_many
from suite.store import Store
from suite.summary import boards
from tests.example_records.make import LORA, PISSA, SPARSE, cell, record, scores

POCKET = Path(__file__).parents[2] / "leaderboard" / "published" / "pocket"
CHANGE = (-100.0, 100.0)


def _board(
    kind: str, tasks: int, seeds: int, items: int, groups: tuple[int, ...] = (), same: bool = False
) -> dict[str, dict[str, Sample]]:
    """Eight variants; `groups` are the sizes of the skills, `same` items in all tasks."""
    draw = np.random.default_rng(seeds * 100 + items)
    names = tuple(f"g{at}" for at, size in enumerate(groups) for _ in range(size))
    found: dict[str, dict[str, Sample]] = {}
    for variant in range(8):
        for task in range(tasks):
            if kind == "loss":
                values = draw.normal(size=(seeds, items)) + variant / 4
            elif kind == "still":
                values = np.zeros((seeds, items))
            else:
                values = draw.choice([-100.0, 0, 0, 25.0, 100.0], size=(seeds, items))
            found.setdefault(f"v{variant}", {})[f"t{task}"] = Sample(
                tuple(range(seeds)),
                tuple(f"{'' if same else task}:{at}" for at in range(items)),
                values,
                names,
                None if kind == "loss" else CHANGE,
            )
    return found


def _numbers(found: Comparison) -> list[float]:
    return [*asdict(found.interval).values(), found.p, found.detectable, found.paired_seeds]


def _check(samples: dict[str, dict[str, Sample]]) -> None:
    couples = [*combinations(samples, 2), ("v3", "v1")]
    for (a, b), found in zip(couples, compare_many(samples, couples), strict=True):
        expected = _numbers(compare_over_tasks(samples[a], samples[b]))
        assert _numbers(found) == pytest.approx(expected, rel=1e-11, abs=1e-11), (a, b)


@pytest.mark.parametrize("kind", ["gain", "loss", "still"])
@pytest.mark.parametrize(
    ("tasks", "seeds", "items", "groups", "same"),
    [
        (3, 4, 40, (), False),
        (1, 1, 30, (), False),
        (2, 2, 20, (5, 15), False),
        (3, 3, 21, (1, 20), True),
        (2, 3, 1, (), False),
    ],
)
def test_all_pairs_at_once(
    kind: str, tasks: int, seeds: int, items: int, groups: tuple[int, ...], same: bool
) -> None:
    _check(_board(kind, tasks, seeds, items, groups, same))


def test_twins_neighbours_and_variants_of_other_seeds() -> None:
    samples = _board("gain", 2, 3, 30)
    samples["v1"] = samples["v0"]
    near = samples["v2"]["t0"].values.copy()
    near[1, 3] += 1e-6  # far below what a difference of large squares could tell
    samples["v3"] = samples["v2"] | {"t0": Sample((0, 1, 2), samples["v2"]["t0"].items, near, (), CHANGE)}
    one = samples["v4"]["t1"]
    samples["v4"] = samples["v4"] | {"t1": one.of((0, 2), one.items)}
    samples["v5"] = samples["v5"] | {"t1": samples["v5"]["t1"].of((2, 1, 0), one.items[5:])}
    _check(samples)


def test_what_hardly_differs_is_not_lost_in_large_squares() -> None:
    samples = _board("loss", 1, 3, 30)
    one = samples["v0"]["t0"]
    jitter = 1e-9 * np.random.default_rng(0).normal(size=one.values.shape)
    near = Sample(one.seeds, one.items, one.values + jitter)
    pair = {"a": {"t0": one}, "b": {"t0": near}}
    found, expected = compare_many(pair, [("a", "b")])[0], compare_over_tasks(pair["a"], pair["b"])
    assert _numbers(found) == pytest.approx(_numbers(expected), rel=1e-4, abs=0)


def test_what_one_pair_says_many_say() -> None:
    samples = _board("gain", 2, 3, 30)
    lacking = {**samples, "v1": {"t0": samples["v1"]["t0"]}}
    with pytest.raises(UserError, match="compare over the tasks that both have"):
        compare_many(lacking, [("v0", "v1")])
    with pytest.raises(UserError, match="compare over the tasks that both have"):
        ranks(lacking)
    with pytest.raises(UserError, match="one seed and one item"):
        compare_many(_board("gain", 1, 1, 1), [("v0", "v1")])
    assert compare_many(samples, []) == []


def test_some_tasks_of_many() -> None:
    samples = _board("gain", 3, 3, 30)
    samples["v7"].pop("t2")
    found = Many(samples).compare([("v0", "v1"), ("v0", "v7")], ["t0", "t1"])
    for one, name in zip(found, ("v1", "v7"), strict=True):
        sides = ({task: samples[each][task] for task in ("t0", "t1")} for each in ("v0", name))
        assert _numbers(one) == pytest.approx(_numbers(compare_over_tasks(*sides)), rel=1e-11)


def test_every_pair_of_a_board_is_the_pair_alone() -> None:
    records = Store(POCKET).records()
    known = {one.id: one for one in records}
    board = boards(records)[0]
    tuned = [row for row in board.rows if row.kind == "tuned"][:3]
    board = replace(board, rows=(*tuned, board.rows[-1]))
    pairs = Pairs(board, known)
    found = {(one.a, one.b): one for one in (pairs.between(a, b) for a, b in combinations(board.rows, 2))}
    assert len(found) == 6
    for a, b in combinations(tuned, 2):
        alone, at_once = versus(records, a.label, b.label)[0], found[a.label, b.label]
        assert alone.notes == at_once.notes and len(alone.lines) == len(at_once.lines)
        for one, other in zip(alone.lines, at_once.lines, strict=True):
            assert (one.task, one.quantity, one.flips) == (other.task, other.quantity, other.flips)
            assert one.p == pytest.approx(other.p, rel=1e-9) and one.verdict == other.verdict
            assert asdict(one.comparison.interval) == pytest.approx(
                asdict(other.comparison.interval), abs=1e-11
            )


def test_rows_without_a_task_in_common_are_told_and_others_compared() -> None:
    records = [record(cell(variant, "sums", seed)) for variant in (LORA, PISSA) for seed in (0, 1)]
    records += [record(cell(SPARSE, "words", seed)) for seed in (0, 1)]
    board, known = boards(records)[0], {one.id: one for one in records}
    lora, pissa, sparse = (
        next(row for row in board.rows if row.variant == one.name) for one in (LORA, PISSA, SPARSE)
    )
    pairs = Pairs(board, known)
    with pytest.raises(UserError, match=r"nothing to compare .* no task in common"):
        pairs.between(lora, sparse)
    assert {line.task for line in pairs.between(lora, pissa).lines} == {"sums"}


def test_a_row_that_disagrees_in_itself_or_with_another_is_told() -> None:
    prompts = [
        scores("sums_test", 1, (3, 3, 2), 0.5, 2.0).model_copy(
            update={"target": {"sums_test": scores("sums_test", 1, (3, 3, 2), 0.5, 2.0).target["sums_test"]}}
        )
        for _ in range(2)
    ]
    changed = prompts[1].target["sums_test"].model_copy(update={"prompts": "f" * 16})
    first = prompts[0].target["sums_test"].model_copy(update={"prompts": "0" * 16})
    other = prompts[1].model_copy(update={"target": {"sums_test": changed}})
    mine = prompts[0].model_copy(update={"target": {"sums_test": first}})
    records = [
        record(cell(LORA, "sums", 0), after=mine),
        record(cell(LORA, "sums", 1), after=mine),
        record(cell(PISSA, "sums", 0), after=mine),
        record(cell(PISSA, "sums", 1), after=other),
    ]
    board = boards(records)[0]
    with pytest.raises(UserError, match="prompts of sums_test"):
        Pairs(board, {one.id: one for one in records}).between(*board.rows)
    records[2] = record(cell(PISSA, "sums", 0), after=other)
    with pytest.raises(UserError, match="prompts of sums_test"):
        Pairs(board, {one.id: one for one in records}).between(*board.rows)


def test_flips_are_mcnemars() -> None:
    draw = np.random.default_rng(0)
    a, b = draw.integers(0, 2, (2, 50))
    from suite.statistics import flipped

    assert flipped(int((a > b).sum()), int((b > a).sum())) == mcnemar(a, b) and flipped(0, 0) == 1.0
