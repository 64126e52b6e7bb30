"""The open track in little, end to end by the command line: real rows, real architectures, no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig, Qwen3Config

from suite.record import Record
from suite.store import Store
from tests import folders
from tests.needs import real_data

ROOT = Path(__file__).parents[2]
SIZES: dict[str, Any] = {
    "vocab_size": 1024,
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "bos_token_id": None,
    "eos_token_id": 0,
}
OPEN = ("--track", "tiny-open", "--offline", "--device", "cpu", "--no-weights")
MIXED = (
    *("run", "--variants", "lora,fullft", "--precision", "mixed", "--batching", "packed", "--steps", "10"),
    *("--limit", "2", "--device", "cpu", "--no-weights", "--checkpointing", "--micro-batch", "1"),
)
BLOCKED = (  # a network that answers to nobody but this machine
    "import socket, sys\n"
    "def refuse(self, address, *rest):\n"
    "    raise OSError(f'the network was asked for {address}')\n"
    "socket.socket.connect = socket.socket.connect_ex = refuse\n"
    "from suite.cli import main\n"
    "main()\n"
)


def suite(*words: str, data: Path, store: Path) -> tuple[str, list[Record]]:
    """The command in a process of its own, without a network; what it printed, and its records."""
    given = [*OPEN, "--data", str(data), "--store", str(store), *words]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "NLTK"))}
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, "run", *given],
        cwd=ROOT,
        env={**clean, "HF_HOME": str(store.parent / "hub"), "HOME": str(store.parent)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, Store(store).records()


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three million random weights in Llama's shape."""
    place = tmp_path_factory.mktemp("bases") / "random-llama"
    config = LlamaConfig(**SIZES, tie_word_embeddings=False)
    return folders.write(place, config, folders.tokenizer(real_data()))


def test_a_random_llama_goes_through_every_task(llama: Path, tmp_path: Path) -> None:
    shown, records = suite(
        *("--model", str(llama), "--variants", "lora,fullft"), data=real_data(), store=tmp_path / "store"
    )
    assert len(records) == 6 and {record.status for record in records} == {"ok"}
    assert "random-llama" in shown and "math on gsm8k" in shown
    total = {record.total_parameters for record in records}
    assert total and all(2.5e6 < (count or 0) < 3.5e6 for count in total)
    for record in records:
        recipe, how = record.cell.how.recipe, record.cell.evaluation
        assert (recipe.batching, recipe.examples, how.limit, how.shots) == ("packed", 64, 8, 0)
        assert record.after is not None and record.before is not None
        assert record.after.bits_per_byte and len(record.after.general) == 3
        assert all(score.n == 8 and len(score.items) == 8 for score in record.after.target.values())
        assert f"{record.cell.task.source}/train.jsonl" in record.data
    targets = {name for record in records for name in record.cell.evaluation.target}
    assert targets == {"gsm8k", "humaneval", "mbpp", "ifeval"}


def test_mixed_precision_and_rows_of_ones_own_on_the_embedded_base(tmp_path: Path) -> None:
    """In mixed precision, as full fine-tuning is on a GPU; a task without an evaluation has its page too."""
    own = tmp_path / "mine.jsonl"
    rows = [{"instruction": f"Say {i}.", "response": f"{i}, as you asked."} for i in range(120)]
    own.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-m", "suite.cli", *MIXED, "--data", str(own), "--store", str(store)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    records = Store(store).records()
    assert len(records) == 2 and (store / "site" / "index.html").is_file()
    for record in records:
        assert (record.status, record.cell.task.label, record.gain) == ("ok", "own", None), record.error
        assert record.cell.how.recipe.precision == "mixed" and record.cost and record.cost.checkpointing
        assert record.before is not None and record.after is not None
        assert record.after.log_loss["test"] < record.before.log_loss["test"]
        assert record.after.general["pocket_arc"].batch_changes is None and list(record.data) == [
            "mine.jsonl"
        ]


def test_the_pocket_base_learns_real_rows_under_all_six_variants(tmp_path: Path) -> None:
    _, records = suite(
        *("--tasks", "math", "--steps", "30", "--limit", "4"), data=real_data(), store=tmp_path / "store"
    )
    assert len(records) == 6 and {record.status for record in records} == {"ok"}
    for record in records:
        assert record.before is not None and record.after is not None
        assert record.after.log_loss["validation"] < record.before.log_loss["validation"]


@pytest.mark.slow
def test_a_qwen3_goes_through_all_six_variants_and_every_task(tmp_path: Path) -> None:
    config = Qwen3Config(**SIZES, head_dim=32, tie_word_embeddings=True)
    base = folders.write(tmp_path / "random-qwen3", config, folders.tokenizer(real_data()))
    _, records = suite("--model", str(base), data=real_data(), store=tmp_path / "store")
    assert len(records) == 18 and {record.status for record in records} == {"ok"}


@pytest.mark.slow
def test_rows_of_ones_own_train_a_task_and_a_held_out_loss(tmp_path: Path) -> None:
    own = tmp_path / "mine.jsonl"
    rows = [{"instruction": f"Say {i}.", "response": f"{i}, as you asked."} for i in range(200)]
    own.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ("--data", str(own), "--tasks", "own,math:own", "--variants", "lora")
    _, records = suite(*given, data=real_data(), store=tmp_path / "store")
    assert {record.cell.task.label for record in records} == {"own", "math:own"}
    assert {record.status for record in records} == {"ok"}
