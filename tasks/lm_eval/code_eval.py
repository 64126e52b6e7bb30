"""pass@k of programs that run in tasks/sandbox.py: what lm-eval's stock tasks call "code_eval".

Hugging Face's metric of that name is fetched from the hub and runs programs in a process of this machine.
This one has its arguments and its results. Each program is run in an empty namespace, as there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import comb
from typing import Any

from tasks import sandbox

# The original's limit is 3 s, which MBPP's own answer to problem 123 does not keep on a slow machine.
TIMEOUT = 15.0

Outcome = tuple[int, dict[str, Any]]


class CodeEval:
    """The metric as `evaluate.load("code_eval")` would give it."""

    def compute(
        self, references: Sequence[str], predictions: Sequence[Sequence[str]], k: Sequence[int] = (1, 10, 100)
    ) -> tuple[dict[str, float], dict[int, list[Outcome]]]:
        """({"pass@1": share, ...}, outcomes) of every candidate in `predictions[i]` against `references[i]`.

        pass@k is the mean over problems of its unbiased estimate (Chen et al. 2021, equation 1), left out
        where a problem has fewer than k candidates.
        """
        jobs = [
            (problem, candidate, f"{program}\n{test}")
            for problem, (test, programs) in enumerate(zip(references, predictions, strict=True))
            for candidate, program in enumerate(programs)
        ]
        results: dict[int, list[Outcome]] = {problem: [] for problem, _ in enumerate(references)}
        for (problem, candidate, _), verdict in zip(jobs, _verdicts([job[2] for job in jobs]), strict=True):
            told = "passed" if verdict.passed else f"failed: {verdict.reason}"
            outcome = {
                "task_id": problem,
                "passed": verdict.passed,
                "result": told,
                "completion_id": candidate,
            }
            results[problem].append((candidate, outcome))
        counts = [(len(found), sum(one["passed"] for _, one in found)) for found in results.values()]
        return {
            f"pass@{each}": sum(estimate(n, right, each) for n, right in counts) / len(counts)
            for each in k
            if counts and all(n >= each for n, _ in counts)
        }, results


def estimate(n: int, right: int, k: int) -> float:
    """The chance that k of n candidates hold one of the `right` that pass: 1 - C(n - c, k) / C(n, k)."""
    return 1.0 - comb(n - right, k) / comb(n, k)


def run(program: str) -> sandbox.Verdict:
    """Run a program in an empty namespace, so that a block under `__name__ == "__main__"` does not run."""
    return sandbox.run(f"exec({program!r}, {{}})", timeout=TIMEOUT)


def _verdicts(programs: Sequence[str]) -> list[sandbox.Verdict]:
    if len(programs) < 2:
        return [run(program) for program in programs]
    with ThreadPoolExecutor(min(len(programs), os.cpu_count() or 1)) as pool:
        return list(pool.map(run, programs))
