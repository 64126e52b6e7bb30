"""The rounds of a tuned run: trials, what lies beyond the edge of their rates, and the test split.

Each round is a plan of its own, made from what the store holds then: a run that was stopped finds its
finished trials and goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from suite.plan import Plan
from suite.record import Cell, Record, Search
from suite.store import Store
from suite.tuning import Choice, beyond, choose, key, searches


@dataclass(frozen=True)
class Round:
    """One plan of a tuned run; `scored` is about how many cells later rounds will score without training."""

    title: str
    plan: Plan
    scored: int = 0


def rounds(plan: Plan, store: Store) -> Iterator[Round]:
    """One round after the other; what a later one does follows from the records of those before it.

    A search that lacks a record (its cell was lost) waits for the next run; the others go on.
    """
    if not plan.searches:
        yield Round("run", plan)
        return
    _adopt(plan, store)
    later = 2 * len({(key(cell), cell.seed) for cell in plan.cells})
    yield Round("trials", plan, later)
    for number in range(plan.edge):
        more = _edges(plan, store)
        if not more.cells:
            break
        _adopt(more, store)
        yield Round(f"beyond the edge, {number + 1} of at most {plan.edge}", more, later)
    yield Round("test", _finals(plan, store))


def spare(plan: Plan, store: Store) -> list[str]:
    """The trials of the plan's searches whose weights nobody asks for: neither winner nor default."""
    wanted = {cell.id for cell in _finals(plan, store).cells}
    lost = [one for _, choice, records in _choices(plan, store) for one in records if choice.rate is not None]
    return [one.id for one in lost if one.id not in wanted and not one.read]


def found(plan: Plan, store: Store) -> list[Record]:
    """The records that a plan is about: all of its searches', or those of its cells."""
    if plan.searches:
        return [record for _, _, records in _choices(plan, store) for record in records]
    return [store.read(cell.id) for cell in plan.cells if store.has(cell.id)]


def _adopt(plan: Plan, store: Store) -> None:
    """Cells that are in the store already are part of the search from now on, in the role they have here."""
    for cell in plan.cells:
        if store.has(cell.id) and (record := store.read(cell.id)).search != plan.searches[cell.id]:
            store.write(record.model_copy(update={"search": plan.searches[cell.id]}))


def _choices(plan: Plan, store: Store) -> Iterator[tuple[Cell, Choice, list[Record]]]:
    """What each search of the plan came to so far: one of its cells, the choice, all its records.

    All seeds and rates of the store count, not the plan's alone. Left out: a search of which the plan has a
    cell without a record.
    """
    known = searches(store.records())
    groups: dict[str, list[Cell]] = {}
    for cell in plan.cells:
        groups.setdefault(key(cell), []).append(cell)
    for name, cells in groups.items():
        records = known.get(name, [])
        if {cell.id for cell in cells} <= {record.id for record in records}:
            yield cells[0], choose(records), records


def _edges(plan: Plan, store: Store) -> Plan:
    """Trials at the next rate of every search whose winner lies on the edge of what was tried.

    A rate that was begun, and lacks a seed or failed with one, comes first.
    """
    cells: list[Cell] = []
    roles: dict[str, Search] = {}
    for cell, choice, records in _choices(plan, store):
        rate = _begun(choice, records)
        if rate is None and choice.added < plan.edge:
            rate = beyond(choice, plan.per_decade)
        for seed in choice.seeds if rate is not None else ():
            cells.append(cell.model_copy(update={"learning_rate": rate, "seed": seed}))
            roles[cells[-1].id] = plan.searches[cell.id].model_copy(update={"role": "edge"})
    return replace(plan, cells=tuple(cells), searches=roles)


def _begun(choice: Choice, records: list[Record]) -> float | None:
    """A rate beyond the grid that lacks a seed of the search, or failed with one."""
    edges: dict[float, set[int]] = {}
    for record in records:
        if record.search and record.search.role == "edge":
            seeds = edges.setdefault(record.cell.how.learning_rate, set())
            seeds |= {record.cell.how.seed} if record.status != "failed" else set()
    return next((rate for rate, seeds in edges.items() if not seeds.issuperset(choice.seeds)), None)


def _finals(plan: Plan, store: Store) -> Plan:
    """Everything is measured of the winner and of the default, for every seed.

    Not yet of a search that has a rate to finish: the winner could change, and test would be read twice.
    """
    cells: list[Cell] = []
    roles: dict[str, Search] = {}
    for cell, choice, records in _choices(plan, store):
        if plan.edge and _lacking(choice, records):
            continue
        by_rate = {record.cell.how.learning_rate: record.search for record in records}
        for rate in dict.fromkeys((choice.rate, choice.default)):
            if rate is not None and (role := by_rate.get(rate)) is not None:
                for seed in choice.seeds:
                    cells.append(cell.model_copy(update={"learning_rate": rate, "seed": seed}))
                    roles[cells[-1].id] = role
    return replace(plan, cells=tuple(cells), searches=roles, measured="all")


def _lacking(choice: Choice, records: list[Record]) -> bool:
    """Whether a rate beyond the grid lacks a record of a seed."""
    return any(
        not {one.cell.how.seed for one in records if one.cell.learning_rate == rate}.issuperset(choice.seeds)
        for rate in {r.cell.learning_rate for r in records if r.search and r.search.role == "edge"}
    )
