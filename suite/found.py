"""What a worker measured for one cell, and the record that is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from suite.record import (
    Cell,
    Cost,
    CurvePoint,
    Effect,
    HeldOut,
    Measured,
    Overlap,
    Provenance,
    Record,
    Score,
    Scores,
    Search,
    Source,
    Status,
)


@dataclass(frozen=True)
class Found:
    """What a worker measured for one cell; the record adds the base's scores and the provenance."""

    cell: Cell
    status: Status
    error: str | None = None
    measured: Measured = "all"
    start_loss: float | None = None
    target: dict[str, Score] = field(default_factory=dict)
    general: dict[str, Score] = field(default_factory=dict)
    held_out: dict[str, HeldOut] = field(default_factory=dict)
    bits_per_byte: float | None = None
    curve: Sequence[CurvePoint] = ()
    trainable: int | None = None
    total: int | None = None
    adapted: Sequence[str] = ()
    effect: Effect | None = None
    weights: str | None = None
    cost: Cost | None = None
    source: Source | None = None
    data: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rows: str | None = None
    contamination: Sequence[Overlap] = ()
    threads: int = 1
    settings: dict[str, str] = field(default_factory=dict)


def again(record: Record, **known: Any) -> Found:
    """A record's facts of training as they were found, with what is `known` of it now."""
    facts: dict[str, Any] = {
        "start_loss": record.start_loss,
        "curve": record.curve,
        "trainable": record.trainable_parameters,
        "total": record.total_parameters,
        "adapted": record.adapted_modules,
        "effect": record.effect,
        "weights": record.weights,
        "source": record.source,
        "data": record.data,
        "rows": record.rows,
        "contamination": record.contamination,
    }
    return Found(cell=record.cell, status=record.status, error=record.error, **{**facts, **known})


def record_of(found: Found, before: Scores | None, made: Provenance, search: Search | None = None) -> Record:
    """The record of what was found; of a trial without the base's scores that say nothing of it."""
    after = None
    if found.status == "ok":
        after = Scores(
            target=found.target,
            general=found.general,
            log_loss={split: held.log_loss for split, held in found.held_out.items()},
            bits_per_byte=found.bits_per_byte,
            held_out=found.held_out,
        )
    if found.measured == "validation" and before is not None:
        losses = {split: loss for split, loss in before.log_loss.items() if split == "validation"}
        before = Scores(target={}, general={}, log_loss=losses, bits_per_byte=None)
    return Record(
        id=found.cell.id,
        cell=found.cell,
        status=found.status,
        error=found.error,
        measured=found.measured,
        search=search,
        start_loss=found.start_loss,
        before=before,
        after=after,
        curve=list(found.curve),
        trainable_parameters=found.trainable,
        total_parameters=found.total,
        adapted_modules=list(found.adapted),
        effect=found.effect,
        weights=found.weights,
        cost=found.cost,
        source=found.source,
        data=found.data,
        rows=found.rows,
        contamination=list(found.contamination),
        notes=found.notes,
        provenance=made,
    )
