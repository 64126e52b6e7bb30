"""What others call a model: a variant on a task, at the rates of one row, with all its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from suite.record import Record
from suite.seeds import digest
from suite.summary import Board, SummaryRow, boards, task_labels


@dataclass(frozen=True)
class Model:
    """The finished cells of a row on one task, by seed; all were read on test."""

    row: SummaryRow
    task: str
    cells: tuple[Record, ...]

    @property
    def key(self) -> str:
        """16 hex digits of the SHA-256 of which records these are."""
        return digest(sorted(record.id for record in self.cells))

    @property
    def made(self) -> datetime | None:
        """When the newest of them was made; None where one does not say."""
        times = [record.provenance.instant for record in self.cells]
        return max(filter(None, times)) if all(times) else None


def all_models(records: Iterable[Record]) -> list[Model]:
    """The models of all boards."""
    known = {record.id: record for record in records}
    return [model for board in boards(known.values()) for model in models(board, known)]


def models(
    board: Board, known: Mapping[str, Record], rows: Iterable[SummaryRow] | None = None
) -> list[Model]:
    """The models of a board (of these rows of it) that were trained and scored here, row by row."""
    if not board.scored_here:
        return []
    labels = task_labels(known[name] for row in board.rows for name in row.records)
    found = []
    for row in board.rows if rows is None else rows:
        cells = [known[name] for name in row.records if _done(known[name])]
        for task in board.recipes:
            ours = sorted((one for one in cells if labels[one.id] == task), key=_seed)
            if ours:
                found.append(Model(row, task, tuple(ours)))
    return found


def _done(record: Record) -> bool:
    return record.status == "ok" and record.read and record.after is not None and record.source is None


def _seed(record: Record) -> tuple[int, str]:
    return record.cell.seed or 0, record.id
