"""Ranks of a board: tuned and default rows, ties, regret, and what a reader is told."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from suite import summary
from suite.cli import app
from suite.record import Item, Record, Score, Search, VariantRef
from suite.standings import Standings, standings
from suite.standings_table import markdown, notes, plain, tables
from suite.store import Store
from tests.example_records.make import LORA, PISSA, cell, record

WHOLE = VariantRef(name="synthetic-whole", settings={}, revision=1)
ITEMS = 100
RATES = [1e-3, 1.8e-3, 3.2e-3]


def outcome(name: str, right: int) -> Score:
    items = [Item(id=str(i), correct=float((7 * i) % ITEMS < right)) for i in range(ITEMS)]
    value = right / ITEMS
    return Score(
        evaluation=name, metric="acc", value=value, n=ITEMS, metrics={"acc,none": value}, items=items
    )


def one(
    variant: VariantRef,
    seed: int,
    right: int,
    rate: float = 1e-3,
    loss: float = 0.5,
    default: float | None = None,
    edge: bool = False,
    read: bool = True,
) -> Record:
    """A cell with `right` of 100 items; part of a search where a default rate is given."""
    made = record(cell(variant, "sums", seed, learning_rate=rate))
    assert made.before is not None and made.after is not None
    name = made.cell.evaluation.target[0]
    before = made.before.model_copy(update={"target": {name: outcome(name, 0)}})
    changes: dict[str, Any] = {
        "target": {name: outcome(name, right)},
        "log_loss": {"validation": loss, "test": loss},
    }
    if not read:
        changes |= {"target": {}, "general": {}, "log_loss": {"validation": loss}}
    search = None
    if default is not None:
        search = Search(method="grid", rates=RATES, default=default, role="edge" if edge else "trial")
    parameters = 3_200_000 if variant == WHOLE else 4096
    return made.model_copy(
        update={
            "before": before,
            "after": made.after.model_copy(update=changes),
            "search": search,
            "measured": "all" if read else "validation",
            "trainable_parameters": parameters,
        }
    )


def searched(
    variant: VariantRef, best: float, right: int, default: float = 1.8e-3, at_default: int = 20
) -> list[Record]:
    """Three rates by three seeds: `best` has the lowest loss; its test and the default's is read."""
    found = []
    for seed in range(3):
        for rate in RATES:
            count = right + seed if rate == best else at_default + seed
            loss = 0.1 if rate == best else 0.4
            found.append(one(variant, seed, count, rate, loss, default, read=rate in (best, default)))
    return found


@pytest.fixture
def board() -> Standings:
    records = [*searched(LORA, 1e-3, 60), *searched(PISSA, 1.8e-3, 61), *searched(WHOLE, 3.2e-3, 90)]
    (found,) = standings(records)
    return found


def test_tuned_rows_are_ranked_and_default_rows_are_not(board: Standings) -> None:
    rows = [(place.rank, place.row.label, place.row.kind) for place in board.places]
    assert rows[0] == (1, "synthetic-whole", "tuned")
    assert rows[1:3] == [(2, "synthetic-pissa", "tuned"), (2, "synthetic-lora", "tuned")]
    assert sorted(rows[3:], key=str) == [
        (None, "synthetic-lora (default)", "default"),
        (None, "synthetic-whole (default)", "default"),
    ]
    first = board.places[0].gain
    assert first is not None and first.value == pytest.approx(91) and (first.seeds, first.items) == (3, ITEMS)


def test_regret_is_from_the_row_that_trains_the_whole_model(board: Standings) -> None:
    assert board.reference == "synthetic-whole"
    regrets = {place.row.label: place.regret for place in board.places}
    assert regrets["synthetic-whole"] is None
    found = regrets["synthetic-lora"]
    assert found is not None and found.interval.value == pytest.approx(30) and found.apart


def test_a_tie_says_what_would_have_been_seen(board: Standings) -> None:
    (tie,) = board.ties
    assert {tie.a, tie.b} == {"synthetic-lora", "synthetic-pissa"}
    (told,) = [line for line in notes(board, None) if "cannot tell" in line]
    assert f"a difference of {tie.visible:.1f} is seen in 80 % of repetitions" in told


def test_a_cell_that_is_tuned_on_one_task_and_default_on_another_leaves_the_rows_their_names() -> None:
    """The two rows share a cell: the winner on one task is the documented rate there."""
    shared = searched(LORA, 1.8e-3, 60)
    other = [
        moved.model_copy(update={"id": moved.cell.id})
        for each in searched(LORA, 1e-3, 50)
        for moved in [
            each.model_copy(
                update={
                    "cell": each.cell.model_copy(
                        update={"task": each.cell.task.model_copy(update={"name": "words"})}
                    )
                }
            )
        ]
    ]
    (found,) = standings([*shared, *other])
    rows = [(place.row.label, place.row.kind, place.rank) for place in found.places]
    assert rows == [("synthetic-lora", "tuned", 1), ("synthetic-lora (default)", "default", None)]


def test_the_front_holds_who_gains_most(board: Standings) -> None:
    """All forget the same here, so the one that gains most is the front alone."""
    fronts = {place.row.label: place.front for place in board.places}
    assert fronts["synthetic-whole"] == pytest.approx(1, abs=0.05)
    assert fronts["synthetic-lora"] == pytest.approx(0, abs=0.05)
    assert fronts["synthetic-lora (default)"] is None


def test_an_edge_is_marked(board: Standings) -> None:
    assert board.places[0].row.edges == {"sums": "high"}
    assert "synthetic-whole: the best rate lies at the edge of all tried on sums (high end)." in notes(
        board, None
    )
    assert "0.0032*" in markdown([board])


def test_trials_that_diverged_are_counted() -> None:
    records = searched(LORA, 1e-3, 60)
    records[2] = records[2].model_copy(update={"status": "diverged", "after": None})
    (found,) = standings(records)
    assert found.places[0].row.trials == {"ok": 8, "diverged": 1}


def test_a_search_that_nobody_won_is_shown_and_not_ranked() -> None:
    lost = [r.model_copy(update={"status": "diverged", "after": None}) for r in searched(PISSA, 1e-3, 60)]
    (found,) = standings([*searched(LORA, 1.8e-3, 60), *lost])
    ranks = {place.row.label: place.rank for place in found.places}
    assert ranks["synthetic-lora"] == 1 and ranks["synthetic-pissa"] is None
    assert next(p for p in found.places if p.row.label == "synthetic-pissa").row.statuses == {"diverged": 9}


def test_the_test_score_chooses_nothing() -> None:
    """The default scores far better on test; validation still decides."""
    (found,) = standings(searched(LORA, 1e-3, 10, at_default=95))
    tuned = found.places[0]
    assert (tuned.row.kind, tuned.row.learning_rates) == ("tuned", {"sums": 1e-3})
    assert tuned.gain is not None and tuned.gain.value == pytest.approx(11)


def test_cells_without_a_search_rank_too() -> None:
    records = [
        one(variant, seed, right + seed) for variant, right in ((LORA, 30), (PISSA, 80)) for seed in (0, 1)
    ]
    (found,) = standings(records)
    assert [(place.rank, place.row.label) for place in found.places] == [
        (1, "synthetic-pissa"),
        (2, "synthetic-lora"),
    ]
    assert found.reference is None and all(place.regret is None for place in found.places)


def test_records_without_items_have_no_rank() -> None:
    bare = one(LORA, 0, 30)
    assert bare.after is not None
    target = {name: score.model_copy(update={"items": []}) for name, score in bare.after.target.items()}
    (found,) = standings(
        [bare.model_copy(update={"after": bare.after.model_copy(update={"target": target})})]
    )
    assert found.places[0].rank is None and found.places[0].gain is None


def test_the_table_fits_a_terminal(board: Standings) -> None:
    console = Console(width=80, record=True, file=StringIO())
    console.print(tables([board]))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "+91.0 [" in text and "synthetic-whole" in text


def test_names_cannot_leave_a_markdown_cell() -> None:
    hostile = VariantRef(name="a|b\\|<script>`[x](y) @all\n## head", settings={}, revision=1)
    first = one(hostile, 0, 30)
    task = first.cell.task.model_copy(update={"name": "m|t\n## x"})
    cell_of = first.cell.model_copy(update={"task": task})
    text = markdown(
        standings([first.model_copy(update={"id": cell_of.id, "cell": cell_of}), one(LORA, 0, 50)])
    )
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert not [line for line in text.splitlines() if line.startswith("#")]
    assert not any(sign in text for sign in ("<script", "`", "](", "@all"))


def test_plain_is_strict_json(board: Standings) -> None:
    (found,) = json.loads(json.dumps(plain([board]), allow_nan=False))
    assert found["rows"][0]["gain"]["low"] < 91 and len(found["pairs"]) == 3


def test_a_board_without_default_rows_where_the_default_won() -> None:
    (found,) = summary.boards(searched(LORA, 1.8e-3, 60))
    assert [row.label for row in found.rows] == ["synthetic-lora"]


def test_the_command(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for each in searched(LORA, 1e-3, 60):
        store.write(each)
    run = CliRunner().invoke
    shown = run(app, ["table", "--store", str(store.path), "--markdown"])
    assert shown.exit_code == 0 and "| rank | variant | mean gain | sums |" in shown.output
    found = json.loads(run(app, ["table", "--store", str(store.path), "--json"]).output)
    assert found[0]["rows"][0]["label"] == "synthetic-lora"
    assert run(app, ["table", "--store", str(store.path)]).exit_code == 0
    wrong = run(app, ["table", "--store", str(tmp_path / "none")])
    assert wrong.exit_code == 2 and "no records in store" in wrong.output
    both = run(app, ["table", "--store", str(store.path), "--json", "--markdown"])
    assert both.exit_code == 2 and "give one of them" in both.output


def test_publishing_keeps_every_record(tmp_path: Path) -> None:
    store, to = Store(tmp_path / "store"), tmp_path / "public"
    for each in searched(LORA, 1e-3, 60):
        store.write(each)
    run = CliRunner().invoke
    told = run(app, ["publish", "--store", str(store.path), "--to", str(to)])
    assert told.exit_code == 0 and told.output.startswith("9 records, ")
    assert Store(to).records() == store.records()
    first = {file.name: file.read_bytes() for file in (to / "records").iterdir()}
    run(app, ["publish", "--store", str(store.path), "--to", str(to)])
    assert first == {file.name: file.read_bytes() for file in (to / "records").iterdir()}
    assert run(app, ["publish", "--store", str(tmp_path / "none"), "--to", str(to)]).exit_code == 2


def test_rows_of_two_rates_are_two_rows() -> None:
    records = [
        one(LORA, seed, right + seed, rate) for rate, right in ((1e-3, 30), (5e-3, 80)) for seed in (0, 1)
    ]
    (found,) = standings(records)
    gains = {place.row.label: place.gain.value for place in found.places if place.gain}
    assert gains == pytest.approx({"synthetic-lora at 0.001": 30.5, "synthetic-lora at 0.005": 80.5})


def test_a_cell_beside_a_search_changes_nothing_of_it() -> None:
    records = searched(LORA, 1e-3, 60)
    (found,) = standings([*records, one(LORA, 0, 5, 2e-2)])
    ranked = [place for place in found.places if place.rank]
    assert [place.row.label for place in ranked] == ["synthetic-lora"]
    assert ranked[0].gain is not None and (ranked[0].gain.value, ranked[0].gain.seeds) == (
        pytest.approx(61),
        3,
    )
    assert any("not ranked beside" in line for line in notes(found, None))


def test_a_variant_that_diverged_with_a_seed_at_every_rate_has_no_gain() -> None:
    lost = [
        r.model_copy(update={"status": "diverged", "after": None}) if r.cell.seed == 2 else r
        for r in searched(PISSA, 1e-3, 60)
    ]
    (found,) = standings([*searched(LORA, 1.8e-3, 60), *lost])
    place = next(place for place in found.places if place.row.label == "synthetic-pissa")
    assert (place.rank, place.gain, place.row.statuses) == (None, None, {"diverged": 3})
    assert place.row.learning_rates == {"sums": None}


def test_what_cannot_be_a_sample_is_told_and_the_others_are_shown() -> None:
    odd = one(PISSA, 1, 40)
    base = odd.cell.base.model_copy(update={"name": "by another name"})
    moved = odd.cell.model_copy(update={"base": base})
    records = [one(PISSA, 0, 40), odd.model_copy(update={"id": moved.id, "cell": moved}), one(LORA, 0, 50)]
    (found,) = standings(records)
    assert [place.row.label for place in found.places if place.rank] == ["synthetic-lora"]
    assert any("a sample is of one base" in fault for fault in found.faults)


def test_a_task_that_one_row_alone_has_unranks_nobody() -> None:
    alone = one(PISSA, 0, 40)
    other = cell(PISSA, "words", 0, learning_rate=1e-3)
    made = record(other)
    (found,) = standings([one(LORA, 0, 50), alone, made])
    assert found.tasks == ("sums",) and all(place.rank for place in found.places)


def test_fewer_seeds_and_trials_are_told() -> None:
    short = [r for r in searched(PISSA, 1e-3, 61) if r.cell.seed != 2]
    (found,) = standings([*searched(LORA, 1e-3, 60), *short])
    told = notes(found, None)
    assert "synthetic-pissa has 2 of 3 seeds." in told
    assert "The variants had unequal numbers of trials: 6, 9." in told
