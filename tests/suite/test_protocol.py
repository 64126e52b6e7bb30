"""The rounds of a tuned run, on records that a formula makes in place of training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from suite.plan import Plan
from suite.protocol import Round, found, rounds, spare
from suite.record import Cell, HeldOut, Record, Scores, Search
from suite.run import unfinished
from suite.setup import Setup
from suite.store import Store
from suite.tuning import choose, grid, searches
from tasks.interface import Places
from tests.example_records.make import LORA, PISSA, cell, record

SEEDS = (0, 1)
Loss = Callable[[float], float | None]


def plan_of(*variants: object, rates: int = 3, edge: int = 2, default: float = 1e-3) -> Plan:
    """A search of these variants on one task."""
    search = Search(method="grid", rates=grid(default, rates, 4), default=default, role="trial")
    cells = [
        cell(variant, "sums", seed, learning_rate=rate)  # pyright: ignore[reportArgumentType]
        for variant in variants
        for seed in SEEDS
        for rate in search.rates
    ]
    setup = Setup(Path("base"), Places(), "cpu")
    return Plan("t@1", tuple(cells), setup, {one.id: search for one in cells}, "validation", 4, edge)


def trained(one: Cell, loss: float | None, plan: Plan) -> Record:
    """What a run would write for a cell of this plan."""
    made = record(one).model_copy(update={"search": plan.searches[one.id], "measured": plan.measured})
    if loss is None:
        return made.model_copy(update={"status": "diverged", "after": None})
    if plan.measured == "all":
        assert made.after is not None
        losses = {"log_loss": {"validation": loss, "test": loss}}
        return made.model_copy(update={"after": made.after.model_copy(update=losses)})
    held = {"validation": HeldOut(accuracy=0.5, nats=[loss], tokens=[1])}
    after = Scores(target={}, general={}, log_loss={"validation": loss}, bits_per_byte=None, held_out=held)
    return made.model_copy(update={"after": after})


def play(plan: Plan, store: Store, loss: Loss, stop: int | None = None) -> list[Round]:
    """Run the rounds; after `stop` cells the run is killed. Gives the rounds that were begun."""
    begun, left = [], stop if stop is not None else math.inf
    for one in rounds(plan, store):
        begun.append(one)
        for todo in unfinished(one.plan, store):
            if left <= 0:
                return begun
            left -= 1
            store.write(trained(todo, loss(todo.how.learning_rate), one.plan))
    return begun


def bowl(best: float) -> Loss:
    return lambda rate: 1 + math.log10(rate / best) ** 2


def test_a_winner_inside_needs_trials_and_test_only(tmp_path: Path) -> None:
    plan, store = plan_of(LORA, PISSA), Store(tmp_path)
    begun = play(plan, store, bowl(1e-3))
    assert [one.title for one in begun] == ["trials", "test"]
    assert begun[0].scored == 2 * 2 * len(SEEDS)
    records = store.records()
    assert Counter(one.measured for one in records) == {"all": 4, "validation": 8}
    assert {one.cell.learning_rate for one in records if one.read} == {1e-3}


def test_the_default_is_measured_beside_the_winner(tmp_path: Path) -> None:
    store = Store(tmp_path)
    play(plan_of(LORA, rates=5), store, bowl(1.8e-3))
    assert {one.cell.learning_rate for one in store.records() if one.read} == {1e-3, 1.8e-3}


def test_an_edge_grows_by_a_bounded_number_of_rates(tmp_path: Path) -> None:
    store = Store(tmp_path)
    begun = play(plan_of(LORA), store, bowl(1.0))
    assert [one.title for one in begun][1:3] == [f"beyond the edge, {n} of at most 2" for n in (1, 2)]
    roles = {one.cell.learning_rate: one.search.role for one in store.records() if one.search}
    assert roles == {5.6e-4: "trial", 1e-3: "trial", 1.8e-3: "trial", 3.2e-3: "edge", 5.6e-3: "edge"}


def test_an_edge_stops_growing_where_the_winner_is_inside(tmp_path: Path) -> None:
    begun = play(plan_of(LORA), Store(tmp_path), bowl(1.8e-3))
    assert [one.title for one in begun] == ["trials", "beyond the edge, 1 of at most 2", "test"]


def test_divergence_beyond_the_edge_is_an_answer(tmp_path: Path) -> None:
    store = Store(tmp_path)
    play(plan_of(LORA), store, lambda rate: None if rate > 1.8e-3 else 1 / rate)
    assert {one.cell.learning_rate for one in store.records() if one.read} == {1e-3, 1.8e-3}
    assert Counter(one.status for one in store.records()) == {"ok": 6, "diverged": 2}


@pytest.mark.parametrize("killed", range(15))
def test_a_run_that_was_killed_comes_to_the_same(tmp_path: Path, killed: int) -> None:
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    plan = plan_of(LORA)
    play(plan, whole, bowl(1.0))
    play(plan, broken, bowl(1.0), stop=killed)
    play(plan, broken, bowl(1.0))
    assert broken.records() == whole.records()
    assert all(not unfinished(one.plan, broken) for one in rounds(plan, broken))


def test_cells_that_were_run_before_are_part_of_the_search(tmp_path: Path) -> None:
    plan, store = plan_of(LORA), Store(tmp_path)
    store.write(record(plan.cells[1]))
    play(plan, store, bowl(1e-3))
    kept = store.read(plan.cells[1].id)
    assert kept.search == plan.searches[plan.cells[1].id] and kept.read
    assert len(found(plan, store)) == 6


def test_weights_of_losers_are_spare(tmp_path: Path) -> None:
    plan, store = plan_of(LORA), Store(tmp_path)
    play(plan, store, bowl(1e-3))
    assert set(spare(plan, store)) == {one.id for one in store.records() if not one.read}


def test_where_every_rate_diverged_the_default_alone_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    begun = play(plan_of(LORA), store, lambda _: None)
    assert [one.title for one in begun] == ["trials", "test"]
    assert {one.status for one in store.records()} == {"diverged"}


def test_a_documented_rate_that_was_off_an_earlier_grid_may_win_the_next(tmp_path: Path) -> None:
    plan, store = plan_of(LORA), Store(tmp_path)
    aside = plan.searches[plan.cells[1].id].model_copy(update={"rates": [5.6e-4], "role": "default"})
    for one in plan.cells:
        if one.learning_rate == 1e-3:
            store.write(record(one).model_copy(update={"search": aside}))
    play(plan, store, bowl(1e-3))
    assert {one.cell.learning_rate for one in store.records() if one.read} == {1e-3}


def test_an_edge_that_was_run_before_is_part_of_the_search(tmp_path: Path) -> None:
    plan, store = plan_of(LORA), Store(tmp_path)
    for seed in SEEDS:
        store.write(
            trained_alone(plan.cells[0].model_copy(update={"learning_rate": 3.2e-3, "seed": seed}), 0.5)
        )
    play(plan, store, lambda rate: 0.5 if rate == 3.2e-3 else 1 / rate)
    roles = {one.cell.learning_rate: one.search.role for one in store.records() if one.search}
    assert roles[3.2e-3] == "edge"
    assert 3.2e-3 in {one.cell.learning_rate for one in store.records() if one.read and one.search}


def trained_alone(one: Cell, loss: float) -> Record:
    """What a run without --tune would write."""
    made = record(one)
    assert made.after is not None
    return made.model_copy(
        update={"after": made.after.model_copy(update={"log_loss": {"validation": loss, "test": loss}})}
    )


def test_a_failed_edge_is_tried_again(tmp_path: Path) -> None:
    plan, store = plan_of(LORA), Store(tmp_path)
    play(plan, store, bowl(1.0), stop=7)
    (edge,) = [one for one in store.records() if one.search and one.search.role == "edge"]
    store.write(edge.model_copy(update={"status": "failed", "after": None}))
    again = play(plan, store, bowl(1.0))
    assert edge.id in {one.id for one in again[1].plan.cells} and store.read(edge.id).status == "ok"


def test_weights_of_cells_that_are_whole_are_nobodys_to_remove(tmp_path: Path) -> None:
    plan, store = plan_of(LORA), Store(tmp_path)
    kept = trained_alone(plan.cells[0], 2.0)
    store.write(kept)
    play(plan, store, bowl(1e-3))
    assert kept.id not in spare(plan, store)


def test_a_search_that_lost_a_cell_waits_and_the_others_go_on(tmp_path: Path) -> None:
    plan, store = plan_of(LORA, PISSA), Store(tmp_path)
    lost = plan.cells[0]
    for one in rounds(plan, store):
        for todo in unfinished(one.plan, store):
            if todo.id != lost.id:
                store.write(trained(todo, bowl(1e-3)(todo.how.learning_rate), one.plan))
    assert {one.cell.variant.name for one in store.records() if one.read} == {PISSA.name}


def test_another_seed_later_counts_beside_the_first_ones(tmp_path: Path) -> None:
    """The run and the table choose from the same records."""
    plan, store = plan_of(LORA), Store(tmp_path)
    play(plan, store, bowl(1e-3))
    cells = [one.model_copy(update={"seed": 7}) for one in plan.cells[:3]]
    search = next(iter(plan.searches.values()))
    more = replace(plan, cells=tuple(cells), searches={one.id: search for one in cells})
    play(more, store, bowl(5.6e-4))
    (records,) = searches(store.records()).values()
    choice = choose(records)
    read = {one.cell.seed for one in store.records() if one.read and one.cell.learning_rate == choice.rate}
    assert choice.seeds == (0, 1, 7) and read == {0, 1, 7}
