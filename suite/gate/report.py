"""What the gate answers: one row per variant, task and metric, and the verdict over all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["pass", "fail", "inconclusive"]
RowVerdict = Literal["pass", "fail", "inconclusive", "not judged"]


@dataclass(frozen=True)
class Row:
    """One thing that was judged. Numbers are null where they say nothing (an exact check has no interval).

    `effect` is candidate - baseline: relative (0.01 is 1 %), in points, or a plain difference: see `unit`.
    `p` is adjusted over everything that can fail. `variant` is empty for the untouched base, `task` empty for
    what is over all tasks of a variant. `moved` marks what changed by more than its floor, whatever follows.
    """

    variant: str
    task: str
    metric: str
    verdict: RowVerdict
    reason: str
    baseline: float | None = None
    candidate: float | None = None
    effect: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    floor: float | None = None
    limit: float | None = None
    detectable: float | None = None
    unit: str = ""
    seeds: tuple[int, int] | None = None
    paired: bool = False
    moved: bool = False

    @property
    def place(self) -> str:
        """Variant and task in a few words."""
        return f"{self.variant or 'untouched base'}, {self.task or 'all tasks'}"


@dataclass(frozen=True)
class Report:
    """The rows in a fixed order, and notes on what could not be judged or differs without being judged."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def verdict(self) -> Verdict:
        """fail if any row fails, else inconclusive if any is, else pass."""
        found = {row.verdict for row in self.rows}
        return "fail" if "fail" in found else "inconclusive" if "inconclusive" in found else "pass"

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each verdict."""
        return dict(sorted(Counter(row.verdict for row in self.rows).items()))

    def with_verdict(self, *verdicts: str) -> list[Row]:
        """The rows of these verdicts."""
        return [row for row in self.rows if row.verdict in verdicts]

    def content(self) -> dict[str, Any]:
        """Everything as JSON values; infinity (nothing is known) as null."""
        rows = [{name: _plain(value) for name, value in asdict(row).items()} for row in self.rows]
        return {"verdict": self.verdict, "counts": self.counts, "notes": list(self.notes), "rows": rows}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    return value
