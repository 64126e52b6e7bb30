"""The command line: mistakes are one line and leave nothing behind; one real run, resumed and shown."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from suite.cli import app
from tests.example_records.make import LORA, cell, record

ROOT = Path(__file__).parents[2]
RUN = [
    "run",
    "--device",
    "cpu",
    "--variants",
    "lora:rank=2",
    "--tasks",
    "math",
    "--steps",
    "2",
    "--limit",
    "2",
]


def suite(*words: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "suite.cli", *words], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


MISTAKES = [
    (["--variants", "lara"], "unknown variant 'lara'; nearest is 'lora'"),
    (["--variants", ""], "no variant given"),
    (["--variants", ","], "no variant given"),
    (["--variants", "lora:rnk=3"], "unknown setting 'rnk'; nearest is 'rank'"),
    (["--variants", "lora:rank=33"], "rank 33 is too large for model.layers.0.self_attn.q_proj; at most 32"),
    (["--tasks", "maths"], "unknown task 'maths'; did you mean 'math'?"),
    (["--tasks", ""], "--tasks '' is an empty list"),
    (["--tasks", "math,math"], "--tasks names 'math' twice"),
    (["--track", "poket"], "unknown track 'poket'; did you mean 'pocket'?"),
    (["--lr", "-1e-3"], "--lr '-1e-3': expected numbers above 0"),
    (["--lr", "0"], "--lr '0': expected numbers above 0"),
    (["--lr", "fast"], "--lr 'fast': expected numbers above 0"),
    (["--lr", "nan"], "--lr 'nan': expected numbers above 0"),
    (["--lr", ""], "--lr '' is an empty list"),
    (["--steps", "0"], "--steps '0': expected a whole number, 1 or more"),
    (["--steps", "2.5"], "--steps '2.5': expected a whole number"),
    (["--limit", "-1"], "--limit '-1': expected a whole number, 1 or more"),
    (["--seeds", "a"], "--seeds 'a': expected whole numbers"),
    (["--seeds", "-1"], "--seeds '-1': expected whole numbers"),
    (["--seeds", ""], "--seeds '' is an empty list"),
    (["--workers", "0"], "--workers '0': expected a whole number, 1 or more"),
    (["--workers", "²"], "--workers '²': expected a whole number, 1 or more"),
    (["--device", "cuda:²"], "unknown device 'cuda:²'"),
    (["--track", "pocket", "--data", "."], "track 'pocket' runs on the embedded world and reads no data"),
    (["--tasks", "math:metamathqa"], "track 'pocket' runs on the embedded world; use --track open"),
    (["--tasks", "math:own"], "trains on rows of your own; give them with --data FILE.jsonl"),
    (["--data", __file__, "--tasks", "math"], "is read by no task; add own or <task>:own to --tasks"),
    (["--data", ".", "--data", ".."], "--data '..': a second folder"),
    (["--batching", "stacked"], "--batching 'stacked': expected one of padded, packed"),
    (["--precision", "half"], "--precision 'half': expected one of float32, bfloat16, mixed"),
    (["--attention", "sdp"], "--attention 'sdp': expected one of sdpa, eager, flash_attention_2"),
    (["--samples", "4", "--temperature", "0"], "--temperature 0 makes all samples alike"),
    (["--temperature", "0.5"], "--temperature 0.5 needs --samples 2 or more"),
    (["--temperature", "inf"], "--temperature 'inf': expected a number, 0 or more"),
    (["--shots", "-1"], "--shots '-1': expected 0 or more"),
    (["--micro-batch", "0"], "--micro-batch '0': expected a whole number"),
    (["--chat-template"], "has none; leave the flag out"),
    (["--device", "cpuu"], "unknown device 'cpuu'; expected auto, cpu, cuda or cuda:N; did you mean 'cpu'?"),
    (["--device", "cuda:99"], "device 'cuda:99' is not here"),
    (["--data", "nowhere"], "--data: no folder or file 'nowhere'"),
    (["--model", "./nowhere"], "no model folder './nowhere'"),
    (["--model", "pockt"], "did you mean 'pocket'?"),
]


@pytest.mark.parametrize(("words", "told"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_one_line_and_writes_nothing(
    words: list[str], told: str, tiny_base: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    given = [*RUN, "--model", str(tiny_base), "--store", str(store), *words]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ") and told in result.stderr
    assert result.stderr.count("\n") == 1 and result.stdout == ""
    assert not store.exists()


def test_mistakes_in_data_name_file_and_line(tiny_base: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    given = [*RUN, "--model", str(tiny_base), "--store", str(tmp_path / "store"), "--data", str(data)]
    missing = CliRunner().invoke(app, given)
    assert missing.exit_code == 2 and str(data) in missing.stderr and ".jsonl" in missing.stderr
    for name in ("hellaswag/validation", "arc_challenge/test", "winogrande/validation", "gsm8k/train"):
        (data / f"{name}.jsonl").parent.mkdir(exist_ok=True)
        (data / f"{name}.jsonl").write_text('{"question": 1}\n')
    bad = CliRunner().invoke(app, given)
    assert bad.exit_code == 2 and ".jsonl:1: " in bad.stderr and bad.stderr.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_an_unreadable_store_is_one_line(tiny_base: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    result = CliRunner().invoke(app, [*RUN, "--model", str(tiny_base), "--store", str(file)])
    assert result.exit_code == 2 and f"store {file} is a file" in result.stderr
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "abc.json").write_text("{")
    result = CliRunner().invoke(app, [*RUN, "--model", str(tiny_base), "--store", str(tmp_path)])
    assert result.exit_code == 2 and "abc.json" in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_a_store_that_cannot_be_written_is_told_at_once(
    words: list[str], tiny_base: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "base").write_text("x")
    for store, told in ((tmp_path / "file" / "store", "is not a folder"), (tmp_path, "base is a file")):
        given = [*RUN, "--model", str(tiny_base), "--store", str(store), *words]
        result = CliRunner().invoke(app, given)
        assert result.exit_code == 2 and told in result.stderr and result.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "file"]


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_a_bad_model_folder_is_one_line(words: list[str], tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_base, folder)
    (folder / "tokenizer.json").unlink()
    given = [*RUN, "--model", str(folder), "--store", str(tmp_path / "store"), *words]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2 and "no usable tokenizer" in result.stderr
    assert result.stderr.count("\n") == 1 and not (tmp_path / "store").exists()


def test_a_record_without_all_that_was_measured_is_shown(tmp_path: Path) -> None:
    one = record(cell(LORA, "sums", 0))
    assert one.after is not None
    lacking = one.model_copy(update={"after": one.after.model_copy(update={"log_loss": {}, "general": {}})})
    file = tmp_path / "record.json"
    file.write_text(lacking.model_dump_json())
    result = CliRunner().invoke(app, ["show", str(file)])
    assert result.exit_code == 0, result.output
    assert "validation loss" in result.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["list", "variant"], "did you mean 'variants'?"),
        (["show", "abc", "--store", "nowhere"], "no record 'abc'"),
        (["show", "./abc.json"], "no record file './abc.json'"),
        (["export", "abc", "--to", "out", "--store", "nowhere"], "no record 'abc'"),
        (["eval", "nowhere"], "no folder 'nowhere'"),
        (["site", "--store", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_of_other_commands(words: list[str], told: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and result.stderr.startswith("error: ") and told in result.stderr


def test_list_says_what_there_is() -> None:
    for what, name in (("variants", "lori-s"), ("tasks", "instruct"), ("tracks", "pocket")):
        result = CliRunner().invoke(app, ["list", what])
        assert result.exit_code == 0
        assert name in [line.split()[0] for line in result.stdout.splitlines()]


def test_a_real_process_says_its_error_on_one_line() -> None:
    done = suite("run", "--variants", "lara")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: unknown variant 'lara'") and done.stderr.count("\n") == 1
    assert suite("run", "--nonsense").returncode == 2


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    program = (
        "import sys, time\n"
        "sys.argv = ['suite', '--help']\n"
        "began = time.process_time()\n"
        "from suite.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'transformers', 'pydantic', 'lm_eval'}\n"
        "print(time.process_time() - began, *heavy & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds, *heavy = done.stdout.splitlines()[-1].split()
    assert heavy == [] and float(seconds) < 0.5
    assert "run" in done.stdout and "site" in done.stdout


def test_dry_run_shows_the_cells_and_writes_nothing(tiny_base: Path, tmp_path: Path) -> None:
    given = [*RUN, "--model", str(tiny_base), "--store", str(tmp_path / "store"), "--dry-run"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert "1 cells, 1 to do" in result.stdout and "~" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_run_then_resume_then_show(tiny_base: Path, tmp_path: Path) -> None:
    given = [*RUN, "--model", str(tiny_base), "--store", str(tmp_path), "--workers", "1"]
    first = CliRunner().invoke(app, given)
    assert first.exit_code == 0, first.output
    assert "[1/1] lora on math" in first.stderr and f"leaderboard: {tmp_path}/site/index.html" in first.stdout
    (file,) = (tmp_path / "records").glob("*.json")
    record = json.loads(file.read_text())
    assert record["status"] == "ok" and len(record["curve"]) == 2
    assert len(record["after"]["target"]["pocket_math"]["items"]) == 2
    assert record["before"]["log_loss"].keys() == {"validation", "test"}
    assert record["cost"]["peak_memory_bytes"] > 0 and record["provenance"]["threads"] == 1
    assert record["effect"]["from_start"] > 0 and record["effect"]["reload_error"] < 1e-5
    kept = tmp_path / "adapters" / file.stem
    assert sorted(p.name for p in kept.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    written = file.stat().st_mtime_ns
    second = CliRunner().invoke(app, given)
    assert second.exit_code == 0 and "1 cells were finished before" in second.stdout
    assert file.stat().st_mtime_ns == written
    for name in (file.stem[:6], str(file)):
        shown = CliRunner().invoke(app, ["show", name, "--store", str(tmp_path)])
        assert shown.exit_code == 0 and file.stem in shown.stdout and "pocket_math" in shown.stdout
    page = CliRunner().invoke(app, ["site", "--store", str(tmp_path), "--out", str(tmp_path / "page")])
    assert page.exit_code == 0 and (tmp_path / "page" / "index.html").is_file()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_ctrl_c_stops_the_workers_and_says_how_to_go_on(tiny_base: Path, tmp_path: Path) -> None:
    words = [*RUN, "--model", str(tiny_base), "--store", str(tmp_path), "--steps", "100000", "--workers", "1"]
    run = subprocess.Popen(
        [sys.executable, "-m", "suite.cli", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "base").glob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(run.pid, signal.SIGINT)
    out, errors = run.communicate(timeout=60)
    assert run.returncode == 130, errors
    assert errors.count("\n") == 1 and errors.startswith("stopped; ") and "resume with: suite run" in errors
    assert out == ""
    left = _alive(run.pid)
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = _alive(run.pid)
    assert left == []


def _alive(group: int) -> list[str]:
    """Command lines of the processes of a group that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state != "Z":
                found.append((stat.parent / "cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
