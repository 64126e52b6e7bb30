"""A variant's first steps: does it train and score at all? Seconds on a CPU, and no number worth keeping.

python -m suite.smoke VARIANT STORE        the run itself, in a process of its own: a plugin may do anything
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from suite.facts import printable
from suite.store import Store
from suite.words import duration

STEPS, ITEMS = 3, 4
LIMIT_S = 300.0  # it takes ten on an idle machine
LONGEST = 300  # characters of a reason


def smoke(variant: str, limit_s: float = LIMIT_S) -> tuple[bool, str]:
    """Train and score `variant` (as typed) in a process of its own: whether that went well, and a line."""
    with tempfile.TemporaryDirectory(prefix="suite-smoke-") as folder:
        store = Path(folder) / "store"
        command = [sys.executable, "-m", "suite.smoke", variant, str(store)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired:
            return False, f"smoke run: not finished after {duration(limit_s)}"
        found = Store(store).records()
    wrong = [f"{record.status}: {record.error or 'no reason'}" for record in found if record.status != "ok"]
    if done.returncode == 0 and found and not wrong:
        return True, f"smoke run: {STEPS} steps trained and scored"
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}, and no record"])[-1]
    return False, f"smoke run: {printable(wrong[0] if wrong else last, LONGEST)}"


def main(variant: str, store: str) -> None:
    """Run the ci track's math for a few steps on one CPU thread, without a network."""
    from suite.offline import go_offline

    go_offline()
    from rich.console import Console

    from suite.plan import resolve
    from suite.progress import display
    from suite.request import Request
    from suite.run import Runner

    asked = Request(
        variants=variant,
        track="ci",
        tasks="math",
        seeds="0",
        steps=str(STEPS),
        limit=str(ITEMS),
        device="cpu",
        offline=True,
    )
    runner = Runner(resolve(asked), Store(store), "suite submit --smoke", weights=False)
    with display(Console(stderr=True), runner.jobs, len(runner.cells), 1, "smoke") as shown:
        runner.run(shown, 1, 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
