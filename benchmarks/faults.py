"""Which faults the gate catches: each planted in our own code, trained, and held against the clean code.

    python -m benchmarks.faults POOL                 # the ten of `benchmarks.planted`
    python -m benchmarks.faults POOL --unasked       # those of `benchmarks.unasked`
    python -m benchmarks.faults POOL --only "mask not applied,clip absent"

POOL is a store of the ci track over many seeds (see `benchmarks.gate_pool`). For each fault the variants that
it names are trained with it for `--cells` seeds, in this process, into POOL/faults/<fault>/; what is there is
not trained again. A try draws `--seeds` of these, as many as the track has: they are the candidate, whose
other variants are the pool's clean cells of the same seeds. It is judged twice: against a baseline of other
seeds, where only statistics can tell, and of the same seeds, as two runs of the track have. Tries share their
cells. A cell that fails, by the suite's own proof of effect for example, is caught: by 'status'.

With `--quick` nothing is generated: the scores of each faulty cell are those of the clean cell of its seed,
so that only losses, norms, counts and costs can tell, in half the time. Faults of data and of scoring are
scored all the same.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from benchmarks.gate_pool import TRACK, Cells, by_seed, drawn, read, side
from benchmarks.planted import NAMED, Fault
from benchmarks.unasked import UNASKED
from suite import track
from suite.baseline import before
from suite.errors import UserError, nearest
from suite.found import Found, record_of
from suite.gate import Report, judge
from suite.gate.facts import facts
from suite.jobs import TrainPack
from suite.plan import Plan, resolve
from suite.provenance import provenance
from suite.record import Cell, Record, Score, Scores
from suite.request import Request
from suite.store import Store
from suite.workshop import Workshop

TARGET = 0.95


@dataclass
class Caught:
    """Verdicts over the tries of one fault against one kind of baseline; what failed first, by try."""

    verdicts: Counter[str] = field(default_factory=Counter)
    first: Counter[str] = field(default_factory=Counter)

    def add(self, report: Report, variants: Sequence[str]) -> None:
        """Count one try: it is caught where a row of the fault's own variants, or of the base, failed."""
        failed = [row for row in report.with_verdict("fail") if not row.variant or row.variant in variants]
        if failed:
            sharpest = min(failed, key=lambda row: row.p or 0.0)
            self.first[sharpest.metric] += 1
        self.verdicts[
            "fail" if failed else "inconclusive" if report.with_verdict("inconclusive") else "pass"
        ] += 1

    @property
    def by(self) -> str:
        """The metrics that failed first, the most frequent first."""
        return ", ".join(f"{name} {count}" for name, count in self.first.most_common(2)) or "-"


@dataclass(frozen=True)
class Trainer:
    """What trains cells with a fault: their plan, a worker that has the data read, and the clean pool."""

    plan: Plan
    shop: Workshop
    clean: Store
    quick: bool

    def train(self, fault: Fault, faulty: Store) -> None:
        """Train what the plan has of the fault's variants, one cell after the other, if not there yet."""
        cells = [c for c in self.plan.cells if c.variant.name in fault.variants and not faulty.has(c.id)]
        if not cells:
            return
        shop = Workshop(self.plan.setup, 1) if fault.everywhere else self.shop
        bases = faulty if fault.everywhere else self.clean
        with fault.plant(), patch.object(shop, "latency", lambda adapter: None):
            for cell in cells:
                quick = self.quick and not (fault.scored or fault.everywhere)
                with _scored_as(shop, self.clean.read(cell.id)) if quick else nullcontext():
                    faulty.write(self._record(fault, cell, shop, bases))

    def _record(self, fault: Fault, cell: Cell, shop: Workshop, bases: Store) -> Record:
        known = {}
        for job in before(cell, cell.how.recipe):
            if (found := bases.base_scores(job.key)) is None:
                found = job.run(shop, _untold)
                bases.write_base_scores(job.key, found)
            known |= found
        try:
            (made,) = TrainPack((cell,)).run(shop, _untold)
        except Exception as error:  # a fault may break the code: a finding, as in a run
            made = Found(cell, "failed", f"{type(error).__name__}: {error}")
        by = provenance(f"benchmarks.faults, {fault.name}", self.plan.setup.device, 1, made.settings)
        return record_of(made, Scores.model_validate(known), by)


def _scored_as(shop: Workshop, clean: Record) -> AbstractContextManager[Any]:
    """The worker scores as this record says, generating nothing."""
    assert clean.after is not None, f"{clean.id} of the pool is {clean.status}"
    known = {**clean.after.target, **clean.after.general}

    def scores(evaluations: Sequence[Any], *how: Any) -> dict[str, Score]:
        return {one.name: known.get(one.name, text) for one in evaluations}

    text = Score(evaluation="", metric="", value=clean.after.bits_per_byte or 0.0, n=None, metrics={})
    return patch.object(shop, "scores", scores)


def tries(fault: Fault, cells: Cells, faulty: Cells, seeds: int, count: int) -> Iterator[tuple[str, Report]]:
    """(kind of baseline, what the gate says) of `count` tries against each kind."""
    rng = random.Random(fault.name)
    for _ in range(count):
        chosen = drawn(rng, set(faulty) & set(cells), seeds)
        clean = [one for one in side(cells, chosen) if one.cell.variant.name not in fault.variants]
        candidate = [*clean, *side(faulty, chosen)]
        others = drawn(rng, set(cells) - set(chosen), seeds)
        yield "other", judge(side(cells, others), candidate)
        yield "same", judge(side(cells, chosen), candidate)


def study(fault: Fault, trainer: Trainer, cells: Cells, seeds: int, count: int) -> dict[str, Caught]:
    """Train the fault where that is to be done, and count its tries."""
    words = "".join(c if c.isalnum() else " " for c in fault.name).split()
    faulty = Store(trainer.clean.path / "faults" / "-".join(words))
    trainer.train(fault, faulty)
    found = {"other": Caught(), "same": Caught()}
    for kind, report in tries(fault, cells, by_seed(facts(faulty.records())), seeds, count):
        found[kind].add(report, fault.variants)
    return found


def table(results: dict[str, tuple[Fault, dict[str, Caught]]], count: int) -> Table:
    """One row a fault."""
    made = Table(
        "fault", "trained", "other seeds: caught", "by", "inconclusive", "missed", "same seeds: caught", "by"
    )
    for fault, found in results.values():
        other, same = found["other"], found["same"]
        made.add_row(
            f"{fault.name} ({fault.about})",
            ", ".join(fault.variants),
            f"{other.verdicts['fail']}/{count}",
            other.by,
            str(other.verdicts["inconclusive"]),
            str(other.verdicts["pass"]),
            f"{same.verdicts['fail']}/{count}",
            same.by,
        )
    return made


def chosen(unasked: bool, only: str | None) -> list[Fault]:
    """The faults that were asked for. Raises UserError for a name that none has."""
    if only is None:
        return list(UNASKED if unasked else NAMED)
    every = {fault.name: fault for fault in (*NAMED, *UNASKED)}
    names = [name.strip() for name in only.split(",")]
    for name in names:
        if name not in every:
            raise UserError(f"no fault {name!r}; did you mean {nearest(name, every)!r}?")
    return [every[name] for name in names]


def _untold(stage: str, step: int, steps: int, loss: float | None = None) -> None:
    """Progress that nobody follows."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("--unasked", action="store_true", help="the second list")
    parser.add_argument("--only", help="faults by name, with commas")
    parser.add_argument("--tries", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=len(track.load(TRACK).seeds), help="on each side")
    parser.add_argument("--cells", type=int, default=8, help="seeds trained with each fault")
    parser.add_argument("--quick", action="store_true", help="generate nothing")
    given = parser.parse_args(argv)
    seeds = given.seeds
    cells = read(given.pool, 2 * seeds)
    trained = ",".join(map(str, sorted(cells)[: given.cells]))
    plan = resolve(Request(track=TRACK, seeds=trained, device="cpu"))
    trainer = Trainer(plan, Workshop(plan.setup, 1), Store(given.pool), given.quick)
    results = {}
    console = Console(width=200)
    for fault in chosen(given.unasked, given.only):
        results[fault.name] = fault, study(fault, trainer, cells, seeds, given.tries)
        console.print(f"{fault.name}: {dict(results[fault.name][1]['other'].verdicts)}", style="dim")
    console.print(table(results, given.tries))
    low = [
        name for name, (_, found) in results.items() if found["other"].verdicts["fail"] < TARGET * given.tries
    ]
    console.print(f"below {TARGET:.0%} with other seeds: {', '.join(low) or 'none'}")
    console.print(
        f"{given.tries} tries each, which share {given.cells} cells of a variant; "
        f"pool of {len(cells)} seeds, {seeds} a side"
    )


if __name__ == "__main__":
    main()
