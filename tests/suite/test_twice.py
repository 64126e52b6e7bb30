"""The same command into two stores: equal records but for times and the command itself, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from suite.cli import app

TIMES = ("train_wall_s", "train_cpu_s", "evaluate_wall_s", "evaluate_cpu_s", "start_s")


def facts(store: Path) -> dict[str, Any]:
    """Every record by id, without times and without where it was made."""
    found = {}
    for file in sorted((store / "records").glob("*.json")):
        record = json.loads(file.read_text())
        for name in TIMES:
            assert record["cost"].pop(name) >= 0
        latency = record["cost"].pop("latency")
        assert latency["adapter"]["prompt_ms"] > 0 and latency["merged"]["token_ms"] > 0
        del record["provenance"]["created"], record["provenance"]["command"]
        found[file.stem] = record
    return found


def test_the_same_command_twice_gives_equal_records(tiny_base: Path, tmp_path: Path) -> None:
    words = [
        "run",
        "--variants",
        "lora:rank=4,lori:rank=4",
        "--tasks",
        "instruct",
        "--steps",
        "3",
        "--limit",
        "3",
    ]
    for name, workers in (("one", "1"), ("two", "2")):
        store = ["--store", str(tmp_path / name), "--workers", workers]
        result = CliRunner().invoke(app, [*words, "--model", str(tiny_base), *store])
        assert result.exit_code == 0, result.output
    one, two = facts(tmp_path / "one"), facts(tmp_path / "two")
    assert len(one) == 2 and one == two
    assert all(record["weights"] and record["effect"] for record in one.values())
    base = [sorted((tmp_path / name / "base").glob("*.json")) for name in ("one", "two")]
    assert [file.name for file in base[0]] == [file.name for file in base[1]] != []
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*base, strict=True))
