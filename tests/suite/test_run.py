"""From events to records, with an engine that the test plays: what is written, skipped, lost, tried again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from suite.baseline import ScoreGeneral, ScoreTask
from suite.engines.local import Done, Failed, Started
from suite.found import Found
from suite.jobs import TrainPack
from suite.plan import Plan
from suite.record import (
    BaseRef,
    Cell,
    Cost,
    Effect,
    EvaluationSettings,
    HeldOut,
    Recipe,
    Score,
    Search,
    TaskRef,
    VariantRef,
)
from suite.run import Runner
from suite.setup import Setup
from suite.store import Store
from tasks.interface import Places


def cell(variant: str = "lora", task: str = "math", seed: int = 0, precision: Any = "float32") -> Cell:
    return Cell(
        track="t@1",
        base=BaseRef(name="b", digest="0"),
        variant=VariantRef(name=variant, settings={}, revision=1),
        task=TaskRef(name=task, source="pocket", revision=1, digest="0"),
        recipe=Recipe(steps=3, batch_size=1, precision=precision),
        learning_rate=0.1,
        seed=seed,
        evaluation=EvaluationSettings(target=[f"e_{task}"], general=["g"]),
    )


def score(name: str, value: float) -> Score:
    return Score(evaluation=name, metric="acc", value=value, n=1, metrics={})


def base_result(job: ScoreGeneral | ScoreTask) -> dict[str, Any]:
    """What a worker says of the base."""
    if isinstance(job, ScoreGeneral):
        return {"general": {"g": score("g", 0.9).model_dump(mode="json")}, "bits_per_byte": 1.5}
    name = job.cell.evaluation.target[0]
    target = {name: score(name, 0.0).model_dump(mode="json")}
    return {"target": target, "log_loss": {"validation": 2.0, "test": 2.0}, "held_out": {}}


def found(one: Cell, **changes: Any) -> Found:
    name = one.evaluation.target[0]
    whole: dict[str, Any] = {
        "status": "ok",
        "target": {name: score(name, 0.8)},
        "general": {"g": score("g", 0.7)},
        "held_out": {s: HeldOut(accuracy=0.5, nats=[1.0], tokens=[1]) for s in ("validation", "test")},
        "bits_per_byte": 1.6,
    }
    return Found(one, **{**whole, **changes})


class Silent:
    """A display that remembers what was lost."""

    def __init__(self) -> None:
        self.lost_cells: list[str] = []

    def see(self, event: Any) -> None: ...

    def wrote(self, record: Any) -> None: ...

    def lost(self, title: str, why: str) -> None:
        self.lost_cells.append(f"{title}: {why}")


Answer = Callable[[Any], Any]


def well(job: Any) -> Any:
    """Every job goes well."""
    if isinstance(job, TrainPack):
        return Done(0, job, [found(one) for one in job.cells])
    return Done(0, job, base_result(job))


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[Runner, list[Any], Silent]]:
    """Run cells into one store; gives the runner, the jobs that ran, and the display."""

    def run(
        cells: list[Cell], answer: Answer = well, hold: int = 0, **setup: Any
    ) -> tuple[Runner, list[Any], Silent]:
        ran: list[Any] = []

        def engine(make: Any, jobs: Iterator[Any], workers: int, threads: int | None) -> Iterator[Any]:
            held: list[Any] = []
            for job in jobs:
                ran.append(job)
                yield Started(0, job)
                if len(ran) <= hold:
                    held.append(job)
                else:
                    yield answer(job)
            for job in held:
                yield answer(job)

        monkeypatch.setattr("suite.run.local.run", engine)
        how = {name: setup.pop(name) for name in ("searches", "measured") if name in setup}
        plan = Plan("t@1", tuple(cells), Setup(tmp_path, Places(), "cpu", **setup), **how)
        runner = Runner(plan, Store(tmp_path / "store"), "suite run")
        shown = Silent()
        runner.run(shown, 1, 1)
        return runner, ran, shown

    return run


def test_records_hold_the_base_before_and_the_cell_after(play: Any) -> None:
    runner, ran, _ = play([cell(), cell("pissa"), cell(task="code")])
    assert [type(job) for job in ran] == [ScoreGeneral, ScoreTask, ScoreTask, TrainPack, TrainPack, TrainPack]
    assert len(runner.outcome.records) == 3 and runner.outcome.failed == 0
    record = runner.outcome.records[0]
    assert record.gain == pytest.approx(80) and record.forgetting == pytest.approx(20)
    assert record.provenance.command == "suite run" and "torch" in record.provenance.versions


def test_a_second_run_does_nothing(play: Any) -> None:
    play([cell()])
    runner, ran, _ = play([cell()])
    assert ran == [] and runner.outcome.skipped == 1 and len(runner.outcome.records) == 1


def test_new_cells_use_the_base_scores_that_are_there(play: Any) -> None:
    play([cell()])
    _, ran, _ = play([cell(), cell(seed=1)])
    assert [type(job) for job in ran] == [TrainPack] and ran[0].cells == (cell(seed=1),)


def test_another_precision_has_another_base(play: Any) -> None:
    play([cell()])
    _, ran, _ = play([cell(precision="bfloat16")])
    assert [type(job) for job in ran] == [ScoreGeneral, ScoreTask, TrainPack]


def test_spoiled_base_scores_are_made_again(play: Any, tmp_path: Path) -> None:
    play([cell()])
    for file in (tmp_path / "store" / "base").glob("*.json"):
        file.write_text(json.dumps({"general": 1}))
    _, ran, _ = play([cell(seed=1)])
    assert [type(job) for job in ran] == [ScoreGeneral, ScoreTask, TrainPack]


def test_a_cell_that_is_faster_than_its_base_waits(play: Any) -> None:
    runner, _, _ = play([cell(), cell("pissa")], hold=2)
    assert [record.status for record in runner.outcome.records] == ["ok", "ok"]


@pytest.mark.parametrize("status", ["diverged", "oom"])
def test_a_bad_end_is_a_result_and_is_not_run_again(play: Any, status: Any) -> None:
    def answer(job: Any) -> Any:
        if isinstance(job, TrainPack):
            return Done(0, job, [Found(job.cells[0], status, "it went wrong")])
        return well(job)

    runner, _, _ = play([cell()], answer)
    (record,) = runner.outcome.records
    assert (record.status, record.error, record.after) == (status, "it went wrong", None)
    assert runner.outcome.failed == 0
    assert play([cell()])[1] == []


def test_memory_that_ran_out_is_tried_again_where_there_is_more(play: Any) -> None:
    def answer(job: Any) -> Any:
        if isinstance(job, TrainPack):
            return Done(0, job, [Found(job.cells[0], "oom", "no room", cost=Cost(checkpointing=False))])
        return well(job)

    play([cell()], answer)
    assert play([cell()])[1] == []
    runner, ran, _ = play([cell()], checkpointing=True)
    assert len(ran) == 1 and runner.outcome.records[0].status == "ok"


def test_a_cell_that_raises_fails_alone_and_is_run_again(play: Any) -> None:
    def answer(job: Any) -> Any:
        if isinstance(job, TrainPack) and job.cells[0].variant.name == "lora":
            return Failed(0, job, "RuntimeError: broken")
        return well(job)

    runner, _, _ = play([cell(), cell("pissa")], answer)
    assert [record.status for record in runner.outcome.records] == ["failed", "ok"]
    assert runner.outcome.failed == 1
    again, ran, _ = play([cell(), cell("pissa")])
    assert len(ran) == 1 and again.outcome.failed == 0


def test_a_cell_whose_worker_was_killed_leaves_no_record(play: Any) -> None:
    def answer(job: Any) -> Any:
        if isinstance(job, TrainPack) and job.cells[0].variant.name == "lora":
            return Failed(0, job, "its worker process ended by signal 9", died=True)
        return well(job)

    runner, _, shown = play([cell(), cell("pissa")], answer)
    assert [record.cell.variant.name for record in runner.outcome.records] == ["pissa"]
    assert runner.outcome.failed == 1
    assert shown.lost_cells == ["lora on math, lr 0.1, seed 0: its worker process ended by signal 9"]
    assert len(play([cell(), cell("pissa")])[1]) == 1


def test_a_base_that_cannot_be_scored_spares_the_training(play: Any) -> None:
    def answer(job: Any) -> Any:
        if isinstance(job, ScoreTask) and job.cell.task.name == "code":
            return Failed(0, job, "TaskError: no sandbox")
        return well(job)

    runner, ran, shown = play([cell(), cell(task="code")], answer)
    assert [job.cells[0].task.name for job in ran if isinstance(job, TrainPack)] == ["math"]
    assert runner.outcome.failed == 1 and len(runner.outcome.records) == 1
    assert "base on code: TaskError: no sandbox" in shown.lost_cells[0]


def test_longest_first_within_a_precision(play: Any) -> None:
    cells = [cell("lora"), cell("lori-s"), cell("fullft", precision="bfloat16")]
    _, ran, _ = play(cells)
    packs = [job for job in ran if isinstance(job, TrainPack)]
    assert [job.cells[0].variant.name for job in packs] == ["fullft", "lori-s", "lora"]
    assert packs[1].steps == 6


def test_the_proof_and_the_weights_are_part_of_the_record(play: Any, tmp_path: Path) -> None:
    effect = Effect(text_digest="0", from_base=1, from_start=1, delta_norms={"w": 2}, reload_error=0)

    def answer(job: Any) -> Any:
        if isinstance(job, TrainPack):
            return Done(0, job, [found(job.cells[0], effect=effect, weights="ab")])
        return well(job)

    runner, _, _ = play([cell()], answer)
    (record,) = runner.outcome.records
    assert record.effect == effect and record.weights == "ab" and record.source is None
    assert runner.keep == tmp_path / "store" / "adapters"
    assert Runner(runner.plan, runner.store, "suite run", weights=False).keep is None


def test_a_cell_that_needs_no_base_has_no_scores_before(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainPack, "before", lambda self, cell: ())
    runner, ran, _ = play([cell()])
    assert [type(job) for job in ran] == [TrainPack]
    (record,) = runner.outcome.records
    assert record.before is None and record.after is not None and record.gain is None


def test_a_job_that_only_reads_leaves_no_record_when_it_fails(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainPack, "fails_for_good", False)
    runner, _, shown = play(
        [cell()], lambda job: Failed(0, job, "no fit") if isinstance(job, TrainPack) else well(job)
    )
    assert runner.outcome.records == [] and runner.outcome.failed == 1
    assert shown.lost_cells == ["lora on math, lr 0.1, seed 0: no fit"]


SEARCH = Search(method="grid", rates=[0.1], default=0.1, role="trial")


def trial_of(job: Any) -> Any:
    """Every job goes well, and scores what it was asked for."""
    if isinstance(job, TrainPack) and job.measured == "validation":
        held = {"validation": HeldOut(accuracy=0.5, nats=[1.0], tokens=[1])}
        return Done(0, job, [Found(one, "ok", measured="validation", held_out=held) for one in job.cells])
    return well(job)


def test_a_trial_is_finished_by_a_plan_that_measures_all(play: Any) -> None:
    runner, _, _ = play([cell()], trial_of, searches={cell().id: SEARCH}, measured="validation")
    assert not runner.outcome.records[0].read and runner.outcome.records[0].search == SEARCH
    runner, ran, _ = play([cell()], trial_of, searches={cell().id: SEARCH}, measured="validation")
    assert ran == []
    runner, ran, _ = play([cell()], trial_of)
    assert [type(job) for job in ran] == [TrainPack]
    done = runner.outcome.records[0]
    assert done.read and done.gain == pytest.approx(80) and done.search == SEARCH


@pytest.mark.parametrize("how", ["failed", "oom", "raised"])
def test_a_good_trial_outlives_a_bad_try_to_read_its_test(play: Any, tmp_path: Path, how: Any) -> None:
    play([cell()], trial_of, searches={cell().id: SEARCH}, measured="validation")
    before = Store(tmp_path / "store").records()

    def badly(job: Any) -> Any:
        if how == "raised":
            return Failed(0, job, "no room")
        return Done(0, job, [Found(one, how, "no room") for one in job.cells])

    runner, _, shown = play([cell()], badly)
    assert Store(tmp_path / "store").records() == before
    assert runner.outcome.failed == 1 and "its trial is kept" in shown.lost_cells[0]
