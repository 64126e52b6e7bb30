"""The command that times the starts: runs at tiny shapes and tells exact from randomised."""

from __future__ import annotations

import pytest
import torch

from benchmarks import start


def test_the_command_prints_a_row_for_every_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    threads = torch.get_num_threads()
    start.main(["--shapes", "64x96", "--rank", "4", "--rounds", "1", "--threads", str(threads)])
    lines = capsys.readouterr().out.splitlines()
    for spectrum in ("flat", "decaying", "spikes"):
        assert any(line.startswith(f"64x96, rank 4, {spectrum}") for line in lines)
    for way in start.ways():
        assert sum(way.title in line for line in lines) >= 3


def test_errors_are_those_of_the_subspace() -> None:
    """Rounding for the exact ways, the angle itself for a tilted basis, and large for a random one."""
    weight = dict(start.weights(48, 32))["decaying"]
    U, S, _ = torch.linalg.svd(weight.double(), full_matrices=False)
    truth = start.Truth(U, S)
    found = {way.title: truth.errors(way, way.run(weight, 4)) for way in start.ways() if way.end}
    for exact in ("peft pissa", "pissa", "decompose.top", "milora"):
        values, largest, mean, gap = map(float, found[exact])
        assert (values < 2e-5, largest < 1e-4, mean <= largest, gap > 1e-7) == (True,) * 4, exact
    tilted = torch.cat([U[:, :3], 0.8 * U[:, 3:4] + 0.6 * U[:, 4:5]], dim=1)
    way = next(way for way in start.ways() if way.title == "pissa")
    _, largest, mean, _ = truth.errors(way, (torch.eye(4, 32), tilted))
    assert (float(largest), float(mean)) == (0.6, 0.2)  # 0.6 and 0.15, to one digit
