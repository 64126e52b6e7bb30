"""Which faults the gate catches: each planted in our own code, trained, and held against the clean code.

    python -m benchmarks.faults POOL                 # the ten of `benchmarks.planted`
    python -m benchmarks.faults POOL --unasked       # those of `benchmarks.unasked`
    python -m benchmarks.faults POOL --only "mask not applied,clip absent"

POOL is a store of the ci track over many seeds (see `benchmarks.gate_pool`). For each fault the variants that
it names are trained with it for `--cells` seeds, in this process, into POOL/faults/<fault>/; what is there is
not trained again. A try draws as many of these seeds as the track has as the candidate (its other variants are
the pool's clean cells of the same seeds), and a baseline from the pool, twice: of other seeds, which the
verdict needs statistics for, and of the same seeds, as two runs of the track have. Tries share their cells.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
from suite.gate_facts import facts
from suite.jobs import TrainPack
from suite.plan import Plan, resolve
from suite.provenance import provenance
from suite.record import Scores
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
        """Count one try. A verdict counts as caught where a row of the fault's variants (or the base) failed."""
        failed = [row for row in report.with_verdict("fail") if not row.variant or row.variant in variants]
        if failed:
            sharpest = min(failed, key=lambda row: row.p or 0.0)
            self.first["proof of effect" if sharpest.metric == "status" else sharpest.metric] += 1
        self.verdicts["fail" if failed else "pass" if report.verdict == "pass" else "inconclusive"] += 1

    @property
    def by(self) -> str:
        """The metrics that failed first, the most frequent first."""
        return ", ".join(f"{name} {count}" for name, count in self.first.most_common(2)) or "-"


def train(fault: Fault, plan: Plan, shop: Workshop, clean: Store, faulty: Store) -> None:
    """Train what the plan has of the fault's variants with it, one cell after the other, if not there yet.

    What `shop` has read of the data is used again, but where the fault changes how that is read.
    """
    cells = [c for c in plan.cells if c.variant.name in fault.variants and not faulty.has(c.id)]
    if not cells:
        return
    shop = Workshop(plan.setup, 1) if fault.everywhere else shop
    with fault.plant():
        for cell in cells:
            known = {}
            for job in before(cell, cell.how.recipe):
                store = faulty if fault.everywhere else clean
                if (found := store.base_scores(job.key)) is None:
                    found = job.run(shop, _untold)
                    store.write_base_scores(job.key, found)
                known |= found
            try:
                (made,) = TrainPack((cell,)).run(shop, _untold)
            except Exception as error:  # a fault may break the code: a finding, as in a run
                made = Found(cell, "failed", f"{type(error).__name__}: {error}")
            by = provenance(f"benchmarks.faults, {fault.name}", plan.setup.device, 1, made.settings)
            faulty.write(record_of(made, Scores.model_validate(known), by))


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


def study(
    fault: Fault, pool: Path, cells: Cells, plan: Plan, shop: Workshop, seeds: int, count: int
) -> dict[str, Caught]:
    """Train the fault where that is to be done, and count its tries."""
    faulty = Store(pool / "faults" / "-".join("".join(c if c.isalnum() else " " for c in fault.name).split()))
    train(fault, plan, shop, Store(pool), faulty)
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
    parser.add_argument("--cells", type=int, default=8, help="seeds trained with each fault")
    given = parser.parse_args(argv)
    seeds = len(track.load(TRACK).seeds)
    cells = read(given.pool, 2 * seeds)
    trained = ",".join(map(str, sorted(cells)[: given.cells]))
    plan = resolve(Request(track=TRACK, seeds=trained, device="cpu"))
    results, shop = {}, Workshop(plan.setup, 1)
    console = Console(width=200)
    for fault in chosen(given.unasked, given.only):
        results[fault.name] = fault, study(fault, given.pool, cells, plan, shop, seeds, given.tries)
        console.print(f"{fault.name}: {dict(results[fault.name][1]['other'].verdicts)}", style="dim")
    console.print(table(results, given.tries))
    console.print(
        f"{given.tries} tries each, sharing {given.cells} cells of a variant; pool of {len(cells)} seeds, {seeds} a side"
    )


if __name__ == "__main__":
    main()
