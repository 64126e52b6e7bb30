"""One record for a reader: what is there is said, what is not is a dash."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from suite.errors import UserError
from suite.record import Cost, DeltaRank, Latency, Record, StepFlops, Times
from suite.show import find, view
from tests.example_records.make import EFFECT, LORA, cell, imported, record, stopped


def _text(record: Record) -> str:
    console = Console(width=160, file=io.StringIO(), color_system=None)
    console.print(view(record))
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def test_an_effect_is_shown() -> None:
    text = _text(record(cell(LORA, "sums", 0), effect=EFFECT, weights="00112233aabbccdd"))
    assert "logits move by up to 3.25 from the base, 3 from the start" in text
    assert "norm of deltas 5 over 2 weights" in text, "sqrt(3*3 + 4*4)"
    assert "logits agree to 1e-06" in text and "00112233aabbccdd" in text
    kept = EFFECT.model_copy(update={"reload_error": None})
    assert "reloaded not tried" in _text(record(cell(LORA, "sums", 0), effect=kept))


def test_ranks_are_shown_by_their_medians() -> None:
    ranks = {
        str(i): DeltaRank(numeric=n, stable=s, ninety=k, full=full)
        for i, (n, s, k, full) in enumerate([(16, 2.5, 10, 160), (15, 1.25, 8, 80), (16, 9.0, 4, 160)])
    }
    text = _text(record(cell(LORA, "sums", 0), effect=EFFECT.model_copy(update={"ranks": ranks})))
    assert (
        "rank of deltas 16 in the median, of which 8 hold 90 % (6.2 % of full rank); stable rank 2.5" in text
    )
    assert "rank of" not in _text(record(cell(LORA, "sums", 0), effect=EFFECT))


def test_costs_are_shown() -> None:
    beside, merged = Times(prompt_ms=12.5, token_ms=3.25), Times(prompt_ms=9.0, token_ms=2.0)
    cost = Cost(
        pack=1,
        train_wall_s=20.0,
        start_s=0.0168,
        peak_memory_bytes=3 * 2**20,
        memory_method="cuda-max-allocated",
        reserved_memory_bytes=4 * 2**20,
        tokens=100_000,
        flops=StepFlops(forward=2_000_000_000, backward=3_500_000_000, tokens=500),
        adapter_bytes=789_504,
        latency=Latency(tokens=206, base=merged, adapter=beside, merged=merged),
    )
    text = _text(record(cell(LORA, "sums", 0), cost=cost))
    for part in (
        "training 20.0 s, 100K tokens, 5K tokens/s",
        "start 0.017 s",
        "peak memory 3.0 MiB (cuda-max-allocated), 4.0 MiB reserved",
        "a step 2 GFLOP forward, 3.5 backward, 11 MFLOP a token",
        "exported 0.75 MiB of weights",
        "206 tokens in 12.5 ms, 9 merged, 9 the base alone",
        "one token in 3.25 ms, 2 merged, 2 the base alone",
    ):
        assert part in text, part
    assert cost.latency is not None
    apart = cost.latency.model_copy(update={"merged": None})
    pack = cost.model_copy(update={"pack": 3, "latency": apart})
    text = _text(record(cell(LORA, "sums", 0), cost=pack))
    assert "20.0 s beside 2 more, 100K tokens scoring" in text and "12.5 ms, not merged, 9 the" in text


def test_a_record_of_others_is_shown() -> None:
    text = _text(imported("first", 0.5))
    for part in (
        *("recipe not trained here", "learning rate 0.001", "seed - ", "trainable - of 3.2M", "made - on -"),
        *("source imported: first, from synthetic/elsewhere results", "source file first.json"),
        *(
            "its forgetting 0.25 (change of a loss, nats; not points)",
            "its commit 1111",
            "training 1 min 39 s, -",
        ),
        "sums_test (accuracy) │ - │ - │ 50.0 │ - │",
    ):
        assert part in text, part
    assert "None" not in text and "before" in text


def test_before_and_after_stand_alone_or_together() -> None:
    one = cell(LORA, "sums", 0)
    assert "│ 0.0 │ 50.0 │ +50.0 │" in _text(record(one))
    assert "│ - │ 50.0 │ - │" in _text(record(one, before=None)) and "│ - │ 0.500 │ - │" in _text(
        record(one, before=None)
    )
    assert "│ 0.0 │ - │ - │" in _text(stopped(one, "oom", "too big"))
    assert "measured" not in _text(stopped(one, "failed", "too early", before=None))


def test_a_file_of_an_old_schema_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_text('{"schema_version": 1, "id": "x"}')
    with pytest.raises(
        UserError, match="schema 1, this version reads 4; make it again: run the same command"
    ):
        find(str(file), tmp_path)
