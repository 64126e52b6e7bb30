"""The low-regret map: a planted truth is found, test chooses nothing, and unlike is not compared."""

from __future__ import annotations

from typing import Any

import pytest

from suite.best_rate import best
from suite.record import Record, Search
from suite.regions import GAIN_MARGIN, LOSS_MARGIN, Map, Point, Regret, regions, verdict
from suite.statistics import Comparison, Interval
from tests.suite.region_records import BEST, LOSS, RATES, WHOLE, one, planted, ranked, study


def only(records: list[Record]) -> Map:
    (found,) = regions(records)
    return found


def points(found: Map) -> dict[tuple[int | None, int], Point]:
    (family,) = found.families
    return {(point.rank, point.size.batch_size): point for point in family.points}


def test_the_planted_truth_is_found_in_gain_and_in_loss() -> None:
    found = only(study())
    at = points(found)
    assert set(at) == {(2, 8), (16, 8), (2, 256), (16, 256)}
    for (rank, batch), point in at.items():
        for quantity in ("gain", "loss"):
            expected = "behind" if planted(rank or 0, batch) else "within noise"
            assert point.regrets[quantity].verdict == expected, (rank, batch, quantity)
    behind = at[2, 8].regrets
    assert behind["gain"].comparison is not None and behind["loss"].comparison is not None
    assert behind["gain"].comparison.interval.value == pytest.approx(100 * 0.7 * 0.12, abs=2)
    assert behind["loss"].comparison.interval.value == pytest.approx(LOSS * 0.12, abs=0.005)
    assert behind["loss"].margin == pytest.approx(LOSS_MARGIN * LOSS, rel=0.01)
    assert behind["gain"].margin == GAIN_MARGIN
    assert found.counts("loss") == {"behind": 3, "within noise": 1}
    assert found.references == ("synthetic-whole",)


def test_the_rate_is_chosen_by_validation_and_never_by_test() -> None:
    found = best([r for r in study(ranks=(16,), batches=(8,)) if r.cell.variant == WHOLE])
    assert (found.rate, found.tried, found.searched, found.edge) == (BEST, len(RATES), False, None)
    assert {cell.cell.learning_rate for cell in found.cells} == {BEST}


def test_a_search_is_believed() -> None:
    search = Search(method="grid", rates=list(RATES), default=BEST, role="trial")
    cells = [r.model_copy(update={"search": search}) for r in study(ranks=(16,), batches=(8,))]
    found = best([r for r in cells if r.cell.variant == WHOLE])
    assert (found.rate, found.searched, len(found.cells)) == (BEST, True, 3)


def test_a_rate_at_which_a_seed_diverged_is_not_chosen() -> None:
    cells = [r for r in study(ranks=(), batches=(8,))]
    lost = [
        r.model_copy(update={"status": "diverged", "after": None})
        if r.cell.learning_rate == BEST and r.cell.seed == 1
        else r
        for r in cells
    ]
    assert best(lost).rate in (RATES[0], RATES[2]) and len(best(lost).cells) == 3
    every = [r.model_copy(update={"status": "diverged", "after": None}) for r in cells]
    assert (best(every).rate, best(every).cells) == (None, ())
    assert best(cells[:1]).tried == 1


def test_records_of_two_precisions_are_not_mixed() -> None:
    cells = [r for r in study(ranks=(), batches=(8,), precision="bfloat16")]
    other = [r for r in study(ranks=(), batches=(8,), precision="mixed") if r.cell.seed == 0]
    found = best([*other, *cells])
    assert {r.cell.how.recipe.precision for r in found.cells} == {"bfloat16"} and len(found.cells) == 3


def test_rates_of_which_no_loss_is_known_are_not_chosen_from() -> None:
    cells = study(ranks=(), batches=(8,))
    blind = [
        r.model_copy(update={"after": r.after.model_copy(update={"log_loss": {}})}) for r in cells if r.after
    ]
    assert (best(blind).rate, best(blind).cells) == (None, ())


def test_a_rate_at_the_end_of_those_tried_is_marked() -> None:
    cells = [r for r in study(ranks=(), batches=(8,)) if (r.cell.learning_rate or 0) >= BEST]
    assert best(cells).edge == "low"
    assert best([r for r in cells if r.cell.learning_rate == BEST]).edge is None


@pytest.mark.parametrize(
    "changes", [{"steps": 300}, {"examples": 50}, {"tokens": 900}, {"schedule": "linear"}]
)
def test_full_fine_tuning_of_another_size_is_no_reference(changes: dict[str, Any]) -> None:
    mine = [ranked(16, 8, seed, BEST, 0.0) for seed in range(3)]
    other = [one(WHOLE, 8, seed, BEST, 0.0, **changes) for seed in range(3)]
    for others in (other, [one(WHOLE, 16, seed, BEST, 0.0) for seed in range(3)]):
        (point,) = points(only([*mine, *others])).values()
        assert {regret.verdict for regret in point.regrets.values()} == {"no full fine-tuning there"}
        assert point.reference is None


def test_full_fine_tuning_of_another_evaluation_is_on_another_map() -> None:
    mine = [ranked(16, 8, seed, BEST, 0.0) for seed in range(3)]
    (found,) = regions([*mine, *(limited(one(WHOLE, 8, seed, BEST, 0.0)) for seed in range(3))])
    (point,) = points(found).values()
    assert point.reference is None


def limited(record: Record) -> Record:
    evaluation = record.cell.evaluation.model_copy(update={"limit": 3})
    cell = record.cell.model_copy(update={"evaluation": evaluation})
    return record.model_copy(update={"cell": cell, "id": cell.id})


def test_two_variants_that_train_everything_are_no_reference() -> None:
    other = WHOLE.model_copy(update={"settings": {"decay": 0.1}})
    cells = [*study(ranks=(16,), batches=(8,)), *(one(other, 8, seed, BEST, 0.0) for seed in range(3))]
    (point,) = points(only(cells)).values()
    assert point.regrets["gain"].why == "2 variants train all of the base there"


def test_holm_is_over_all_points_of_the_map() -> None:
    few, many = only(study(ranks=(2,))), only(study(ranks=(2, 4, 8, 16, 32)))
    for quantity in ("gain", "loss"):
        alone = points(few)[2, 8].regrets[quantity]
        among = points(many)[2, 8].regrets[quantity]
        assert alone.comparison == among.comparison
        assert among.p is not None and alone.p is not None and among.p > alone.p


def test_with_little_data_neither_claim_is_made() -> None:
    cells = study(ranks=(16,), batches=(8,), seeds=(0, 1), behind=lambda rank, batch: 0.03)
    (point,) = points(only(cells)).values()
    assert point.regrets["gain"].verdict == "cannot tell"


def interval(value: float, low: float, high: float) -> Comparison:
    return Comparison(Interval(value, low, high, 1.0, 2.0, 3, 100), 0.5, 1.0, 3)


@pytest.mark.parametrize(
    ("found", "p", "expected"),
    [
        (interval(0.5, -0.5, 1.5), 1.0, "within noise"),
        (interval(0.5, -0.5, 2.5), 1.0, "cannot tell"),
        (interval(0.5, 0.1, 1.5), 0.2, "cannot tell"),
        (interval(-3.0, -5.0, -1.0), 0.2, "within noise"),
        (interval(3.0, 1.0, 5.0), 0.01, "behind"),
        (interval(-3.0, -5.0, -1.0), 0.01, "ahead"),
    ],
)
def test_not_having_seen_a_difference_is_not_enough(found: Comparison, p: float, expected: str) -> None:
    assert verdict(Regret("gain", "cannot tell", found, 2.0, p)) == expected


def test_what_has_no_items_says_so() -> None:
    cells = [r.model_copy(update={"before": None}) for r in study(ranks=(16,), batches=(8,))]
    (point,) = points(only(cells)).values()
    assert point.regrets["gain"].comparison is None
    assert "not scored before training" in point.regrets["gain"].why
    assert point.regrets["loss"].verdict == "within noise"


def test_ranks_of_several_alphas_are_rows_of_one_family_and_other_settings_are_not() -> None:
    base = study(ranks=(16,), batches=(8,))
    for name, count in (("alpha", 1), ("targets", 2)):
        changed = []
        for r in base:
            if r.cell.variant != WHOLE:
                variant = r.cell.variant.model_copy(update={"settings": {**r.cell.variant.settings, name: 7}})
                cell = r.cell.model_copy(update={"variant": variant})
                changed.append(r.model_copy(update={"cell": cell, "id": cell.id}))
        families = only([*base, *changed]).families
        assert (len(families), sum(len(f.points) for f in families)) == (count, 2)


def test_the_order_of_the_records_changes_nothing() -> None:
    cells = study()
    assert regions(cells) == regions(cells[::-1])


def test_what_others_trained_is_on_no_map() -> None:
    cell = study()[0].cell.model_copy(update={"recipe": None, "learning_rate": None, "seed": None})
    assert regions([study()[0].model_copy(update={"cell": cell})]) == []
