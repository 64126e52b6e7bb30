"""Which rows cannot be told from the best of a column: the numbers of a column that look alike.

The best is found by looking, so a row counts as told from it only if the paired test holds for any pair of
the column: its p times the number of pairs (Bonferroni) is below 5 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from leaderboard.samples import samples as kept
from leaderboard.site import BoardView, RowView
from suite import statistics
from suite.errors import UserError
from suite.record import Record
from suite.statistics import LEVEL, Sample
from suite.statistics.many import Many
from suite.summary import task_labels

Samples = Mapping[str, Mapping[str, Sample]]  # row -> task -> sample


@dataclass(frozen=True)
class Beside:
    """The best row of a column and those that cannot be told from it, by their labels."""

    best: str
    near: frozenset[str]


def beside_best(samples: Samples, lower: bool = False) -> Beside | None:
    """Compare every row with the best one, mean over tasks; None with fewer than two rows."""
    if len(samples) < 2:
        return None
    many = Many(samples)
    means = {
        label: sum(sample.mean for sample in by_task.values()) / len(by_task)
        for label, by_task in samples.items()
    }
    best = min(means, key=lambda label: (means[label] if lower else -means[label], label))
    others = [label for label in samples if label != best]
    alike = [label for label in others if samples[label].keys() == samples[best].keys()]
    alike = [label for label in alike if many.alike(label, best, list(samples[best]))]
    told = many.compare([(label, best) for label in alike])
    ps = {label: found.p for label, found in zip(alike, told, strict=True)}
    for label in others:
        if label not in ps:
            try:
                ps[label] = statistics.compare_over_tasks(samples[label], samples[best]).p
            except UserError:  # no item in common, or other tasks: nothing tells them apart
                ps[label] = 1.0
    pairs = len(samples) * (len(samples) - 1) / 2
    return Beside(best, frozenset(label for label, p in ps.items() if p * pairs >= LEVEL))


def by_rank(board: BoardView) -> Beside | None:
    """The same for the mean gain, as the ranks have it: by Holm over all pairs."""
    ranked = board.ranked
    if len(ranked) < 2:
        return None
    best = max(ranked, key=lambda row: row.place.gain.value if row.place.gain else float("-inf")).label
    near = {
        pair.b if pair.a == best else pair.a
        for pair in board.standings.pairs
        if best in (pair.a, pair.b) and pair.verdict == "cannot tell"
    }
    return Beside(best, frozenset(near))


def gains(board: BoardView) -> dict[str, dict[str, Sample]]:
    """The gains of the ranked rows: row -> task -> sample."""
    return _samples(board, board.ranked, lambda row: row.place.gains.keys(), "gain")


def forgetting(board: BoardView, rows: Iterable[RowView]) -> dict[str, dict[str, Sample]]:
    """What rows forgot, by the tasks that are ranked by; rows where it is not known are left out."""
    known = [row for row in rows if row.place.forgetting]
    return _samples(board, known, lambda row: board.standings.tasks, "forgetting")


def _samples(
    board: BoardView,
    rows: Iterable[RowView],
    tasks: Callable[[RowView], Iterable[str]],
    quantity: str,
) -> dict[str, dict[str, Sample]]:
    labels = task_labels(entry.record for row in board.rows for entry in row.entries)
    known = kept(board)
    found: dict[str, dict[str, Sample]] = {}
    for row in rows:
        cells: dict[str, list[Record]] = {}
        for entry in row.entries:
            if entry.record.status == "ok" and entry.record.gain is not None:
                cells.setdefault(labels[entry.record.id], []).append(entry.record)
        try:
            found[row.label] = {task: known.of(quantity, cells[task]) for task in tasks(row) if task in cells}
        except UserError:
            continue  # the standings tell why
    return found
