"""`suite verify`: a record's cell, or only its evaluation, once more, and whether the same comes out.

Everything is rebuilt from the record: the base by name and content, the data by their digests, the variant by
its settings. What is made goes into a temporary folder; the store of the record is only read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite import model as models
from suite.errors import UserError
from suite.export import base_folder, kept_folder
from suite.jobs import ScoreKept
from suite.kernels import check_attention
from suite.plan import Plan, Read, check_model
from suite.record import Cell, EvaluationSettings, Recipe, Record
from suite.reproduction import CODE, Difference, contradictions, differences, elsewhere
from suite.request import ATTENTIONS, Request
from suite.run import Outcome, Runner
from suite.setup import Setup
from suite.store import Store

KEPT = "kept weights"  # in the settings of a record whose test split was read from them
CHOSEN_BY = ("after.held_out.validation", "after.log_loss.validation")  # what a trial was scored on before
Execute = Callable[[Runner, Plan], Outcome]


@dataclass(frozen=True)
class Verdict:
    """What came of a repetition. `elsewhere` is what of machine, versions and code is not as it was.

    `scores_only`: nothing was trained, and all but the scores was taken from the record.
    """

    record: Record
    differences: Sequence[Difference]
    elsewhere: Sequence[Difference]
    scores_only: bool = False

    @property
    def machine(self) -> list[Difference]:
        """What of device, threads, versions and settings is not as it was: sums may be rounded otherwise."""
        return [one for one in self.elsewhere if one.fact not in CODE]

    @property
    def code(self) -> list[Difference]:
        """What of the suite's own code is not as it was, which excuses nothing."""
        return [one for one in self.elsewhere if one.fact in CODE]

    @property
    def telling(self) -> list[Difference]:
        """Differences that say no: all of them on the same machine, those beyond the limits on another."""
        return [one for one in self.differences if not (one.within and (self.machine or self._live(one)))]

    def _live(self, one: Difference) -> bool:
        """Whether the record has this number of the trained adapter itself, and now it is of kept weights."""
        kept = self.record.provenance.settings.get("scored") == KEPT
        return self.scores_only and kept and one.fact.startswith(CHOSEN_BY)

    @property
    def reproduces(self) -> bool:
        """Whether the record holds."""
        return not self.telling

    def json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "record": self.record.id,
            "reproduces": self.reproduces,
            "bit_for_bit": not self.differences,
            "repeated": "scores" if self.scores_only else "everything",
            "judged": "within limits" if self.machine else "in bits",
            "code_differs": bool(self.code),
            "elsewhere": [vars(one) for one in self.elsewhere],
            "differences": [vars(one) for one in self.differences],
        }


def verify(
    record: Record,
    store: Path,
    execute: Execute,
    command: str,
    *,
    evaluation_only: bool = False,
    model: str | None = None,
    data: tuple[str, ...] = (),
    device: str = "auto",
) -> Verdict:
    """Repeat what `record` tells and compare. `execute` runs a Runner to its end and shows it.

    Raises UserError where there is nothing to be repeated or what it needs is not here as it was: the base,
    the data, the weights, the variant's or the suite's revision.
    """
    _check(record, evaluation_only)
    folder = kept_folder(record, store) if evaluation_only else None
    if told := contradictions(record):
        return Verdict(record, told, (), evaluation_only)
    plan = plan_of(record, model, data, device)
    with _place() as place:
        again = _again(record, plan, place, execute, command, folder)
    found = differences(record, again, folder is None)
    return Verdict(record, found, elsewhere(record, again), folder is not None)


def _check(record: Record, evaluation_only: bool) -> None:
    """The record is of a cell that was trained here, by the same revisions."""
    if record.source is not None or record.cell.recipe is None:
        raise UserError(
            f"record {record.id} was not trained here; only a record of `suite run` can be repeated"
        )
    if evaluation_only and record.measured != "all":
        raise UserError(
            f"record {record.id} is a trial, whose evaluation was not run; leave --evaluation-only out"
        )
    for what, made, here in _revisions(record.cell):
        if made != here:
            where = record.provenance.commit
            hint = f"use the suite's commit {where}" if where else "use the version that made it"
            raise UserError(
                f"record {record.id} was made by revision {made} of {what}, this is {here}; {hint}"
            )


def _revisions(cell: Cell) -> Iterator[tuple[str, int | None, int | None]]:
    """(of what, the cell's revision, ours)."""
    from variants import registry

    variant = registry.build(cell.variant.name, cell.variant.settings)
    yield f"variant {cell.variant.name!r}", cell.variant.revision, variant.revision
    yield "the training loop", cell.how.recipe.revision, Recipe.model_fields["revision"].default
    ours = EvaluationSettings.model_fields["revision"].default
    yield "the evaluation", cell.evaluation.revision, ours


def plan_of(record: Record, model: str | None, data: tuple[str, ...], device: str) -> Plan:
    """The plan of the one cell. UserError or TaskError where base or data are not those of the record."""
    from tasks import registry
    from tasks.interface import Places

    cell, recipe = record.cell, record.cell.how.recipe
    folder, own = Request(data=data).folders()
    places = Places(data=folder, own=own)
    base = base_folder(record, model)
    task = registry.get(
        cell.task.name,
        places,
        cell.task.source,
        cell.evaluation.target,
        examples=recipe.examples,
        tokens=recipe.tokens,
    )
    general = registry.general(folder)
    _check_data(record, {**task.files, **general.files})
    read = Read(task, recipe, cell.evaluation)
    for what, made, here in (
        (f"task {cell.task.label!r}", cell.task, read.ref),
        ("the general skills", cell.evaluation.general_digest, general.digest),
    ):
        if made != here:
            lies = "with --data, say where what it read lies" if folder is None else "give the data it read"
            raise UserError(f"{what} is not what record {record.id} read ({made}; here {here}); {lies}")
    check_model(base, [read])
    return Plan(cell.track, (cell,), _setup(record, base, places, device), measured=record.measured)


def _check_data(record: Record, files: dict[str, str]) -> None:
    """Every file that the record read has the content that it had."""
    for name, sha in record.data.items():
        if (here := files.get(name)) is not None and here != sha:
            raise UserError(
                f"data file {name!r} has SHA-256 {here[:16]}..., and record {record.id} was made with "
                f"{sha[:16]}...; give the folder or file that it read with --data"
            )


def _setup(record: Record, base: Path, places: Any, device: str) -> Setup:
    """How memory was used, as far as it changes sums."""
    cost, where = record.cost, models.resolve_device(device)
    kernel = cost.attention if cost and cost.attention in ATTENTIONS else None
    check_attention(kernel, record.cell.how.recipe.precision, where)
    return Setup(
        base=base,
        places=places,
        device=where,
        micro_batch=cost.micro_batch if cost else None,
        checkpointing=bool(cost and cost.checkpointing),
        attention=kernel,
    )


@contextmanager
def _place() -> Iterator[Store]:
    """A store that is gone afterwards, in the system's folder for such things."""
    with tempfile.TemporaryDirectory(prefix="suite-verify-") as folder:
        yield Store(folder)


def _again(
    record: Record, plan: Plan, place: Store, execute: Execute, command: str, folder: Path | None
) -> Record:
    """The cell's second record, made in the way the first one was."""
    kept = record.provenance.settings.get("scored") == KEPT
    if folder is not None:
        unread = record.model_copy(update={"after": None})  # so that no score is taken from it
        runner = Runner(plan, place, command, lambda cells: [ScoreKept(unread, folder)])
        return _outcome(execute(runner, plan), record)
    if kept:  # a trial whose test split was read later, from its weights
        from dataclasses import replace

        trial = replace(plan, measured="validation")
        _outcome(execute(Runner(trial, place, command), trial), record)
    runner = Runner(plan, place, command, weights=kept or record.weights is not None)
    return _outcome(execute(runner, plan), record)


def _outcome(outcome: Outcome, record: Record) -> Record:
    """The record that a run left, which has to be one."""
    if why := outcome.lost.get(record.id):
        raise UserError(f"record {record.id} could not be repeated: {why}")
    (again,) = outcome.records
    return again
