"""The command that times a training step: runs on a tiny shape, and stops where the two sides differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import train_sides, train_step
from suite.flops import Products

TINY = ["--shape", "tiny", "--batch", "4", "--length", "16", "--rounds", "3", "--device", "cpu"]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers by an old name
def test_the_command_prints_both_sides_and_writes_the_numbers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    train_step.main(
        [*TINY, "--threads", str(torch.get_num_threads()), "--json", str(tmp_path / "found.json")]
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if "tiny, 4 x 16" in line] == ["LoRA r=16", "FullFT"]
    told = json.loads((tmp_path / "found.json").read_text())
    assert [(row["method"], row["side"]) for row in told["rows"]] == [
        *(("LoRA r=16", side) for side in ("ours", "peft")),
        *(("FullFT", side) for side in ("ours", "transformers")),
    ]
    for ours, theirs in (told["rows"][:2], told["rows"][2:]):
        assert theirs["ratio"] == 1 and ours["ratio"] > 0 and told["card_tflops"] > 0
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert 0 < ours["peak_bytes"] <= 1.02 * theirs["peak_bytes"]
        assert ours["tflops"] > 0 and ours["tokens_per_s"] == pytest.approx(64 / ours["seconds"])


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_other_losses_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train_sides.METHODS, "LoRA r=16", "lora:rank=16,alpha=64")
    monkeypatch.setitem(train_sides.RATE, "LoRA r=16", 1e-2)
    with pytest.raises(SystemExit, match=r"LoRA r=16: losses differ by .* not the same training"):
        train_step.main([*TINY, "--method", "lora", "--near", "1e-4"])


def test_the_counted_products_are_those_of_the_step() -> None:
    """Two products of [tokens, d] for each layer and direction, counted by hand for the blocks' weights."""
    given: Any = train_step.parsed([*TINY, "--method", "lora"])
    side = train_sides.ours("LoRA r=16", given)
    with Products() as products:
        side.step()
    model = train_sides.model_of("tiny", given)
    weights = sum(
        layer.weight.numel() for layer in model.model.layers.modules() if hasattr(layer, "in_features")
    )
    forward_and_backward = 2 * 2 * 64 * weights
    assert forward_and_backward < products.forward + products.backward < 3 * forward_and_backward
