"""The command that counts a step of every variant: its counts, its tables, and what it calls shown."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import flops
from benchmarks.flops import Paper, verdicts
from suite.record import StepFlops

TINY = ["--shape", "tiny", "--batch", "4", "--length", "16", "--rank", "4"]


def test_the_command_counts_and_times(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    flops.main([*TINY, "--variants", "pissa,qlora", "--time", "--rounds", "2"])
    lines = capsys.readouterr().out.splitlines()
    cells = [[part.strip() for part in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    rows = {row[0]: row[1:] for row in cells}
    assert {"fullft", "lora", "pissa", "qlora"} <= rows.keys()
    assert rows["fullft"][3] == "1.000" and rows["fullft"][5] == "1.00"
    assert float(rows["lora"][3]) < float(rows["pissa"][3]) and rows["lora"][3] == rows["qlora"][3]
    assert all(float(rows[name][4]) > 0 for name in ("fullft", "lora", "pissa", "qlora"))
    assert sum(line.startswith("3N^2 against 2N^2 + 6NR") for line in lines) == 1


def test_the_papers_sum_by_hand() -> None:
    given = flops.parsed(TINY)
    sides = [(32, 32), (16, 32), (16, 32), (32, 32), (48, 32), (48, 32), (32, 48)]  # [d_out, d_in] of a block
    whole, factors = 2 * sum(o * i for o, i in sides), 2 * 4 * sum(o + i for o, i in sides)
    assert flops.paper("tiny", given) == Paper(2 * 64 * 3 * whole, 2 * 64 * (2 * whole + 3 * factors))


@pytest.mark.parametrize(
    ("low", "words"),
    [(68, ["shown", "shown"]), (77, ["shown", "refuted"]), (60, ["refuted", "refuted"])],
)
def test_what_is_shown_and_what_is_refuted(low: int, words: list[str]) -> None:
    counts = {
        "fullft": StepFlops(forward=40, backward=60, tokens=10),
        "lora": StepFlops(forward=20, backward=low - 20, tokens=10),
    }
    lines = verdicts(counts, Paper(90, 62 if low < 70 else 70), 0.05)
    assert [word for line in lines for word in ("shown", "refuted") if word in line] == words
    assert all(f"counted 0.{low}0" in line for line in lines)


def test_two_thirds_of_a_model_of_a_billion() -> None:
    """The claim of LoRA Without Regret, where rank 16 is small beside the width."""
    given = flops.parsed(["--shape", "llama-3.2-1b", "--variants", "lora", "--batch", "2"])
    counts = flops.counted("llama-3.2-1b", flops.chosen(given), given)
    assert 2 / 3 < counts["lora"].total / counts["fullft"].total < 0.69
    assert counts["fullft"].backward == pytest.approx(2 * counts["fullft"].forward, rel=5e-3)
