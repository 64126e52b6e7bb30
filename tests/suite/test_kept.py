"""A trial whose weights are kept is scored later: the same numbers as if that had been done at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.baseline import before
from suite.errors import UserError
from suite.found import Found, record_of
from suite.jobs import ScoreKept, TrainPack
from suite.plan import Request, resolve
from suite.provenance import provenance
from suite.record import Record, Scores
from suite.workshop import Workshop

Three = tuple[Record, Record, Found]
VARIANTS = "lora:rank=4,pissa:rank=4,loftq:rank=4,lori-s:rank=4,fullft"


def untold(stage: str, step: int, steps: int, loss: float | None = None) -> None:
    """Progress that nobody follows."""


@pytest.fixture(scope="module")
def both(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Three]:
    """Each variant's cell: scored at once, as a trial, and what finishing the trial found."""
    plan = resolve(
        Request(variants=VARIANTS, tasks="math", model=str(tiny_base), steps="3", limit="2", device="cpu")
    )
    shop = Workshop(plan.setup, 1, tmp_path_factory.mktemp("kept"))
    assert shop.keep is not None
    known: dict[str, object] = {}
    for job in before(plan.cells[0], plan.cells[0].how.recipe):
        known |= job.run(shop, untold)
    made, scores = provenance("suite run", "cpu", 1), Scores.model_validate(known)
    found = []
    for cell in plan.cells:
        whole = record_of(TrainPack((cell,)).run(shop, untold)[0], scores, made)
        pack = TrainPack((cell,), measured="validation")
        trial = record_of(pack.run(shop, untold)[0], scores, made)
        (later,) = ScoreKept(trial, shop.keep / cell.id).run(shop, untold)
        found.append((whole, trial, later))
    return found


def test_a_trial_knows_nothing_of_test(both: list[Three]) -> None:
    for _, trial, _ in both:
        assert trial.after is not None and trial.before is not None and not trial.read
        assert set(trial.after.log_loss) == set(trial.after.held_out) == {"validation"}
        assert not trial.after.target and not trial.after.general and trial.after.bits_per_byte is None
        assert set(trial.before.log_loss) == {"validation"} and not trial.before.target
        assert (trial.gain, trial.forgetting, trial.score, trial.forgetting_by_skill) == (
            None,
            None,
            None,
            {},
        )


def test_scored_later_is_scored_at_once(both: list[Three]) -> None:
    for whole, _, found in both:
        later = record_of(found, whole.before, whole.provenance)
        assert later.model_dump(exclude={"cost"}) == whole.model_dump(exclude={"cost"}), whole.cell.variant


def test_weights_that_are_not_the_records_are_refused(
    both: list[Three], tmp_path: Path, tiny_base: Path
) -> None:
    record = both[0][1]
    shop = Workshop(resolve(Request(tasks="math", model=str(tiny_base), device="cpu")).setup, 1)
    with (
        pytest.raises(UserError, match=f"the weights of record {record.id} are not in"),
        shop.kept(record, tmp_path),
    ):
        pass
