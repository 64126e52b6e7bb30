"""Samples from records: their means are the records' own numbers, and what cannot be paired is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from suite.errors import UserError
from suite.record import HeldOut, Item, Record, Score, Scores
from suite.seeds import seed_for
from suite.statistics import forgetting, gain, interval, log_loss, score, skill
from tests.example_records.make import LORA, PISSA, SKILLS, cell, record, scores, stopped

SIZES = dict(zip(SKILLS, (20, 5, 50), strict=True))


def outcomes(name: str, size: int, right: float, *purpose: object) -> Score:
    """A score whose items are right by chance."""
    drawn = np.random.default_rng(seed_for(0, name, *purpose)).random(size) < right
    items = [Item(id=str(i), correct=float(one)) for i, one in enumerate(drawn)]
    value = float(drawn.mean())
    return Score(evaluation=name, metric="acc", value=value, n=size, metrics={}, items=items)


def held(*purpose: object) -> HeldOut:
    generator = np.random.default_rng(seed_for(0, "held", *purpose))
    nats = generator.exponential(20, 30).tolist()
    return HeldOut(accuracy=0.5, nats=nats, tokens=list(range(5, 35)))


def measured(seed: int, task: str = "sums", **changes: Any) -> Record:
    """A record with real items: skills of several sizes, and held-out losses."""
    one = cell(LORA, task, seed)
    sides = {}
    for side, right in (("before", 0.2), ("after", 0.6)):
        sides[side] = Scores(
            target={f"{task}_test": outcomes(f"{task}_test", 40, right, side, side == "after" and seed)},
            general={name: outcomes(name, size, 1 - right, side, seed) for name, size in SIZES.items()},
            log_loss={"test": held(side, seed).log_loss},
            bits_per_byte=None,
            held_out={"test": held(side, seed)},
        )
    return record(one, **{**sides, **changes})


RECORDS = [measured(seed) for seed in (2, 0, 1)]


def test_the_means_are_the_records_own_numbers() -> None:
    ordered = sorted(RECORDS, key=lambda one: one.cell.seed or 0)
    gains, lost, losses = gain(RECORDS), forgetting(RECORDS), log_loss(RECORDS)
    assert gains.seeds == lost.seeds == losses.seeds == (0, 1, 2)
    assert gains.by_seed == pytest.approx([one.gain for one in ordered])
    assert lost.by_seed == pytest.approx([one.forgetting for one in ordered])
    assert losses.by_seed == pytest.approx([one.after.log_loss["test"] for one in ordered if one.after])
    assert score(RECORDS).by_seed == pytest.approx([one.score for one in ordered])
    for name in SKILLS:
        expected = [one.forgetting_by_skill[name] for one in ordered]
        assert skill(RECORDS, name).by_seed == pytest.approx(expected)
    assert interval(lost).value == pytest.approx(np.mean([one.forgetting or 0.0 for one in ordered]))


def test_items_are_changes_in_points() -> None:
    assert set(gain(RECORDS).values.flat) == {-100.0, 0.0, 100.0}
    assert gain(RECORDS).limits == (-100.0, 100.0) and score(RECORDS).limits == (0.0, 100.0)
    assert len(forgetting(RECORDS).items) == sum(SIZES.values())
    assert log_loss(RECORDS).limits is None


def test_items_of_two_evaluations_are_never_the_same() -> None:
    other = gain([measured(0, task="words")])
    assert not set(other.items) & set(gain(RECORDS).items)


def test_a_ratio_has_the_standard_error_of_a_ratio() -> None:
    one = held("after", 0)
    nats, tokens = np.array(one.nats), np.array(one.tokens)
    drawn = np.random.default_rng(seed_for(0, "resampled")).integers(0, 30, (20_000, 30))
    resampled = nats[drawn].sum(axis=1) / tokens[drawn].sum(axis=1)
    assert interval(log_loss([measured(0)])).se == pytest.approx(resampled.std(), rel=0.06)


def test_other_seeds_twice_and_other_cells_are_refused() -> None:
    with pytest.raises(UserError, match="two records of one seed"):
        gain([measured(0), measured(0)])
    with pytest.raises(UserError, match="one variant"):
        gain([measured(0), record(cell(PISSA, "sums", 1))])
    with pytest.raises(UserError, match="one task"):
        gain([measured(0), measured(1, task="words")])
    with pytest.raises(UserError, match="ended diverged"):
        gain([stopped(cell(LORA, "sums", 0), "diverged", "nan")])
    with pytest.raises(UserError, match="no records"):
        gain([])


def test_one_rate_and_one_recipe() -> None:
    faster = record(cell(LORA, "sums", 1, learning_rate=0.5))
    with pytest.raises(UserError, match="learning rate"):
        gain([record(cell(LORA, "sums", 0)), faster])


def test_other_items_are_refused() -> None:
    fewer = measured(1)
    assert fewer.before and fewer.after
    cut: dict[str, Any] = {
        side: scores.model_copy(update={"target": {"sums_test": outcomes("sums_test", 10, 0.5, side)}})
        for side, scores in (("before", fewer.before), ("after", fewer.after))
    }
    with pytest.raises(UserError, match="other items"):
        gain([measured(0), measured(1, **cut)])
    with pytest.raises(UserError, match="other items were scored before"):
        gain([measured(1, before=cut["before"])])


def test_what_has_no_outcome_item_by_item_is_refused() -> None:
    def changed(**changes: Any) -> Record:
        after = RECORDS[0].after
        assert after
        target = {"sums_test": after.target["sums_test"].model_copy(update=changes)}
        return RECORDS[0].model_copy(update={"after": after.model_copy(update={"target": target})})

    with pytest.raises(UserError, match="no outcome item by item"):
        gain([changed(items=[Item(id="0", correct=None)])])
    with pytest.raises(UserError, match="no mean of its items"):
        gain([changed(value=0.123)])
    with pytest.raises(UserError, match="item by item"):
        gain([changed(items=[])])


def test_what_was_not_measured_is_said() -> None:
    with pytest.raises(UserError, match="no held-out losses of 'test'"):
        log_loss([record(cell(LORA, "sums", 0))])
    with pytest.raises(UserError, match="no skill 'rhymes'"):
        skill(RECORDS, "rhymes")
    with pytest.raises(UserError, match="not scored before"):
        gain([measured(0, before=None)])
    with pytest.raises(UserError, match="test split was not read"):
        gain([measured(0, measured="validation")])


def test_the_order_of_items_does_not_matter() -> None:
    before = scores("sums_test", 1, (3, 3, 2), log_loss=1.5, bits=2.0)
    one = record(cell(LORA, "sums", 0), right=3, before=before)
    assert one.after is not None
    score = one.after.target["sums_test"]
    turned = one.after.model_copy(
        update={"target": {"sums_test": score.model_copy(update={"items": score.items[::-1]})}}
    )
    other = one.model_copy(update={"after": turned})
    expected, found = gain([one]), gain([other])
    assert found.items == expected.items[::-1]
    assert dict(zip(found.items, found.values[0], strict=True)) == dict(
        zip(expected.items, expected.values[0], strict=True)
    )
