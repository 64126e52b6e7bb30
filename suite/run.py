"""Plan -> base scores and cells -> records. This file decides nothing: it passes things on, and waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from suite.engines import local
from suite.jobs import Found, ScoreGeneral, ScoreTask, TrainPack, title
from suite.plan import Pack, Plan, packs
from suite.progress import Display
from suite.provenance import provenance
from suite.record import Cell, Record, Scores
from suite.store import Store
from suite.workshop import Workshop

BaseJob = ScoreGeneral | ScoreTask


@dataclass
class Outcome:
    """What a run came to. `lost` are cells without a record: the next run tries them again."""

    records: list[Record] = field(default_factory=list)
    skipped: int = 0
    lost: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Cells that failed or were lost."""
        return len(self.lost) + sum(record.status == "failed" for record in self.records)


def unfinished(plan: Plan, store: Store) -> list[Cell]:
    """The cells without a record, and those whose record says failed."""
    return [c for c in plan.cells if not store.has(c.id) or store.read(c.id).status == "failed"]


def base_jobs(cells: Sequence[Cell], store: Store) -> list[BaseJob]:
    """What has to be known of the untouched base and is not in the store yet."""
    wanted: dict[str, BaseJob] = {}
    for cell in cells:
        wanted.update({job.key: job for job in _before(cell)})
    return [job for key, job in wanted.items() if not job.fits(store.base_scores(key))]


def pack_jobs(cells: Sequence[Cell]) -> list[TrainPack]:
    """The packs to be trained: one precision after the other (a worker holds one base), longest first."""
    jobs = [TrainPack(pack, max(_phases(cell) for cell in pack)) for pack in packs(cells)]
    return sorted(jobs, key=lambda job: (job.cells[0].recipe.precision, -job.steps))


class Runner:
    """One run under way: hands out jobs, and turns what comes back into records."""

    def __init__(self, plan: Plan, store: Store, command: str) -> None:
        self.plan, self.store, self.command = plan, store, command
        self.cells = unfinished(plan, store)
        self.base_jobs = base_jobs(self.cells, store)
        self.packs = pack_jobs(self.cells)
        self.outcome = Outcome(skipped=len(plan.cells) - len(self.cells))
        self._waiting: list[Found] = []
        self._broken: dict[str, str] = {}

    @property
    def jobs(self) -> list[BaseJob | TrainPack]:
        """Everything that is to be done, base first."""
        return [*self.base_jobs, *self.packs]

    def run(self, show: Display, workers: int, threads: int | None) -> Outcome:
        """Run it to the end. What is finished is in the store at every moment."""
        make = partial(Workshop, self.plan.base, self.plan.data, self.plan.device, threads)
        for event in local.run(make, self._jobs(show), workers, threads):
            show.see(event)
            if isinstance(event, local.Done):
                self._done(event.job, event.result)
                self._write(show)
            elif isinstance(event, local.Failed):
                self._failed(event.job, event.error, event.died, show)
                self._write(show)
        self.outcome.records = [self.store.read(c.id) for c in self.plan.cells if self.store.has(c.id)]
        return self.outcome

    def _jobs(self, show: Display) -> Iterator[BaseJob | TrainPack]:
        """Base first; then the packs, but for those whose base could not be scored meanwhile."""
        yield from self.base_jobs
        for pack in self.packs:
            why = next((w for cell in pack.cells if (w := self._why_broken(cell))), None)
            if why is None:
                yield pack
            else:
                self._lose(pack.cells, why, show)

    def _done(self, job: BaseJob | TrainPack, result: Any) -> None:
        if isinstance(job, TrainPack):
            self._waiting += result
        else:
            self.store.write_base_scores(job.key, result)

    def _failed(self, job: BaseJob | TrainPack, error: str, died: bool, show: Display) -> None:
        """A cell that raised is a record; one whose worker was killed, or whose base failed, is not."""
        if not isinstance(job, TrainPack):
            self._broken[job.key] = f"{job.title}: {error}"
        elif died:
            self._lose(job.cells, error, show)
        else:
            self._waiting += [Found(cell, "failed", error) for cell in job.cells]

    def _lose(self, cells: Pack, why: str, show: Display) -> None:
        for cell in cells:
            self.outcome.lost[cell.id] = why
            show.lost(title(cell), why)

    def _write(self, show: Display) -> None:
        """Write every cell whose base scores are known."""
        still = []
        for found in self._waiting:
            if why := self._why_broken(found.cell):
                self._lose((found.cell,), why, show)
            elif (before := self._scores_before(found.cell)) is None:
                still.append(found)
            else:
                made = provenance(self.command, self.plan.device, found.threads)
                record = _record(found, before, made)
                self.store.write(record)
                show.wrote(record)
        self._waiting = still

    def _why_broken(self, cell: Cell) -> str | None:
        return next((self._broken[job.key] for job in _before(cell) if job.key in self._broken), None)

    def _scores_before(self, cell: Cell) -> Scores | None:
        """The untouched base under this cell's evaluation, if all of it has been scored."""
        parts = [self.store.base_scores(job.key) for job in _before(cell)]
        if any(part is None for part in parts):
            return None
        return Scores.model_validate({key: value for part in parts if part for key, value in part.items()})


def _before(cell: Cell) -> tuple[BaseJob, BaseJob]:
    """What has to be known of the base before this cell can be a record."""
    return ScoreGeneral.before(cell), ScoreTask(cell)


def _phases(cell: Cell) -> int:
    from variants import registry

    return registry.get(cell.variant.name).phases


def _record(found: Found, before: Scores, made: Any) -> Record:
    after = None
    if found.status == "ok":
        after = Scores(
            target=found.target,
            general=found.general,
            log_loss=found.log_loss,
            bits_per_byte=found.bits_per_byte,
        )
    return Record(
        id=found.cell.id,
        cell=found.cell,
        status=found.status,
        error=found.error,
        before=before,
        after=after,
        curve=list(found.curve),
        trainable_parameters=found.trainable,
        total_parameters=found.total,
        adapted_modules=list(found.adapted),
        cost=found.cost,
        provenance=made,
    )
