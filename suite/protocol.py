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
    """One round after the other; what a later one does follows from the records of those before it."""
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
        yield Round(f"beyond the edge, {number + 1} of at most {plan.edge}", more, later)
    yield Round("test", _finals(plan, store))


def spare(plan: Plan, store: Store) -> list[str]:
    """The cells of the plan's searches whose weights nobody asks for any more: neither winner nor default."""
    wanted = {cell.id for cell in _finals(plan, store).cells}
    return [one.id for _, _, records in _choices(plan, store) for one in records if one.id not in wanted]


def found(plan: Plan, store: Store) -> list[Record]:
    """The records that a plan is about: all of its searches', or those of its cells."""
    if plan.searches:
        return [record for _, _, records in _choices(plan, store) for record in records]
    return [store.read(cell.id) for cell in plan.cells if store.has(cell.id)]


def _adopt(plan: Plan, store: Store) -> None:
    """Cells of the search that were run outside of it before are part of it from now on."""
    for cell in plan.cells:
        if store.has(cell.id) and (record := store.read(cell.id)).search is None:
            store.write(record.model_copy(update={"search": plan.searches[cell.id]}))


def _choices(plan: Plan, store: Store) -> Iterator[tuple[list[Cell], Choice, list[Record]]]:
    """What each search of the plan came to so far: its cells, one a seed; the choice; all its records."""
    known = searches(store.records())
    groups: dict[str, dict[int | None, Cell]] = {}
    for cell in plan.cells:
        groups.setdefault(key(cell), {}).setdefault(cell.seed, cell)
    for name, by_seed in groups.items():
        records = [record for record in known.get(name, []) if record.cell.seed in by_seed]
        if records:
            yield list(by_seed.values()), choose(records), records


def _edges(plan: Plan, store: Store) -> Plan:
    """Trials at the next rate of every search whose winner lies on the edge of what was tried.

    A rate that was begun and lacks a seed comes first.
    """
    cells: list[Cell] = []
    roles: dict[str, Search] = {}
    for group, choice, records in _choices(plan, store):
        for cell in group:
            rate = _begun(choice, records)
            if rate is None and choice.added < plan.edge:
                rate = beyond(choice, plan.per_decade)
            if rate is not None:
                one = cell.model_copy(update={"learning_rate": rate})
                cells.append(one)
                roles[one.id] = plan.searches[cell.id].model_copy(update={"role": "edge"})
    return replace(plan, cells=tuple(cells), searches=roles)


def _begun(choice: Choice, records: list[Record]) -> float | None:
    """A rate beyond the grid that some seed of the search has no record of."""
    edges = [r.cell.how.learning_rate for r in records if r.search and r.search.role == "edge"]
    return next((rate for rate in edges if edges.count(rate) < len(choice.seeds)), None)


def _finals(plan: Plan, store: Store) -> Plan:
    """Everything is measured of the winner and of the default, for every seed."""
    cells: list[Cell] = []
    roles: dict[str, Search] = {}
    for group, choice, records in _choices(plan, store):
        by_rate = {record.cell.how.learning_rate: record.search for record in records}
        for rate in dict.fromkeys((choice.rate, choice.default)):
            if rate is not None and (role := by_rate.get(rate)) is not None:
                for cell in group:
                    cells.append(cell.model_copy(update={"learning_rate": rate}))
                    roles[cells[-1].id] = role
    return replace(plan, cells=tuple(cells), searches=roles, measured="all")
