"""Plan -> base scores and cells -> records. This file decides nothing: it passes things on, and waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Protocol

from suite.baseline import BaseJob
from suite.engines import local
from suite.found import Found, record_of
from suite.jobs import ScoreKept, TrainPack
from suite.plan import Plan, packs
from suite.progress import Display
from suite.provenance import device_name, provenance
from suite.record import Cell, Record, Scores
from suite.store import Store
from suite.weights import FOLDER, are
from suite.words import title
from suite.workshop import Report, Workshop


class CellJob(Protocol):
    """A job whose result is what was found for its cells, such as `TrainPack`.

    `fails_for_good` is whether an exception of the job is a finding about its cells, and a record.
    """

    fails_for_good: ClassVar[bool]

    @property
    def cells(self) -> Sequence[Cell]:
        """The cells, of which none has a record yet."""
        ...

    @property
    def title(self) -> str:
        """How progress calls it."""
        ...

    @property
    def steps(self) -> int:
        """Training steps; 0 for one that only scores."""
        ...

    def before(self, cell: Cell) -> Sequence[BaseJob]:
        """What has to be known of the base before `cell` can be a record."""
        ...

    def run(self, shop: Workshop, report: Report) -> list[Found]:
        """What was found for each cell."""
        ...


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
    """The cells without a record, or whose record is no last word for this plan."""
    return [c for c in plan.cells if not store.has(c.id) or _again(store.read(c.id), plan)]


def _again(record: Record, plan: Plan) -> bool:
    """Whether a record is no last word.

    It failed, or lacks what is to be measured now, or memory ran out and there is more of it now.
    """
    if record.status == "ok":
        return plan.measured == "all" and not record.read
    if record.status != "oom":
        return record.status == "failed"
    saving = plan.setup.checkpointing and not (record.cost and record.cost.checkpointing)
    return saving or record.provenance.device != device_name(plan.setup.device)


def base_jobs(before: Iterable[Sequence[BaseJob]], store: Store) -> list[BaseJob]:
    """What has to be known of the untouched base and is not in the store yet."""
    wanted = {job.key: job for jobs in before for job in jobs}
    return [job for key, job in wanted.items() if not job.fits(store.base_scores(key))]


def train_jobs(cells: Sequence[Cell], plan: Plan, store: Store) -> list[TrainPack | ScoreKept]:
    """What is trained already is scored from its kept weights; the rest is trained in packs.

    One precision after the other (a worker holds one base), longest first.
    """
    kept = {cell.id: store.read(cell.id) for cell in cells if store.has(cell.id)}
    folder = store.path / FOLDER
    ready = [one for one in kept.values() if one.status == "ok" and are(folder / one.id, one.weights)]
    scored = {one.id for one in ready}
    rest = [cell for cell in cells if cell.id not in scored]
    jobs = [TrainPack(pack, max(_phases(cell) for cell in pack), plan.measured) for pack in packs(rest)]
    jobs.sort(key=lambda job: (job.cells[0].how.recipe.precision, -job.steps))
    return [*jobs, *(ScoreKept(one, folder / one.id) for one in ready)]


class Runner:
    """One run under way: hands out jobs, and turns what comes back into records.

    `make` gives the jobs for cells without a record (training, if None); `weights` is whether trained weights
    are kept.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        command: str,
        make: Callable[[Sequence[Cell]], Sequence[CellJob]] | None = None,
        weights: bool = True,
    ) -> None:
        self.plan, self.store, self.command = plan, store, command
        self.keep = store.path / FOLDER if weights else None
        self.cells = unfinished(plan, store)
        self.packs = list(make(self.cells) if make else train_jobs(self.cells, plan, store))
        self._before = {cell.id: job.before(cell) for job in self.packs for cell in job.cells}
        self.base_jobs = base_jobs(self._before.values(), store)
        self.outcome = Outcome(skipped=len(plan.cells) - len(self.cells))
        self._waiting: list[Found] = []
        self._broken: dict[str, str] = {}

    @property
    def jobs(self) -> list[BaseJob | CellJob]:
        """Everything that is to be done, base first."""
        return [*self.base_jobs, *self.packs]

    def run(self, show: Display, workers: int, threads: int | None) -> Outcome:
        """Run it to the end. What is finished is in the store at every moment."""
        make = partial(Workshop, self.plan.setup, threads, self.keep, self.store.path)
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

    def _jobs(self, show: Display) -> Iterator[BaseJob | CellJob]:
        """Base first; then the packs, but for those whose base could not be scored meanwhile."""
        yield from self.base_jobs
        for pack in self.packs:
            why = next((w for cell in pack.cells if (w := self._why_broken(cell))), None)
            if why is None:
                yield pack
            else:
                self._lose(pack.cells, why, show)

    def _done(self, job: BaseJob | CellJob, result: Any) -> None:
        if isinstance(job, BaseJob):
            self.store.write_base_scores(job.key, result)
        else:
            self._waiting += result

    def _failed(self, job: BaseJob | CellJob, error: str, died: bool, show: Display) -> None:
        """A cell that raised is a record; one whose worker was killed, or whose base failed, is not."""
        if isinstance(job, BaseJob):
            self._broken[job.key] = f"{job.title}: {error}"
        elif died or not job.fails_for_good:
            self._lose(job.cells, error, show)
        else:
            self._waiting += [Found(cell, "failed", error) for cell in job.cells]

    def _lose(self, cells: Sequence[Cell], why: str, show: Display) -> None:
        for cell in cells:
            self.outcome.lost[cell.id] = why
            show.lost(title(cell), why)

    def _write(self, show: Display) -> None:
        """Write every cell whose base scores are known."""
        still = []
        for found in self._waiting:
            if why := self._why_broken(found.cell):
                self._lose((found.cell,), why, show)
            elif not self._base_known(found.cell):
                still.append(found)
            else:
                made = provenance(self.command, self.plan.setup.device, found.threads, found.settings)
                old = self.store.read(found.cell.id) if self.store.has(found.cell.id) else None
                if old is not None and old.status == "ok" and found.status != "ok":
                    self._lose((found.cell,), f"{found.status}: {found.error}; its trial is kept", show)
                    continue
                search = self.plan.searches.get(found.cell.id) or (old and old.search)
                record = record_of(found, self._scores_before(found.cell), made, search)
                self.store.write(record)
                show.wrote(record)
        self._waiting = still

    def _why_broken(self, cell: Cell) -> str | None:
        jobs = self._before[cell.id]
        return next((self._broken[job.key] for job in jobs if job.key in self._broken), None)

    def _base_known(self, cell: Cell) -> bool:
        return all(self.store.base_scores(job.key) is not None for job in self._before[cell.id])

    def _scores_before(self, cell: Cell) -> Scores | None:
        """The untouched base under this cell's evaluation; None where there is no base to compare with."""
        parts = [self.store.base_scores(job.key) for job in self._before[cell.id]]
        whole = {key: value for part in parts if part for key, value in part.items()}
        return Scores.model_validate(whole) if whole else None


def _phases(cell: Cell) -> int:
    from variants import registry

    return registry.get(cell.variant.name).phases
