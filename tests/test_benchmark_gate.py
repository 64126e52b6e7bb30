"""The commands that measure the gate: what they draw, and what they count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import faults, gate_noise
from benchmarks.gate_pool import read
from benchmarks.planted import Fault
from suite.errors import UserError
from suite.gate import Report, Row

FAULT = Fault("odd", "nothing", ("b",), nullcontext)


def cells(of: str = "clean", variants: str = "ab", seeds: int = 6) -> dict[int, Any]:
    """A cell of each variant and seed that says where it is from."""

    def cell(seed: int, variant: str) -> Any:
        return SimpleNamespace(of=of, seed=seed, cell=SimpleNamespace(variant=SimpleNamespace(name=variant)))

    return {seed: [cell(seed, variant) for variant in variants] for seed in range(seeds)}


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """Both sides of every comparison that is asked for; each of them passes."""
    asked: list[tuple[Any, Any]] = []

    def judge(baseline: Any, candidate: Any) -> Report:
        asked.append((baseline, candidate))
        return Report((row("pass"),))

    monkeypatch.setattr(gate_noise, "judge", judge)
    monkeypatch.setattr(faults, "judge", judge)
    return asked


def row(verdict: Any, variant: str = "b", metric: str = "held-out loss", p: float | None = None) -> Row:
    return Row(variant, "math", metric, verdict, "so it is", p=p)


def seeds(side: Any) -> list[int]:
    return sorted({one.seed for one in side})


def test_both_sides_of_an_a_a_comparison_have_seeds_of_their_own(judged: list[tuple[Any, Any]]) -> None:
    found = gate_noise.noise(cells(), 3, 20)
    assert found.verdicts == {"pass": 20} and not found.why
    for one, other in judged:
        assert len(one) == len(other) == 6
        assert sorted([*seeds(one), *seeds(other)]) == list(range(6))
    assert len({tuple(seeds(one)) for one, _ in judged}) > 5


def test_a_row_that_does_not_pass_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (row("fail"), row("pass", "a"), row("inconclusive", "", "base"))
    monkeypatch.setattr(gate_noise, "judge", lambda *sides: Report(rows))
    found = gate_noise.noise(cells(), 2, 3)
    assert found.verdicts == {"fail": 3}
    assert found.why == {("fail", "b", "held-out loss"): 3, ("inconclusive", "base", "base"): 3}
    share = list(gate_noise.table(found, 6, 2).columns[2].cells)
    assert share == ["100.0%", "0.0%", "0.0%"]


def test_a_try_has_the_fault_where_it_was_trained_and_is_clean_elsewhere(
    judged: list[tuple[Any, Any]],
) -> None:
    kinds = [kind for kind, _ in faults.tries(FAULT, cells(), cells("faulty", "b", 4), 2, 10)]
    assert kinds == ["other", "same"] * 10
    for kind, (baseline, candidate) in zip(kinds, judged, strict=True):
        assert {one.of for one in baseline} == {"clean"}
        assert all(one.of == ("faulty" if one.cell.variant.name == "b" else "clean") for one in candidate)
        assert len(candidate) == len(baseline) == 4
        assert set(seeds(candidate)) <= set(range(4))
        shared = set(seeds(baseline)) & set(seeds(candidate))
        assert len(shared) == (2 if kind == "same" else 0)


def reports() -> Iterator[Report]:
    yield Report((row("fail", metric="held-out loss", p=1e-9), row("fail", metric="modules")))
    yield Report((row("fail", "a"), row("inconclusive")))
    yield Report((row("fail", "", "base"), row("pass")))
    yield Report((row("fail", "a"),))


def test_a_fault_is_caught_by_its_own_rows_or_the_bases_alone() -> None:
    found = faults.Caught()
    for report in reports():
        found.add(report, FAULT.variants)
    assert found.verdicts == {"fail": 2, "inconclusive": 1, "pass": 1}
    assert found.first == {"modules": 1, "base": 1}


def test_a_pool_that_is_too_small_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"0 complete seeds, and 4 are needed; make more with `suite run --track ci"
    ):
        read(tmp_path, 4)


def test_faults_are_chosen_by_name() -> None:
    assert [fault.name for fault in faults.chosen(False, "clip absent, mask not applied")] == [
        "clip absent",
        "mask not applied",
    ]
    with pytest.raises(UserError, match="did you mean 'clip absent'"):
        faults.chosen(False, "clip absen")
