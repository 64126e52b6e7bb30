"""Scores that others report: what a single run and its mean score can tell apart.

Records that were imported hold a score after training, and of no item whether it was right. So they are
ranked by the shares of `suite.statistics.proportions`, over the number of items that the source says; where
it does not, over the smallest number of which every score is a whole share, if the scores are written in
full. Neither another seed nor a rerun is in such an interval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from suite.record import Record, Score
from suite.statistics.proportions import Share, ShareRanking, items_behind, rank_shares, share
from suite.summary import task_labels


@dataclass(frozen=True)
class Run:
    """One record. `score` is its first target's value (0..1), None where it has none; then no share, no rank.

    `ties` counts the other runs that cannot be told from this one.
    """

    record: Record
    score: float | None
    share: Share | None
    rank: int | None
    ties: int | None


@dataclass(frozen=True)
class Reported:
    """The runs of one task, best score first, those without a score after them by name.

    `items` is how many items the scores are over (the fewest, where runs differ), and `items_from` who says
    so: the source, or the scores themselves; None where nobody does, and then nothing is ranked.
    """

    task: str
    metric: str
    runs: tuple[Run, ...]
    items: int | None
    items_from: Literal["source", "scores"] | None
    ranking: ShareRanking | None

    @property
    def scored(self) -> int:
        """How many runs have a score."""
        return sum(run.score is not None for run in self.runs)


def reported(records: Iterable[Record]) -> list[Reported]:
    """By task, the runs of records that may be compared: those of one board."""
    known = sorted(records, key=lambda record: record.id)
    labels = task_labels(known)
    by_task: dict[str, list[Record]] = defaultdict(list)
    for record in known:
        by_task[labels[record.id]].append(record)
    return [_reported(task, members) for task, members in sorted(by_task.items())]


def title_of(record: Record) -> str:
    """What the source calls a run; where it does not, the variant."""
    return (record.source and record.source.label) or record.cell.variant.name


def _reported(task: str, records: Sequence[Record]) -> Reported:
    scores = {record.id: _score(record) for record in records}
    known = {name: value for name, value in scores.items() if value is not None}
    sizes = {record.id: _items(record) for record in records if record.id in known}
    inferred = items_behind(known.values()) if None in sizes.values() else None
    counts = {name: size or inferred for name, size in sizes.items()}
    shares = {name: share(round(known[name] * size), size) for name, size in counts.items() if size}
    ranking = rank_shares(shares) if shares and len(shares) == len(known) else None
    runs = [
        Run(
            record=record,
            score=scores[record.id],
            share=shares.get(record.id) if ranking else None,
            rank=ranking.ranks.get(record.id) if ranking else None,
            ties=_ties(ranking, record.id) if ranking and record.id in ranking.ranks else None,
        )
        for record in records
    ]
    runs.sort(key=lambda run: (run.score is None, -(run.score or 0.0), title_of(run.record), run.record.id))
    origin = None if ranking is None else "scores" if None in sizes.values() else "source"
    metrics = sorted({_metric(record) for record in records} - {""})
    fewest = min((one.items for one in shares.values()), default=None) if ranking else None
    return Reported(task, ", ".join(metrics), tuple(runs), fewest, origin, ranking)


def _target(record: Record) -> Score | None:
    """The first target's score of a run that ended well."""
    names = record.cell.evaluation.target[:1]
    if record.status != "ok" or not record.read or record.after is None or not names:
        return None
    return record.after.target.get(names[0])


def _score(record: Record) -> float | None:
    """The share that was right, as told; a value that is no share cannot be ranked as one."""
    found = _target(record)
    return found.value if found and 0 <= found.value <= 1 else None


def _items(record: Record) -> int | None:
    found = _target(record)
    return found.n if found and found.n and found.n > 0 else None


def _metric(record: Record) -> str:
    found = _target(record)
    return f"{found.evaluation}, {found.metric}" if found else ""


def _ties(ranking: ShareRanking, name: str) -> int:
    others = (other for other in ranking.shares if other != name)
    return sum(ranking.pair(name, other).verdict == "cannot tell" for other in others)
