"""pass@k through the sandbox: its arithmetic, its programs, and the gold answers of HumanEval and MBPP."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tasks import sandbox
from tasks.lm_eval import code_eval
from tasks.lm_eval.code_eval import CodeEval, estimate
from tests.needs import real_data, refused

ADD = "def add(a, b):\n    return a + b"
TEST = "assert add(2, 3) == 5"
# MBPP's test of problem 367 uses a tree that only its setup code builds, and the stock task leaves that out.
NEEDS_SETUP = {367}


@pytest.fixture
def metric() -> CodeEval:
    """The metric; skipped where there is no sandbox."""
    if reason := refused():
        pytest.skip(reason)
    return CodeEval()


@pytest.mark.parametrize(("n", "right", "k"), [(5, 2, 1), (5, 2, 3), (4, 0, 2), (4, 4, 3), (6, 5, 2)])
def test_the_estimate_is_the_share_of_draws_that_hold_a_right_one(n: int, right: int, k: int) -> None:
    draws = list(itertools.combinations([True] * right + [False] * (n - right), k))
    assert estimate(n, right, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_scores_and_results(metric: CodeEval) -> None:
    wrong = ADD.replace("+", "*")
    scores, results = metric.compute([TEST, TEST], [[ADD, wrong], [wrong, wrong]], k=[1, 2, 3])
    assert scores == {"pass@1": 0.25, "pass@2": 0.5}
    assert [[each["passed"] for _, each in results[task]] for task in (0, 1)] == [
        [True, False],
        [False, False],
    ]
    assert results[0][0] == (0, {"task_id": 0, "passed": True, "result": "passed", "completion_id": 0})
    assert results[0][1][1]["result"].startswith("failed: AssertionError")
    assert metric.compute([], [], k=[1]) == ({}, {})


@pytest.mark.parametrize(
    ("program", "passed"),
    [
        ("from __future__ import annotations\n" + ADD, True),
        (ADD + "\nif __name__ == '__main__':\n    raise SystemExit(1)", True),
        (ADD + "\n'\udcff'", False),
        (ADD + "\nimport sys; sys.exit(0)", False),
        (ADD + "\ninput()", False),
        ("def add(a, b: return", False),
        ("open('/etc/passwd').read()\n" + ADD, False),
    ],
)
def test_programs_run_in_an_empty_namespace(program: str, passed: bool, metric: CodeEval) -> None:
    scores, _ = metric.compute([TEST], [[program]], k=[1])
    assert scores == {"pass@1": float(passed)}


def test_a_program_without_end(metric: CodeEval, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_eval, "TIMEOUT", 0.5)
    scores, results = metric.compute([TEST], [["while True: pass"]], k=[1])
    assert scores == {"pass@1": 0.0} and "still running after 0.5 s" in results[0][0][1]["result"]


def test_nothing_is_run_outside_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def deny(program: str, **_: Any) -> sandbox.Verdict:
        asked.append(program)
        return sandbox.Verdict(False, "not run")

    monkeypatch.setattr(sandbox, "run", deny)
    scores, _ = CodeEval().compute([TEST], [["raise KeyboardInterrupt", ADD]], k=[1])
    assert scores == {"pass@1": 0.0} and len(asked) == 2


def humaneval(data: Path) -> tuple[list[str], list[list[str]]]:
    """Tests and canonical solutions, as the stock task puts them together."""
    rows = [json.loads(line) for line in (data / "humaneval/test.jsonl").read_text().splitlines()]
    tests = [f"{row['test']}\ncheck({row['entry_point']})" for row in rows]
    return tests, [[row["prompt"] + row["canonical_solution"]] for row in rows]


def mbpp(data: Path) -> tuple[list[str], list[list[str]]]:
    """Tests and reference code, as the stock task puts them together; setup code is part of the answer."""
    rows = [json.loads(line) for line in (data / "mbpp/test.jsonl").read_text().splitlines()]
    assert {row["task_id"] for row in rows if row["test_setup_code"]} >= NEEDS_SETUP
    setups = [f"\n{row['test_setup_code']}" if row["task_id"] in NEEDS_SETUP else "" for row in rows]
    tests = ["\n".join(row["test_list"][:3]) for row in rows]
    return tests, [[row["code"] + setup] for row, setup in zip(rows, setups, strict=True)]


@pytest.mark.parametrize("rows", [humaneval, mbpp])
@pytest.mark.parametrize("every", [16, pytest.param(1, marks=pytest.mark.slow)])
def test_gold_passes_and_another_answer_fails(rows: Any, every: int, metric: CodeEval) -> None:
    tests, gold = rows(real_data())
    if every > 1:
        tests, gold = tests[3::every], gold[3::every]
    scores, results = metric.compute(tests, gold, k=[1])
    failed = [(i, found[0][1]["result"]) for i, found in results.items() if not found[0][1]["passed"]]
    assert failed == [] and scores == {"pass@1": 1.0}
    few = slice(0, 10)
    shifted = [*gold[1:], gold[0]][few]
    assert metric.compute(tests[few], shifted, k=[1])[0] == {"pass@1": 0.0}
