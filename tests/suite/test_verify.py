"""A record is run again: the same comes out in bits, and a record that was tampered with is told."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import suite.verify
from suite.cli import app
from suite.engines.local import Done, Started
from suite.errors import UserError
from suite.plan import Plan
from suite.record import Record
from suite.reproduction import Difference, contradictions, differences, elsewhere
from suite.reproduction_scores import interval
from suite.run import Outcome, Runner
from suite.store import Store
from suite.verify import Verdict, plan_of, verify
from tests.example_records.make import LORA, cell, imported, record, score

Again = Callable[..., Verdict]


def _engine(make: Any, jobs: Iterator[Any], workers: int, threads: int | None) -> Iterator[Any]:
    """Jobs one after the other in this process."""
    shop = make()
    for job in jobs:
        yield Started(0, job)
        yield Done(0, job, shop(job, lambda *told: None))


class _Silent:
    def see(self, event: Any) -> None: ...

    def wrote(self, record: Any) -> None: ...

    def lost(self, title: str, why: str) -> None: ...


def _execute(runner: Runner, plan: Plan) -> Outcome:
    return runner.run(_Silent(), 1, 1)


@pytest.fixture(scope="module")
def here(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Again]:
    """verify() without worker processes, on the tiny base."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("suite.run.local.run", _engine)
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))

        def run(one: Record, store: Path, **how: Any) -> Verdict:
            verdict = verify(
                one, store, _execute, "suite verify", **{"model": str(tiny_base), "device": "cpu", **how}
            )
            assert list(Path(tempfile.gettempdir()).iterdir()) == [], "everything that was made is gone"
            return verdict

        yield run


@pytest.fixture(scope="module")
def records(trained_store: Path) -> dict[str, Record]:
    """The records of the store by variant."""
    return {one.cell.variant.name: one for one in Store(trained_store).records()}


@pytest.fixture(scope="module")
def trial(
    tiny_base: Path, records: dict[str, Record], tmp_path_factory: pytest.TempPathFactory
) -> list[Record]:
    """The lora cell as a tuned run makes it: a trial on validation, then its test split from kept weights."""
    store = Store(tmp_path_factory.mktemp("stores") / "trial")
    plan = plan_of(records["lora"], str(tiny_base), (), "cpu")
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("suite.run.local.run", _engine)
        for measured in ("validation", "all"):
            part = replace(plan, measured=measured)
            found += _execute(Runner(part, store, "suite run"), part).records
    return found


def files(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_a_cell_reproduces_bit_for_bit_and_leaves_its_store_alone(
    here: Again, trained_store: Path, records: dict[str, Record]
) -> None:
    before = files(trained_store)
    verdict = here(records["lora"], trained_store)
    assert verdict.reproduces and verdict.differences == [] == verdict.elsewhere
    assert verdict.json()["bit_for_bit"] is True and files(trained_store) == before


@pytest.mark.parametrize("variant", ["lora", "loftq", "fullft"])
def test_kept_weights_are_scored_again(
    variant: str, here: Again, trained_store: Path, records: dict[str, Record]
) -> None:
    verdict = here(records[variant], trained_store, evaluation_only=True)
    assert verdict.reproduces and [one.fact for one in verdict.elsewhere] == ["scored"]
    assert verdict.differences == [], "these are exported as they are"
    assert verdict.scores_only and verdict.json()["repeated"] == "scores"


def test_no_score_is_taken_from_the_record_that_is_verified(
    here: Again, trained_store: Path, records: dict[str, Record]
) -> None:
    """Held-out losses that agree with each other, and with nothing that was trained."""
    one = records["lora"]
    assert one.after is not None
    held = one.after.held_out["test"]
    nats = [1.5 * value for value in held.nats]
    forged = _with(one, ("after", "held_out", "test", "nats"), nats)
    forged = _with(forged, ("after", "log_loss", "test"), math.fsum(nats) / sum(held.tokens))
    verdict = here(forged, trained_store, evaluation_only=True)
    assert {d.fact.split(":")[0] for d in verdict.telling} == {
        "after.held_out.test.nats",
        "after.log_loss.test",
    }


def test_a_trial_and_what_was_read_later_reproduce(
    here: Again, trained_store: Path, trial: list[Record]
) -> None:
    early, late = trial
    assert (early.measured, late.measured) == ("validation", "all")
    assert late.provenance.settings["scored"] == "kept weights"
    for one in trial:
        verdict = here(one, trained_store)
        assert verdict.reproduces and verdict.differences == [] == verdict.elsewhere
    with pytest.raises(
        UserError, match="is a trial, whose evaluation was not run; leave --evaluation-only out"
    ):
        here(early, trained_store, evaluation_only=True)


def test_a_score_that_was_changed_is_named(
    here: Again, trained_store: Path, records: dict[str, Record]
) -> None:
    verdict = here(_with(records["lora"], ("after", "general", "pocket_arc", "value"), 0.123), trained_store)
    (told,) = verdict.telling
    assert not verdict.reproduces and told.fact == "after.general.pocket_arc.value"
    assert told.recorded == "0.123" and told.now.endswith("by its items")


def test_a_score_that_was_changed_with_its_items_is_named(
    here: Again, trained_store: Path, records: dict[str, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("suite.verify._again", lambda *args: records["lora"])
    verdict = here(_forged(records["lora"]), trained_store)
    assert not verdict.reproduces and verdict.elsewhere == []
    value, items = (str(one) for one in verdict.telling)
    assert value.startswith("after.general.pocket_arc.value: 1 recorded, 0.5 (change -0.5, 95 % interval ")
    assert items.startswith("after.general.pocket_arc.items: 1 of 2 outcomes, first of item")


TAMPERED: list[tuple[tuple[Any, ...], Any, str]] = [
    (("status",), "diverged", "status"),
    (("trainable_parameters",), 7, "trainable_parameters"),
    (("adapted_modules", 0), "other", "adapted_modules"),
    (("start_loss",), 1.0, "start_loss"),
    (("curve", 2, "loss"), 1.0, "curve at phase 0, step 2: loss"),
    (("curve", 2, "learning_rate"), 1.0, "curve at phase 0, step 2: learning_rate"),
    (("curve", 2, "step"), 7, "curve at phase 0, step 7: step"),
    (("effect", "from_base"), 1.0, "effect.from_base"),
    (("effect", "text_digest"), "0", "effect.text_digest"),
    (("effect", "reload_error"), 1.0, "effect.reload_error"),
    (("effect",), None, "effect"),
    (("cost", "tokens"), 1, "cost.tokens"),
    (("cost", "adapter_bytes"), 1, "cost.adapter_bytes"),
    (("cost", "flops", "forward"), 1, "cost.flops.forward"),
    (("cost", "flops", "backward"), 1, "cost.flops.backward"),
    (("cost", "peak_memory_bytes"), 1, "cost.peak_memory_bytes"),
    (("weights",), "0" * 16, "weights"),
    (("rows",), "0" * 16, "rows"),
    (("contamination", 0, "found"), 1, "contamination"),
    (("before", "bits_per_byte"), 1.0, "before.bits_per_byte"),
    (("after", "bits_per_byte"), 1.0, "after.bits_per_byte"),
    (("after", "log_loss", "test"), 1.0, "after.log_loss.test"),
    (("after", "held_out", "test", "nats", 1), 1.0, "after.held_out.test.nats: 1 of 2 examples, first of 1"),
    (("after", "held_out", "test", "tokens", 1), 1, "after.held_out.test.tokens"),
    (("after", "held_out", "test", "accuracy"), 1.0, "after.held_out.test.accuracy"),
    (("after", "target", "pocket_math", "n"), 9, "after.target.pocket_math.n"),
    (("after", "target", "pocket_math", "prompts"), "0", "after.target.pocket_math.prompts"),
    (
        ("after", "target", "pocket_math", "items", 1, "response"),
        "forged",
        "after.target.pocket_math.items: 1 of 2 answers, first of item 1",
    ),
    (
        ("before", "general", "pocket_arc", "metrics", "acc,none"),
        0.3,
        "before.general.pocket_arc.metrics.acc,none",
    ),
]


@pytest.mark.parametrize(("place", "value", "fact"), TAMPERED, ids=[fact for _, _, fact in TAMPERED])
def test_every_fact_counts(place: tuple[Any, ...], value: Any, fact: str, records: dict[str, Record]) -> None:
    one = records["lora"]
    assert differences(one, one) == []
    (told,) = differences(_with(one, place, value), one)
    assert told.fact == fact and told.recorded != told.now
    assert not Verdict(one, [told], []).reproduces, "on the same machine nothing may differ"


def test_times_are_no_facts_and_a_pack_has_no_costs_of_its_own(records: dict[str, Record]) -> None:
    one = records["lora"]
    for name in ("train_wall_s", "train_cpu_s", "evaluate_wall_s", "start_s"):
        assert differences(_with(one, ("cost", name), 1e6), one) == []
    packed = _with(_with(one, ("cost", "peak_memory_bytes"), None), ("cost", "flops"), None)
    assert differences(packed, one) == []
    (told,) = differences(one, _with(one, ("cost", "flops"), None), True)[:1]
    assert (told.fact, told.now, told.within) == ("cost.flops.forward", "none", False)
    gpu = _with(one, ("cost", "memory_method"), "cuda-max-allocated")
    assert differences(_with(gpu, ("cost", "peak_memory_bytes"), 1), gpu) == []


def test_a_learning_rate_is_not_hidden_by_a_loss(records: dict[str, Record]) -> None:
    one = _with(_with(records["lora"], ("curve", 1, "loss"), 5.0), ("curve", 2, "learning_rate"), 5.0)
    facts = [d.fact for d in differences(one, records["lora"])]
    assert facts == ["curve at phase 0, step 2: learning_rate", "curve at phase 0, step 1: loss"]


@pytest.mark.parametrize(
    ("place", "value", "holds"),
    [
        (("start_loss",), 1.009, True),
        (("start_loss",), 1.011, False),
        (("before", "bits_per_byte"), 1.011, False),
        (("after", "bits_per_byte"), 1.24, True),
        (("after", "log_loss", "test"), 1.26, False),
        (("after", "log_loss", "test"), 0.74, False),
        (("start_loss",), math.inf, False),
        (("after", "log_loss", "test"), math.inf, False),
        (("after", "log_loss", "test"), math.nan, False),
        (("before", "bits_per_byte"), math.inf, False),
        (("curve", 2, "loss"), 1.2, True),
        (("curve", 2, "loss"), 1e6, False),
        (("curve", 2, "loss"), math.inf, False),
        (("curve", 0, "loss"), 1.009, True),
        (("curve", 0, "loss"), 1.011, False),
        (("curve", 2, "learning_rate"), 5.0, False),
        (("effect", "from_base"), 1.24, True),
        (("effect", "from_base"), 1.26, False),
        (("effect", "from_start"), math.inf, False),
        (("effect", "text_digest"), "0", False),
        (("effect", "reload_error"), None, True),
        (("effect", "reload_error"), 1e6, False),
        (("effect",), None, False),
        (("cost", "tokens"), 1, False),
        (("cost", "adapter_bytes"), 1.009, True),
        (("cost", "adapter_bytes"), 1.011, False),
        (("cost", "flops", "forward"), 1.011, False),
        (("cost", "peak_memory_bytes"), 1.09, True),
        (("cost", "peak_memory_bytes"), 1.11, False),
        (("after", "target", "pocket_math", "metrics", "acc,none"), 99.0, False),
        (("after", "general", "pocket_arc", "value"), 99.0, False),
        (("after", "target", "pocket_math", "batch_changes"), 0.5, False),
        (("after", "held_out", "test", "accuracy"), 99.0, False),
        (("before", "held_out", "test", "accuracy"), 0.99, False),
        (("after", "held_out", "test", "nats", 1), 1.2, True),
        (("after", "held_out", "test", "nats", 1), 1e6, False),
        (("after", "held_out", "test", "nats", 1), math.nan, False),
        (("weights",), "0" * 16, True),
        (("rows",), "0" * 16, False),
        (("trainable_parameters",), 7, False),
        (("after", "held_out", "test", "tokens", 1), 1, False),
        (("status",), "diverged", False),
    ],
)
def test_elsewhere_only_rounding_is_allowed(
    place: tuple[Any, ...], value: Any, holds: bool, records: dict[str, Record]
) -> None:
    """Factors of the recorded value for losses; values for the rest."""
    one = records["lora"]
    if place[-1] in FACTORS or place[-2:-1] == ("nats",):
        value *= (was := _at(json.loads(one.model_dump_json()), place))
        value = round(value) if isinstance(was, int) else value
    changed, other = _with(one, place, value), [Difference("threads", "1", "2", True)]
    assert Verdict(one, differences(one, changed), other).reproduces == holds
    if value in (math.inf, 99.0):  # and if the record holds what cannot be
        assert not Verdict(changed, differences(changed, one), other).reproduces


FACTORS = ("start_loss", "bits_per_byte", "test", "loss", "from_base", "from_start")
FACTORS += ("adapter_bytes", "forward", "peak_memory_bytes")


def test_norms_of_deltas_have_the_limit_of_losses(records: dict[str, Record]) -> None:
    one = records["lora"]
    assert one.effect is not None
    name, norm = max(one.effect.delta_norms.items(), key=lambda item: item[1])
    for changed, holds in ((1.2 * norm, True), (3 * norm, False), (math.inf, False)):
        (told,) = differences(one, _with(one, ("effect", "delta_norms", name), changed))
        assert told.within == holds and told.fact.startswith("effect.delta_norms: 1 of ")
    (told,) = differences(one, _with(one, ("effect", "delta_norms"), {"other": 1.0}))
    assert not told.within


@pytest.mark.parametrize("fact", ["commit", "changes in the checkout", "lora-suite"])
def test_other_code_excuses_nothing(fact: str, records: dict[str, Record]) -> None:
    one = records["lora"]
    assert one.after is not None and one.after.bits_per_byte is not None
    found = differences(one, _with(one, ("after", "bits_per_byte"), 1.2 * one.after.bits_per_byte))
    assert [d.within for d in found] == [True]
    code, threads = Difference(fact, "a", "b", True), Difference("threads", "1", "2", True)
    assert not Verdict(one, found, [code]).reproduces
    assert Verdict(one, [], [code]).reproduces
    assert Verdict(one, found, [code, threads]).reproduces
    told = Verdict(one, found, [code]).json()
    assert (told["judged"], told["code_differs"], told["repeated"]) == ("in bits", True, "everything")
    assert Verdict(one, found, [code, threads]).json()["judged"] == "within limits"


def test_what_a_trial_was_chosen_by_was_scored_before_its_weights_were_saved(
    records: dict[str, Record],
) -> None:
    one = records["lora"]
    for split, kept, holds in (
        ("validation", True, True),
        ("validation", False, False),
        ("test", True, False),
    ):
        made = one.provenance.model_copy(update={"settings": {"scored": "kept weights"} if kept else {}})
        found = [Difference(f"after.log_loss.{split}", "1", "1.001", True)]
        known = one.model_copy(update={"provenance": made})
        assert Verdict(known, found, [], scores_only=True).reproduces == holds
        assert not Verdict(known, found, []).reproduces


def test_weights_that_are_only_scored_again_are_held_closer(records: dict[str, Record]) -> None:
    one, other = records["lora"], [Difference("threads", "1", "2", True)]
    assert one.after is not None and one.after.bits_per_byte is not None
    for factor, holds in ((1.009, True), (1.011, False)):
        now = _with(one, ("after", "bits_per_byte"), factor * one.after.bits_per_byte)
        assert Verdict(one, differences(one, now, trained=False), other).reproduces == holds


def test_elsewhere_a_score_stays_within_its_interval() -> None:
    other = [Difference("threads", "1", "2", True)]
    for right, holds in ((50, True), (37, True), (36, False), (64, False)):
        one, now = (record(cell(LORA, "sums", 0)) for _ in range(2))
        assert one.after is not None and now.after is not None
        one.after.target["sums_test"] = score("sums_test", 50, 100)
        now.after.target["sums_test"] = score("sums_test", right, 100)
        assert Verdict(one, differences(one, now), other).reproduces == holds


def test_the_interval_is_newcombe_s() -> None:
    """Of two unpaired shares, as printed in Newcombe 1998, table II, method 10."""
    for a, m, b, n, low, high in (
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (10, 10, 0, 20, 0.6791, 1.0),
    ):
        found = interval(score("e", b, n), score("e", a, m))
        assert found == pytest.approx((low, high), abs=5e-5)
    assert interval(score("e", 1, 4).model_copy(update={"n": None}), score("e", 1, 4)) is None
    assert interval(score("e", 1, 4), score("e", 1, 4).model_copy(update={"value": 1.01})) is None


def test_where_a_record_was_made_is_told(records: dict[str, Record]) -> None:
    one = records["lora"]
    assert elsewhere(one, one) == []
    versions = {**one.provenance.versions, "torch": "0.0"}
    made = one.provenance.model_copy(update={"threads": 7, "dirty": None, "versions": versions})
    told = elsewhere(one.model_copy(update={"provenance": made}), one)
    assert [d.fact for d in told if d.fact != "changes in the checkout"] == ["threads", "torch"]
    assert str(told[0]) == "threads: 7 recorded, 1 now"


def test_a_record_that_contradicts_itself() -> None:
    one = record(cell(LORA, "sums", 0))
    assert contradictions(one) == []
    (told,) = contradictions(one.model_copy(update={"id": "0" * 16}))
    assert told.fact == "id"
    (told,) = contradictions(_with(one, ("before", "target", "sums_test", "value"), 0.75))
    assert (told.fact, told.recorded, told.now) == ("before.target.sums_test.value", "0.75", "0 by its items")


def test_what_is_not_here_as_it_was(
    here: Again, trained_store: Path, records: dict[str, Record], tmp_path: Path
) -> None:
    one = records["lora"]

    def refused(changed: Record, **how: Any) -> str:
        with pytest.raises(UserError) as caught:
            here(changed, trained_store, **how)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    part = one.cell.model_copy
    assert "was not trained here" in refused(imported("first", 0.5))
    assert "the base in" in refused(one, model="pocket")
    assert "say where with --model" in refused(one, model=None)
    assert "no weights of record" in refused(_cell(one, seed=5), evaluation_only=True)
    task = one.cell.task.model_copy(update={"digest": "0" * 16})
    assert "task 'math' is not what record" in refused(_cell(one, task=task))
    skills = one.cell.evaluation.model_copy(update={"general_digest": "0" * 16})
    assert "the general skills is not what record" in refused(_cell(one, evaluation=skills))
    for field, values in (
        ("variant", {"revision": 99}),
        ("recipe", {"revision": 99}),
        ("evaluation", {"revision": 99}),
    ):
        changed = getattr(part(), field).model_copy(update=values)
        assert "was made by revision 99 of" in refused(_cell(one, **{field: changed}))


def test_data_that_changed_are_named(records: dict[str, Record]) -> None:
    read = records["lora"].model_copy(update={"data": {"gsm8k/train.jsonl": "a" * 64}})
    with pytest.raises(
        UserError, match=r"'gsm8k/train.jsonl' has SHA-256 bbbbbbbbbbbbbbbb.* made with aaaaaaaaaaaaaaaa"
    ):
        suite.verify._check_data(read, {"gsm8k/train.jsonl": "b" * 64})
    suite.verify._check_data(read, {"gsm8k/train.jsonl": "a" * 64, "other": "b"})


def test_a_cell_that_cannot_be_run_leaves_nothing_behind(
    here: Again, trained_store: Path, records: dict[str, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*args: Any) -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("suite.run.local.run", stopped)
    before = files(trained_store)
    with pytest.raises(KeyboardInterrupt):
        here(records["lora"], trained_store)
    assert list(Path(tempfile.gettempdir()).iterdir()) == [] and files(trained_store) == before


@pytest.mark.parametrize(
    ("found", "where", "code", "told"),
    [
        ([], [], 0, "reproduces bit for bit (machine, versions and code are those of the record)"),
        ([Difference("x", "1", "2", True)], [], 1, "does not reproduce: 1 facts differ"),
        (
            [Difference("x", "1", "2", True)],
            [Difference("threads", "1", "2", True)],
            0,
            "within the limits of",
        ),
        ([Difference("x", "1", "2")], [Difference("threads", "1", "2", True)], 1, "does not reproduce"),
        (
            [],
            [Difference("commit", "a", "b", True)],
            0,
            "reproduces bit for bit (commit differ; machine and ver",
        ),
        (
            [Difference("x", "1", "2", True)],
            [Difference("commit", "a", "b", True)],
            1,
            "1 facts differ, most likely for the code (commit differ; machine and versions are those",
        ),
    ],
)
def test_the_command_says_it_and_exits(
    found: Sequence[Difference],
    where: Sequence[Difference],
    code: int,
    told: str,
    trained_store: Path,
    records: dict[str, Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = records["lora"]
    one = one.model_copy(update={"provenance": one.provenance.model_copy(update={"dirty": False})})
    monkeypatch.setattr("suite.verify.verify", lambda *args, **how: Verdict(one, found, where))
    given = ["verify", one.id[:8], "--store", str(trained_store)]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == code and told in result.stdout
    for difference in [*found, *where]:
        assert str(difference) in result.stdout
    answer = json.loads(CliRunner().invoke(app, [*given, "--json"]).stdout)
    assert answer["reproduces"] == (code == 0) and len(answer["differences"]) == len(found)


def test_the_command_does_not_say_that_a_record_reproduces_of_which_only_scores_were_repeated(
    trained_store: Path, records: dict[str, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = records["lora"]
    monkeypatch.setattr("suite.verify.verify", lambda *args, **how: Verdict(one, [], [], True))
    told = CliRunner().invoke(app, ["verify", one.id, "--store", str(trained_store), "--evaluation-only"])
    assert told.stdout.startswith(f"the scores of record {one.id} reproduce bit for bit (machine, ver")
    assert told.stdout.endswith("effect, parameters, start loss and costs were not repeated\n")
    moved, scored = Difference("after.x", "1", "2", True), Difference("scored", "none", "kept weights", True)
    monkeypatch.setattr("suite.verify.verify", lambda *args, **how: Verdict(one, [moved], [scored], True))
    told = CliRunner().invoke(app, ["verify", one.id, "--store", str(trained_store), "--evaluation-only"])
    assert f"the scores of record {one.id} reproduce within the limits of weights that were s" in told.stdout
    dirty = one.model_copy(update={"provenance": one.provenance.model_copy(update={"dirty": True})})
    monkeypatch.setattr("suite.verify.verify", lambda *args, **how: Verdict(dirty, [], []))
    told = CliRunner().invoke(app, ["verify", one.id, "--store", str(trained_store)])
    assert "whose checkout had changes as this has" in told.stdout


def test_mistakes_of_the_command(trained_store: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text('{"schema_version": 3, "id": "x"}')
    for given, told in (("nothing", "no record 'nothing'"), (str(old), "a record of schema 3")):
        result = CliRunner().invoke(app, ["verify", given, "--store", str(trained_store)])
        assert result.exit_code == 2 and told in result.stderr and result.stderr.count("\n") == 1


def _with(one: Record, place: tuple[Any, ...], value: Any) -> Record:
    content = json.loads(one.model_dump_json())
    _at(content, place[:-1])[place[-1]] = value
    return Record.model_validate_json(json.dumps(content))


def _at(content: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        content = content[key]
    return content


def _cell(one: Record, **changes: Any) -> Record:
    changed = one.cell.model_copy(update=changes)
    return one.model_copy(update={"cell": changed, "id": changed.id})


def _forged(one: Record) -> Record:
    """All items of a skill right, and its score with them."""
    assert one.after is not None and one.after.general["pocket_arc"].value < 1
    for i in range(len(one.after.general["pocket_arc"].items)):
        one = _with(one, ("after", "general", "pocket_arc", "items", i, "correct"), 1.0)
    return _with(one, ("after", "general", "pocket_arc", "value"), 1.0)
