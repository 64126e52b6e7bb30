"""Whether there is enough to be judged: an empty side must not pass because nothing of it can differ.

- lost cells: a seed that other cells of the candidate have and this group lacks. A worker that was killed
  leaves no record. It fails where the baseline finished the cell, and is inconclusive where it did not run
  that seed. A hole that the baseline has too is none. Seeds that the whole candidate lacks were not asked
  for (`--seeds`): a note.
- baseline: nothing of the group finished there, or no outcome of it can be judged, or its search chose no
  rate: inconclusive. That every seed diverges or runs out of memory is an answer for a trial of a search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from suite.gate.facts import Facts
from suite.gate.groups import Group
from suite.gate.report import Row
from suite.gate.settings import Settings

NAMED = 8  # seeds that are listed


def lost(groups: Sequence[Group]) -> list[Row]:
    """A row for each group of the candidate that lacks seeds which its other groups have."""
    before, now = _seeds(groups)
    rows = []
    for group in groups:
        old = {one.cell.seed: one for one in group.baseline}
        here = {one.cell.seed for one in group.candidate}
        gone = {seed for seed in now - here if seed in old or seed not in before}
        if not gone or not here:
            continue
        finished = {seed for seed in gone if seed in old and old[seed].status == "ok"}
        told = f"no record of {_named(gone)}, which other cells of the candidate have"
        why = "killed, or the run is not over; run the same command again"
        if finished:
            told += f"; the baseline finished {_named(finished)}"
        rows.append(
            Row(
                group.variant,
                group.task,
                "lost cells",
                "fail" if finished else "inconclusive",
                f"{told}: {why}",
                moved=True,
            )
        )
    return rows


def left_out(groups: Sequence[Group]) -> list[str]:
    """A note of the seeds that no cell of the candidate has, where the two sides share some."""
    before, now = _seeds(groups)
    gone = before - now
    if not gone or not before & now:
        return []
    return [f"the candidate has {_named(now)} alone; {_named(gone)} of the baseline are not judged"]


def founded(groups: Sequence[Group], noisy: Iterable[Row], settings: Settings) -> list[Row]:
    """A row for each group whose baseline holds nothing that the candidate could be held against."""
    outcomes = {metric.name for metric in settings.metrics if metric.kind == "outcome"}
    judged = {
        (row.variant, row.task) for row in noisy if row.metric in outcomes and row.verdict != "not judged"
    }
    rows = []
    for group in groups:
        why = _unfounded(group, (group.variant, group.task) in judged)
        if why and (group.candidate or not group.baseline):
            rows.append(Row(group.variant, group.task, "baseline", "inconclusive", why))
    return rows


def _unfounded(group: Group, judged: bool) -> str | None:
    """Why nothing can be said of a group, whatever the candidate is; None where something can."""
    again = "make the baseline again"
    if not group.baseline:
        return f"the search of the baseline chose no rate, and nothing can be held against it; {again}"
    ends = Counter(one.status for one in group.baseline)
    if not ends["ok"]:
        if group.kind == "trial" and set(ends) <= {"diverged", "oom"}:
            return None
        told = ", ".join(f"{count} {status}" for status, count in sorted(ends.items()))
        return f"no cell of the baseline finished ({told}), and nothing can be held against it; {again}"
    if group.kind == "trial" or judged or not any(one.status == "ok" for one in group.candidate):
        return None
    return f"no loss, gain or forgetting was measured in the baseline; {again}"


def _seeds(groups: Sequence[Group]) -> tuple[set[int], set[int]]:
    """All seeds of the baseline and of the candidate."""
    return _of(one for g in groups for one in g.baseline), _of(one for g in groups for one in g.candidate)


def _of(cells: Iterable[Facts]) -> set[int]:
    return {one.cell.seed for one in cells if one.cell.seed is not None}


def _named(seeds: set[int]) -> str:
    listed = ", ".join(map(str, sorted(seeds)[:NAMED]))
    more = f" and {len(seeds) - NAMED} more" if len(seeds) > NAMED else ""
    return f"seed{'s' if len(seeds) > 1 else ''} {listed}{more}"
