"""The gate's verdicts: on equal stores, known shifts of each metric, what is missing or not comparable."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from suite.errors import UserError
from suite.gate import Report, Row, Settings, judge
from suite.gate.facts import facts
from suite.gate.settings import load
from suite.record import BaseRef, Record, Search
from tests.example_records.make import LORA, PISSA, cell
from tests.suite.gate_records import Shift, store

MANY = Settings(metrics=tuple(m for m in Settings().metrics if m.name != "training time"))


def only(**by: float) -> Shift:
    """A fault of one variant, on all tasks."""
    return lambda variant, task: by if variant == PISSA.name else {}


def row(report: Report, metric: str, variant: str = PISSA.name, task: str = "sums") -> Row:
    (found,) = (r for r in report.rows if (r.metric, r.variant, r.task) == (metric, variant, task))
    return found


def failed(report: Report) -> set[str]:
    return {r.metric for r in report.rows if r.verdict == "fail"}


def changed(records: list[Record], **by: Any) -> list[Record]:
    """One variant's records with some fields replaced, each by a value or by a function of the record."""
    return [
        one.model_copy(update={name: value(one) if callable(value) else value for name, value in by.items()})
        if one.cell.variant.name == PISSA.name
        else one
        for one in records
    ]


def recell(records: list[Record], **by: Any) -> list[Record]:
    """All records with some fields of their cells replaced."""
    cells = [one.cell.model_copy(update=by) for one in records]
    return [r.model_copy(update={"cell": c, "id": c.id}) for r, c in zip(records, cells, strict=True)]


def test_a_store_against_itself_passes_and_every_row_says_why() -> None:
    report = judge(store(range(3)), store(range(3)))
    assert report.verdict == "pass" and set(report.counts) == {"pass"}
    assert all(r.reason for r in report.rows)
    measured = [r for r in report.rows if r.metric == "held-out loss"]
    assert all(r.effect == 0 and r.reason.startswith("identical") for r in measured)
    assert len({(r.variant, r.task) for r in measured}) == 9  # 3 variants on 2 tasks, and over both


def test_one_seed_against_itself_passes_and_against_another_seed_is_inconclusive() -> None:
    assert judge(store([0]), store([0])).verdict == "pass"
    report = judge(store([0]), store([1]))
    assert report.verdict == "inconclusive"
    found = row(report, "gain")
    assert (found.verdict, found.interval) == ("inconclusive", None)
    assert "at least two" in found.reason
    assert judge(store(range(8)), store([20]), MANY).verdict != "fail"


@pytest.mark.parametrize(
    ("metric", "by", "verdict"),
    [
        ("held-out loss", {"loss": 0.2}, "fail"),
        ("held-out loss", {"loss": -0.2}, "inconclusive"),
        ("gain", {"gain": -25.0}, "fail"),
        ("gain", {"gain": 25.0}, "inconclusive"),
        ("forgetting", {"forgetting": 12.0}, "fail"),
        ("forgetting", {"forgetting": -12.0}, "inconclusive"),
        ("general text loss", {"bits": 0.1}, "fail"),
        ("training loss", {"training": 0.2}, "fail"),
        ("training loss", {"training": -0.2}, "fail"),
        ("delta norm", {"delta": -0.2}, "fail"),
        ("start loss", {"start": 0.05}, "fail"),
        ("start loss", {"start": -0.05}, "fail"),
        ("peak memory", {"memory": 0.02}, "fail"),
        ("peak memory", {"memory": -0.02}, "inconclusive"),
        ("peak memory", {"memory": 0.005}, "pass"),
        ("training time", {"time": 0.5}, "fail"),
    ],
)
@pytest.mark.parametrize("seeds", [range(5), range(10, 15)])
def test_a_known_shift_is_found_where_it_is(
    metric: str, by: dict[str, float], verdict: str, seeds: range
) -> None:
    report = judge(store(range(5)), store(seeds, only(**by)))
    assert report.verdict == verdict
    assert row(report, metric).verdict == verdict
    assert {r.variant for r in report.rows if r.verdict != "pass"} <= {PISSA.name}
    if verdict == "fail":
        assert failed(report) == {metric}
        assert row(report, metric).moved


def test_the_numbers_of_a_row() -> None:
    report = judge(store(range(5)), store(range(5), only(gain=-25.0, memory=0.1)))
    gain, memory = row(report, "gain"), row(report, "peak memory")
    assert gain.effect == pytest.approx(-25.0) and gain.unit == "points" and gain.paired
    assert gain.baseline == pytest.approx((gain.candidate or 0) + 25)
    assert gain.interval is not None and gain.interval[0] <= -25 <= gain.interval[1] < 0
    assert memory.effect == pytest.approx(0.1052, abs=1e-4)
    assert memory.baseline == pytest.approx(150 * 2**20)
    assert "higher" in memory.reason and "lower" in gain.reason
    assert (gain.p or 1) < Settings().alpha and gain.seeds == (5, 5)


def test_an_improvement_passes_where_it_is_allowed_and_is_still_told() -> None:
    allowed = Settings(allow_improvement=True)
    report = judge(store(range(3)), store(range(3), only(gain=25.0)), allowed)
    assert report.verdict == "pass"
    assert row(report, "gain").moved and "better" in row(report, "gain").reason
    assert judge(store(range(3)), store(range(3), only(gain=-25.0)), allowed).verdict == "fail"


def test_a_change_below_the_floor_passes_however_sure_it_is() -> None:
    report = judge(store(range(3)), store(range(3), only(loss=0.005, gain=-0.5, delta=0.005)))
    assert report.verdict == "pass"
    assert row(report, "held-out loss").effect == pytest.approx(0.005, rel=0.01)


def test_a_declared_change_of_numerics_may_move_what_it_computes_but_not_get_worse() -> None:
    def newer(records: list[Record]) -> list[Record]:
        variants = [one.cell.variant.model_copy(update={"revision": 7}) for one in records]
        cells = [r.cell.model_copy(update={"variant": v}) for r, v in zip(records, variants, strict=True)]
        return [r.model_copy(update={"cell": c, "id": c.id}) for r, c in zip(records, cells, strict=True)]

    moved = newer(store(range(3), only(training=-0.2, delta=0.3)))
    report = judge(store(range(3)), moved)
    assert report.verdict == "pass"
    assert "revision 1 -> 7" in row(report, "delta norm").reason
    assert failed(judge(store(range(3)), newer(store(range(3), only(delta=0.3, loss=0.2))))) == {
        "held-out loss"
    }
    both = judge(store(range(3)), [*store(range(3), only(loss=0.5)), *newer(store(range(3)))])
    assert both.verdict == "pass" and any("older revisions" in note for note in both.notes)


def test_what_is_missing_or_broken_fails() -> None:
    old = store(range(3))
    gone = judge(old, [r for r in old if r.cell.variant.name != PISSA.name])
    assert gone.verdict == "fail" and row(gone, "status").reason.startswith("missing")
    for status in ("failed", "diverged", "oom"):
        ends = changed(old, status=status, error="it\nbroke", after=None, cost=None)
        report = judge(old, ends)
        assert failed(report) == {"status"}
        assert f"3 {status} of 3 cells" in row(report, "status").reason
        assert "it broke" in row(report, "status").reason


@pytest.mark.parametrize("status", ["failed", "diverged", "oom"])
def test_a_baseline_of_which_nothing_finished_passes_nobody(status: str) -> None:
    old = store(range(3))
    ends = changed(old, status=status, error="it broke", after=None, cost=None)
    for candidate in (ends, old):
        report = judge(ends, candidate)
        assert report.verdict == "inconclusive"
        assert f"no cell of the baseline finished (3 {status})" in row(report, "baseline").reason
        assert {r.variant for r in report.rows if r.metric == "baseline"} == {PISSA.name}
    assert not [r for r in judge(old, old).rows if r.metric == "baseline"]


def test_a_baseline_in_which_nothing_was_measured_passes_nobody() -> None:
    old = store(range(3))
    bare = changed(old, after=None, before=None, start_loss=None)
    for candidate in (bare, old):
        report = judge(bare, candidate)
        assert report.verdict == "inconclusive"
        assert "no loss, gain or forgetting" in row(report, "baseline").reason
    assert row(judge(bare, old), "gain").reason == "not measured in the baseline"


def _without(records: list[Record], variant: str, *seeds: int) -> list[Record]:
    return [r for r in records if r.cell.variant.name != variant or r.cell.seed not in seeds]


def test_cells_that_were_lost_do_not_pass() -> None:
    old = store(range(4))
    report = judge(old, _without(old, PISSA.name, 1, 2, 3))
    found = row(report, "lost cells")
    assert report.verdict == "fail" == found.verdict and failed(report) == {"lost cells"}
    assert found.reason.startswith("no record of seeds 1, 2, 3, which other cells of the candidate have; ")
    assert "the baseline finished seeds 1, 2, 3" in found.reason
    assert {r.variant for r in report.rows if r.metric == "lost cells"} == {PISSA.name}
    other = judge(old, _without(store(range(10, 14)), PISSA.name, 12), MANY)
    assert (
        row(other, "lost cells").verdict == "inconclusive"
        and "baseline" not in row(other, "lost cells").reason
    )
    hole = _without(old, PISSA.name, 3)
    assert judge(hole, hole).verdict == "pass", "a hole on both sides is none"
    assert not [r for r in judge(hole, old).rows if r.metric == "lost cells"]


def test_seeds_that_were_not_asked_for_are_a_note() -> None:
    report = judge(store(range(6)), store([0]))
    assert report.verdict == "pass"
    assert (
        "the candidate has seed 0 alone; seeds 1, 2, 3, 4, 5 of the baseline are not judged" in report.notes
    )
    assert not [note for note in judge(store(range(3)), store(range(3, 6))).notes if "seed" in note]
    assert not [note for note in judge(store(range(3)), store(range(6))).notes if "seed" in note]


@pytest.mark.parametrize(
    ("still", "verdict", "told"),
    [
        ((range(3), ()), "fail", "1 weights move that did not, such as model.layers.0.mlp.up_proj.weight"),
        (((), range(3)), "fail", "1 weights no longer move in training, such as model.layers.0.mlp"),
        ((range(3), range(3)), "pass", "the same; 1 stand still"),
        (((), [0, 1]), "pass", "the same"),
        (([0], range(3)), "pass", "the same"),
    ],
)
def test_a_weight_that_no_longer_trains_fails(still: Any, verdict: str, told: str) -> None:
    def at(seeds: Any) -> list[Record]:
        def effect(one: Record) -> Any:
            assert one.effect is not None
            name = "model.layers.0.mlp.up_proj.weight"
            norms = {**one.effect.delta_norms, **({name: 0.0} if one.cell.seed in seeds else {})}
            return one.effect.model_copy(update={"delta_norms": norms})

        return changed(store(range(3)), effect=effect)

    found = row(judge(at(still[0]), at(still[1])), "weights moved")
    assert found.verdict == verdict and found.reason.startswith(told)
    assert not [
        r
        for r in judge(at([]), changed(at([]), effect=None)).rows
        if (r.metric, r.variant) == ("weights moved", PISSA.name)
    ]


def test_a_rate_at_which_some_seeds_diverge_is_told_from_one_at_which_more_do() -> None:
    def some(seeds: range, bad: int) -> list[Record]:
        records = store(seeds)
        return [
            r.model_copy(update={"status": "diverged", "after": None})
            if r.cell.variant.name == PISSA.name and (r.cell.seed or 0) - seeds[0] < bad
            else r
            for r in records
        ]

    assert row(judge(some(range(10), 3), some(range(20, 30), 3)), "status").verdict == "pass"
    assert row(judge(some(range(10), 3), some(range(20, 30), 4)), "status").verdict == "inconclusive"
    worse = row(judge(some(range(10), 1), some(range(20, 30), 10)), "status")
    assert worse.verdict == "fail"
    assert worse.p == pytest.approx(stats.fisher_exact([[10, 0], [1, 9]], alternative="greater")[1])
    assert row(judge(some(range(10), 0), some(range(20, 30), 1)), "status").verdict == "fail"


@pytest.mark.parametrize(
    ("metric", "by", "told"),
    [
        ("trainable parameters", {"trainable_parameters": 65_600}, "65,600, and 65,536"),
        ("trainable parameters", {"trainable_parameters": None}, "does not say"),
        ("total parameters", {"total_parameters": 3_200_001}, "3,200,001"),
        ("adapted modules", {"adapted_modules": []}, "no longer adapted"),
        (
            "adapted modules",
            {"adapted_modules": ["model.layers.0.self_attn.q_proj", "x"]},
            "more are adapted",
        ),
        ("steps and rates", {"curve": lambda r: r.curve[:-2]}, "18 steps, and 20"),
        ("data shown", {"rows": "1" * 16}, "training rows changed"),
        ("tokens of a seed", {"cost": lambda r: r.cost.model_copy(update={"tokens": 99_999})}, "99999"),
        ("gain", {"before": None}, "not measured"),
        ("start loss", {"start_loss": None}, "not measured in 3 of 3"),
        ("start loss", {"start_loss": float("nan")}, "not measured in 3 of 3"),
    ],
)
def test_what_no_seed_can_change_is_compared_exactly(metric: str, by: dict[str, Any], told: str) -> None:
    old = [r.model_copy(update={"rows": "0" * 16}) for r in store(range(3))]
    report = judge(old, changed(old, **by))
    assert report.verdict == "fail" and told in row(report, metric).reason


def test_the_learning_rate_is_the_same_function_of_the_step() -> None:
    def schedule(one: Record) -> list[Any]:
        point = one.curve[7].model_copy(update={"learning_rate": 0.001})
        return [*one.curve[:7], point, *one.curve[8:]]

    old = store(range(3))
    report = judge(old, changed(old, curve=schedule))
    assert failed(report) == {"steps and rates"}
    assert "step 7 of phase 0 was taken at rate 0.001" in row(report, "steps and rates").reason


@pytest.mark.parametrize(
    ("field", "value", "verdict"),
    [
        ("log_loss", {"validation": 1.515, "test": 1.5 * 1.002}, "fail"),
        ("log_loss", {"validation": 1.515, "test": 1.5 * 1.0001}, "pass"),
        ("log_loss", {"validation": 1.515}, "fail"),
        ("bits_per_byte", 2.01, "fail"),
        ("bits_per_byte", 2.0001, "pass"),
        ("points", 1.0, "pass"),
        ("points", 3.0, "fail"),
    ],
)
def test_the_untouched_base_has_to_score_the_same(field: str, value: Any, verdict: str) -> None:
    def before(one: Record) -> Any:
        scores = one.before
        assert scores is not None
        if field != "points":
            return scores.model_copy(update={field: value})
        (name, score), *_ = scores.target.items()
        return scores.model_copy(
            update={"target": {name: score.model_copy(update={"value": score.value + value / 100})}}
        )

    old = store(range(3))
    report = judge(old, [r.model_copy(update={"before": before(r)}) for r in old])
    found = row(report, "base", "", "sums")
    assert found.verdict == verdict
    assert verdict == "pass" or "before any training" in found.reason or "not in" in found.reason


def test_memory_and_time_are_compared_on_like_machines_alone() -> None:
    def on(device: str, **cost: Any) -> Any:
        return changed(
            store(range(3), only(memory=0.5, time=1.0)),
            provenance=lambda r: r.provenance.model_copy(update={"device": device}),
            cost=lambda r: r.cost.model_copy(update=cost),
        )

    old = store(range(3))
    other = judge(old, on("synthetic (another)"))
    assert row(other, "training time").verdict == "not judged" and failed(other) == {"peak memory"}
    assert any(note.startswith("device") for note in other.notes)
    assert row(judge(old, on("cuda:0 (x)")), "peak memory").verdict == "not judged"
    assert row(judge(old, on("synthetic", memory_method="other")), "peak memory").verdict == "not judged"
    assert row(judge(old, on("synthetic", micro_batch=4)), "peak memory").verdict == "not judged"
    loaded = row(judge(old, on("synthetic", train_wall_s=100.0)), "training time")
    assert loaded.verdict == "not judged" and "loads" in loaded.reason
    packed = judge(old, on("synthetic", pack=4, peak_memory_bytes=None))
    assert {row(packed, name).verdict for name in ("training time", "peak memory")} == {"not judged"}


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ({"track": "other@2"}, "track synthetic@1 and other@2"),
        ({"base": BaseRef(name="synthetic-base", digest="f" * 16)}, "base synthetic-base"),
        ({"learning_rate": 0.01}, "learning rate 0.005 and 0.01"),
        ({"evaluation": cell(LORA, "sums", 0).evaluation.model_copy(update={"engine": "vllm"})}, "engine"),
    ],
)
def test_what_was_trained_or_scored_otherwise_is_refused(by: dict[str, Any], told: str) -> None:
    old = [r for r in store(range(2)) if r.cell.task.name == "sums"]
    with pytest.raises(UserError, match="cannot be compared") as error:
        judge(old, recell(old, **by))
    assert told in str(error.value) and "\n" not in str(error.value)


def test_stores_with_nothing_in_common_and_empty_ones_are_refused() -> None:
    old = store(range(2))
    sums, words = ([r for r in old if r.cell.task.name == task] for task in ("sums", "words"))
    with pytest.raises(UserError, match="nothing in common"):
        judge(sums, words)
    for pair in ((old, []), ([], old)):
        with pytest.raises(UserError, match="holds no records"):
            judge(*pair)


def test_what_only_the_candidate_has_is_mentioned() -> None:
    old = store(range(2))
    few = [r for r in old if r.cell.variant.name == LORA.name]
    report = judge(few, old)
    assert report.verdict == "pass"
    assert "synthetic-pissa on sums" in report.notes[0]


def test_other_packages_are_told_and_not_refused() -> None:
    newer = changed(
        store(range(2)), provenance=lambda r: r.provenance.model_copy(update={"versions": {"torch": "9"}})
    )
    report = judge(store(range(2)), newer)
    assert report.verdict == "pass"
    assert "torch: 0.0.0 in the baseline, 0.0.0, 9 in the candidate" in report.notes
    assert row(report, "training time").verdict == "not judged"


def test_a_search_is_judged_by_what_it_chose_and_by_its_default() -> None:
    def search(best: float, shift: float = 0.0) -> list[Record]:
        found = []
        for rate in (0.003, 0.005, 0.009):
            for one in store(range(3), only(loss=shift if rate == best else 0.3 + shift)):
                role = Search(method="grid", rates=[0.003, 0.005, 0.009], default=0.005, role="trial")
                moved = one.cell.model_copy(update={"learning_rate": rate})
                found.append(one.model_copy(update={"cell": moved, "id": moved.id, "search": role}))
        return found

    report = judge(search(0.005), search(0.005))
    tuned = f"{PISSA.name} (tuned)"
    assert report.verdict == "pass"
    assert row(report, "rate chosen", tuned).reason == "0.005 on both sides"
    assert {r.variant for r in report.rows if r.metric == "gain"} >= {tuned, f"{PISSA.name} at 0.005"}
    kinds = {r.metric for r in report.rows if r.variant == f"{PISSA.name} at 0.009"}
    assert "status" in kinds and not kinds & {"gain", "held-out loss"}
    assert "held-out loss" in failed(judge(search(0.005), search(0.005, 0.2)))
    assert row(judge(search(0.005), search(0.009)), "rate chosen", tuned).verdict == "pass"
    assert row(judge(search(0.003), search(0.009)), "rate chosen", tuned).verdict == "inconclusive"
    some = search(0.005)
    beyond = [
        r.model_copy(update={"search": r.search.model_copy(update={"role": "edge"})})
        if r.search and r.cell.learning_rate == 0.009
        else r
        for r in some
    ]
    fewer = [r for r in some if r.cell.learning_rate != 0.009]
    assert judge(beyond, fewer).verdict == "pass"
    assert row(judge(some, fewer), "status", f"{PISSA.name} at 0.009").verdict == "fail"
    with pytest.raises(UserError, match="a search for the rate and one rate"):
        judge(search(0.005), store(range(3)))


def _diverging(records: list[Record]) -> list[Record]:
    return changed(records, status="diverged", after=None)


def test_a_search_that_chose_nothing_is_not_held_against_anything() -> None:
    def search(records: list[Record]) -> list[Record]:
        role = Search(method="grid", rates=[0.005, 0.009], default=0.005, role="trial")
        found = []
        for rate in (0.005, 0.009):
            for one in records:
                moved = one.cell.model_copy(update={"learning_rate": rate})
                found.append(one.model_copy(update={"cell": moved, "id": moved.id, "search": role}))
        return found

    good, bad = search(store(range(2))), search(_diverging(store(range(2))))
    tuned = f"{PISSA.name} (tuned)"
    for candidate in (good, bad):
        report = judge(bad, candidate)
        assert report.verdict == "inconclusive"
        assert "chose no rate" in row(report, "baseline", tuned).reason
        assert not [r for r in report.rows if r.metric == "baseline" and r.variant.endswith("0.009")]
    assert row(judge(good, bad), "status", tuned).reason == "missing: its search chose no rate"


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "gate.yaml"
    file.write_text("alpha: 0.02\nmetrics: {gain: {floor: 30, limit: 40}}\n")
    strict = load(file)
    assert strict.alpha == 0.02
    assert judge(store(range(3)), store(range(3), only(gain=-25.0)), strict).verdict == "pass"
    for text, told in (
        ("metrics: {gian: {floor: 1}}", "did you mean 'gain'"),
        ("metrics: {gain: {flor: 1}}", "expected floor and limit"),
        ("metrics: {gain: {floor: 99}}", "below its floor"),
        ("alpha: 2", "alpha"),
        ("alfa: 0.1", "alfa"),
        ("- 1", "expected keys"),
        ("a: [", "not yaml"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=told):
            load(file)
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path / "none.yaml")


def _verdicts(rounds: int, seeds: int, shift: Shift | None = None) -> Counter[str]:
    """Verdicts of disjoint draws of seeds, `seeds` on each side, out of one pool."""
    import numpy as np

    rng = np.random.default_rng(0)
    old = facts(store(range(40)))
    new = facts(store(range(40), shift)) if shift else old
    found: Counter[str] = Counter()
    for _ in range(rounds):
        drawn = rng.permutation(40)
        sides = [set(drawn[:seeds]), set(drawn[seeds : 2 * seeds])]
        picked = [[f for f in side if f.cell.seed in s] for side, s in zip((old, new), sides, strict=True)]
        found[judge(*picked, settings=MANY).verdict] += 1
    return found


def test_other_seeds_of_the_same_code_hardly_ever_fail() -> None:
    found = _verdicts(60, 4)
    assert found["fail"] <= 2 and found["pass"] >= 54


def test_a_fault_of_some_seed_deviations_is_caught() -> None:
    assert _verdicts(30, 5, only(loss=0.08))["fail"] >= 27  # 4 deviations
    assert _verdicts(30, 5, only(training=-0.10))["fail"] >= 27


def test_a_seed_that_no_longer_reaches_anything_fails() -> None:
    old = store(range(3))
    stuck = {one.cell.task.name: one for one in old if one.cell.variant.name == PISSA.name}
    report = judge(old, changed(old, curve=lambda r: stuck[r.cell.task.name].curve))
    assert (
        row(report, "seeds").verdict == "fail"
        and "the same for all of 3 seeds" in row(report, "seeds").reason
    )
    assert row(report, "seeds", LORA.name).verdict == "pass"
