"""`suite lr`: what it prints of a made-up search, as text and as JSON, and its mistakes in one line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import searches
from benchmarks.simulated_rates import GRID, simulated, two_slopes
from suite import curvature
from suite.cli import app
from suite.learning_rates import found
from suite.plan import Request, resolve
from suite.record import VariantRef
from suite.store import Store
from tests.example_records.make import stopped
from tests.suite.curves import trial
from variants import registry

BEST = {"fullft": 9e-4, "lora": 3e-3, "lora:rank=4": 2e-3, "pissa": 1e-5}


def _ref(text: str) -> VariantRef:
    variant = registry.parse(text)
    return VariantRef(name=variant.label, settings=variant.settings(), revision=variant.revision)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four variants with a known optimum each (the last below the grid), seven rates and three seeds."""
    place = Store(tmp_path_factory.mktemp("searches") / "s")
    rng = np.random.default_rng(0)
    for text, best in BEST.items():
        losses = simulated(two_slopes(1, 1), best, 0.02, 3, rng).losses
        for i, rate in enumerate(GRID):
            for seed in range(3):
                place.write(trial(_ref(text), rate, seed, float(losses[i, seed])))
    return place.path


def _json(*words: str) -> list[dict]:
    done = CliRunner().invoke(app, ["lr", *words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_table_says_what_was_found(store: Path) -> None:
    done = CliRunner().invoke(app, ["lr", "--store", str(store)], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    (at,) = (i for i, line in enumerate(lines) if "lora r16" in line and "▁" in line)
    assert "3.2e-3" in lines[at] and "3.2e-4..1e-2" in lines[at + 1] and "[" in lines[at + 1]
    assert any("<3.2e-4" in line for line in lines)
    assert "no formula" in done.stdout and "a base that is not here" in done.stdout


def test_json_holds_every_number(store: Path) -> None:
    rows = {(row["variant"], row["rank"]): row for row in _json("--store", str(store))}
    assert set(rows) == {("fullft", None), ("lora", 16), ("lora", 4), ("pissa", 16)}
    lora = rows["lora", 16]
    assert len(lora["losses"]) == 7 and len(lora["losses"][0]) == 3
    assert lora["optimum"]["low"] < 3e-3 < lora["optimum"]["high"]
    assert abs(math.log10(lora["optimum"]["rate"] / 3e-3)) < 0.05
    ratio = lora["ratio_to_full"]
    assert ratio["low"] < 3e-3 / 9e-4 < ratio["high"] and not ratio["open_high"]
    assert rows["fullft", None]["ratio_to_full"] is None
    pissa = rows["pissa", 16]
    assert pissa["optimum"]["edge"] == "low" and pissa["ratio_to_full"]["open_low"]
    told = {one["rule"]: one for one in lora["predictions"]}
    full = rows["fullft", None]["optimum"]["rate"]
    assert told["from full"]["rate"] == pytest.approx(10 * full)
    assert told["from full"]["off"] == pytest.approx(10 * full / lora["optimum"]["rate"])
    assert told["other rank"]["rate"] == pytest.approx(rows["lora", 4]["optimum"]["rate"])


def test_an_unfinished_search_says_what_is_looked_at(tmp_path: Path) -> None:
    for i, rate in enumerate(GRID):
        for seed in range(2 if i < 5 else 1):
            Store(tmp_path).write(trial(_ref("lora"), rate, seed, 1 + abs(i - 3) / 10 + seed / 50))
    done = CliRunner().invoke(app, ["lr", "--store", str(tmp_path)], env={"COLUMNS": "120"})
    assert "lora r16: 5 rates of 2 seeds are looked at, of 12 cells" in done.stdout


def test_only_some_variants_with_the_reference_still_there(store: Path) -> None:
    rows = _json("--store", str(store), "--variants", "lora")
    assert {row["variant"] for row in rows} == {"lora"}
    assert all(row["ratio_to_full"] for row in rows)


def test_rates_for_a_model_that_was_not_swept(store: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_size": 4096}')
    rows = _json("--store", str(store), "--predict", str(tmp_path))
    by = {(row["variant"], row["rank"]): row["predict"]["predictions"] for row in rows}
    rates = {rule["rule"]: rule["rate"] for rule in by["lora", 16]}
    assert rates["formula"] == pytest.approx(5e-4 * (2000 / 4096) ** 0.781)
    assert rates["batch"] == pytest.approx(rates["formula"] / 8**0.5)  # batches of 16, not 128
    assert by["pissa", 16][0]["rate"] is None and by["pissa", 16][0]["note"]
    shown = CliRunner().invoke(app, ["lr", "--store", str(store), "--predict", str(tmp_path)])
    assert "llama, hidden size 4096" in shown.stdout and "2.9e-4" in shown.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--store", "{new}"], "no records that were trained here"),
        (["--store", "{store}", "--variants", "lara"], "no record of 'lara'; did you mean 'lora'?"),
        (["--store", "{store}", "--predict", "{new}"], "no model folder"),
        (["--store", "{store}", "--curvature"], "say with --model where it lies"),
    ],
)
def test_mistakes_are_one_line(store: Path, tmp_path: Path, words: list[str], told: str) -> None:
    place = {"new": str(tmp_path / "new"), "store": str(store)}
    done = CliRunner().invoke(app, ["lr", *[word.format(**place) for word in words]])
    assert done.exit_code == 2
    assert told in done.stderr and len(done.stderr.splitlines()) == 1


def test_curvature_of_the_variants_of_a_store(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curvature, "EXAMPLES", 4)
    here = tmp_path / "s"
    plan = resolve(Request(variants="lora:rank=4", tasks="math", model=str(tiny_base), device="cpu"))
    Store(here).write(stopped(plan.cells[0], "diverged", "made up"))
    rows = found(here, variants="lora", model=str(tiny_base), device="cpu", curvature=True)
    (row,) = rows
    assert row.curvature is not None and row.curvature.top > 0 and row.curvature.examples == 4
    assert row.curvature.parameters == 2 * 4 * (4 * (32 + 32) + 3 * (32 + 64))
    assert len(list((here / curvature.FOLDER).iterdir())) == 1
    again = found(here, variants="lora", model=str(tiny_base), device="cpu", curvature=True)
    assert again[0].curvature == row.curvature


def test_searches_replayed_on_a_store(store: Path) -> None:
    curves = searches.usable(store)
    assert len(curves) == 4
    for name, search in searches.SEARCHES.items():
        for curve in curves[:2]:
            for one in searches.replays(curve, search):
                assert one.trials <= 21 and one.seconds > 0 and one.excess >= 0
                assert one.alike or not one.same, name
    whole = searches.replays(curves[0], searches.full_grid)
    assert {(one.same, one.trials, one.excess) for one in whole} == {(True, 21, 0.0)}
    halved = searches.replays(curves[0], searches.SEARCHES["halving"])
    assert {one.trials for one in halved} == {7 + 4 + 2}
    alone = searches.replays(curves[0], searches.one_seed)
    assert {one.trials for one in alone} == {7 + 2}


@pytest.mark.parametrize("place", range(7))
def test_a_search_without_noise_finds_the_lowest_rate_or_its_neighbour(place: int) -> None:
    losses = simulated(two_slopes(1, 1), GRID[place], 1e-9, 2, np.random.default_rng(0)).losses
    x = np.log10(GRID)
    for trials, reach in ((4, 1), (5, 0)):
        pick, ran = searches.parabola(trials, 1)(x, losses)
        assert abs(pick - place) <= reach
        assert len(ran) <= trials and all(seed == 0 for _, seed in ran)
    pick, ran = searches.process(5, None)(x, losses)
    assert abs(pick - place) <= 1 and len(ran) == 10
    assert searches.halving(x, losses)[0] == place
