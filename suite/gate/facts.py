"""What the gate reads of a record: a compact copy that a baseline file can hold.

Responses, items and curves stay behind. Of the curve there is its mean logarithm and the learning rates that
its steps were taken at; of the delta its norm; of the base's own scores their values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from suite.origin import Fact
from suite.record import Cell, Cost, Record, Scores, Status
from suite.tuning import choose, key, searches

# Bounds that no measurement reaches: a baseline file may come from anywhere, and exp(700) is still a number.
MOST = 700.0
Number = Annotated[float, Field(ge=-MOST, le=MOST, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=2**63)]


# What a cell is in its store. 'alone': part of no search; 'default': of a search, at the documented rate;
# 'trial': of a search, at another rate; 'edge': at a rate beyond the grid, which a search may do without.
Part = Literal["alone", "default", "trial", "edge"]


class Made(Fact):
    """Where a cell was run, and how: what decides whether memory and time can be compared."""

    device: str | None
    threads: int | None
    versions: dict[str, str]
    commit: str | None
    memory_method: str | None = None
    micro_batch: int | None = None
    checkpointing: bool | None = None
    attention: str | None = None


class Facts(Fact):
    """One cell as the gate sees it. `values` holds what was measured and is finite, in the metrics' units."""

    cell: Cell
    status: Status
    error: str | None
    part: Part
    chosen: bool = Field(
        default=False, description="of the rate that a search chose; of no meaning elsewhere"
    )
    trainable_parameters: Count | None
    total_parameters: Count | None
    modules: list[str]
    shown: dict[str, str] = Field(description="what was read -> digest: training rows, prompts")
    schedule: list[list[float | None]] = Field(description="of each phase, the rate of each step")
    still: list[str] | None = Field(
        default=None, description="weights whose delta is exactly 0 after training; null where not known"
    )
    tokens: Count | None
    before: dict[str, Number] = Field(description="the untouched base: score or loss by name")
    items: dict[str, Count] = Field(description="how many items each score in `before` is a mean of")
    values: dict[str, Number] = Field(description="metric -> value; losses and costs as logarithms")
    load: Number | None = Field(description="of the machine: wall seconds of training per CPU second")
    made: Made


def facts(records: Sequence[Record]) -> list[Facts]:
    """What the gate reads of the records of one store, with the rate that each search among them chose."""
    chosen = {key: choose(members).rate for key, members in searches(records).items()}
    return [_facts(record, chosen) for record in records]


def _facts(record: Record, chosen: dict[str, float | None]) -> Facts:
    before, items = _before(record.before)
    search, rate = record.search, record.cell.learning_rate
    return Facts(
        cell=record.cell,
        status=record.status,
        error=record.error,
        part=_part(record),
        chosen=search is not None and rate is not None and rate == chosen[key(record.cell)],
        trainable_parameters=record.trainable_parameters,
        total_parameters=record.total_parameters,
        modules=sorted(record.adapted_modules),
        shown=_shown(record),
        schedule=_schedule(record),
        still=_still(record),
        tokens=record.cost.tokens if record.cost else None,
        before=before,
        items=items,
        values={name: value for name, value in _values(record) if value is not None and abs(value) <= MOST},
        load=_load(record.cost),
        made=_made(record),
    )


def _part(record: Record) -> Part:
    search = record.search
    if search is None:
        return "alone"
    if record.cell.learning_rate == search.default:
        return "default"
    return "edge" if search.role == "edge" else "trial"


def _made(record: Record) -> Made:
    made, cost = record.provenance, record.cost
    known = {"device": made.device, "threads": made.threads, "versions": made.versions, "commit": made.commit}
    if cost is None:
        return Made(**known)
    return Made(
        **known,
        memory_method=cost.memory_method,
        micro_batch=cost.micro_batch,
        checkpointing=cost.checkpointing,
        attention=cost.attention,
    )


def _load(cost: Cost | None) -> float | None:
    if cost is None or not cost.train_wall_s or not cost.train_cpu_s:
        return None
    return cost.train_wall_s / cost.train_cpu_s


def _before(scores: Scores | None) -> tuple[dict[str, float], dict[str, int]]:
    """Every number of the untouched base by name, and how many items the accuracies are made of."""
    if scores is None:
        return {}, {}
    kinds = {**scores.target, **scores.general}
    values = {name: score.value for name, score in kinds.items()}
    values |= {f"loss on {split}": loss for split, loss in scores.log_loss.items()}
    if scores.bits_per_byte is not None:
        values["bits per byte"] = scores.bits_per_byte
    finite = {name: value for name, value in values.items() if abs(value) <= MOST}
    return finite, {name: score.n for name, score in kinds.items() if score.n}


def _shown(record: Record) -> dict[str, str]:
    """Digests of what the model was really shown: training rows as tokens with their mask, and prompts."""
    scores = record.before or record.after
    every = {**scores.target, **scores.general} if scores else {}
    found = {f"prompts of {name}": score.prompts for name, score in every.items()}
    return {name: key for name, key in {"training rows": record.rows, **found}.items() if key is not None}


def _schedule(record: Record) -> list[list[float | None]]:
    phases: dict[int, list[float | None]] = {}
    for point in record.curve:
        phases.setdefault(point.phase, []).append(point.learning_rate)
    return [phases[phase] for phase in sorted(phases)]


def _still(record: Record) -> list[str] | None:
    if record.status != "ok" or record.effect is None or not record.effect.delta_norms:
        return None
    return sorted(name for name, norm in record.effect.delta_norms.items() if norm == 0)


def _values(record: Record) -> Iterable[tuple[str, float | None]]:
    """What is judged, as the metrics name it. Losses, memory, norms and times are logarithms."""
    yield "start loss", _log(record.start_loss)
    if record.status != "ok":
        return
    after, cost, effect = record.after, record.cost, record.effect
    yield "training loss", _mean_log(point.loss for point in record.curve)
    yield "delta norm", _log(effect.delta_norm if effect else None)
    if after is not None:
        yield "held-out loss", _log(after.log_loss.get("test"))
        yield "general text loss", _log(after.bits_per_byte)
    yield "gain", record.gain
    yield "forgetting", record.forgetting
    if cost is not None:
        yield "tokens", _log(cost.tokens)
        yield "peak memory", _log(cost.peak_memory_bytes)
        yield "flops per token", _log(cost.flops.per_token if cost.flops else None)
        yield "adapter size", _log(cost.adapter_bytes)
        yield "training time", _log(cost.train_wall_s if cost.pack in (None, 1) else None)


def _log(value: float | None) -> float | None:
    return math.log(value) if value is not None and 0 < value < math.inf else None


def _mean_log(losses: Iterable[float]) -> float | None:
    logs = [_log(loss) for loss in losses]
    known = [value for value in logs if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(logs) else None
