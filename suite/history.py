"""The same cells run again and again: a variant's numbers by commit and day, and where their level changed.

A line is one variant on one task at one rate: cells that agree in all that `suite.comparable` asks for, and
in the variant but for its revision, which is what may change on purpose. A moment is a commit and a day: the
first on which a store's cells of the line were made by that commit. Its value is the mean over seeds, always
the same ones; moments that lack one are left out, and counted. Times are of one device, memory of one way of
counting.

`suite.statistics.steps` finds the steps. It errs on 5 % of the series that have none, and there are many:
a step is beyond doubt where Holm's p over all series of a chronicle says so, and else it may be chance.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from suite import statistics
from suite.comparable import board_key, recipe_key
from suite.rates import labels
from suite.reading import Kept
from suite.record import Record, VariantRef
from suite.seeds import digest
from suite.statistics import LEVEL
from suite.statistics.steps import Steps, find_steps

ALIKE = {"time": "device", "memory": "way of counting"}  # quantities that need more to agree


@dataclass(frozen=True, order=True)
class Moment:
    """When a line was run: a day (ISO 8601, UTC), a commit ('' if not known), the variant's revisions."""

    day: str
    commit: str
    revisions: tuple[int, ...] = ()


@dataclass(frozen=True)
class Series:
    """One quantity of a line. `at[i]` is the moment (an index) of `values[i]`, a mean over `seeds`.

    Gain and forgetting are points, loss is nats per token, time seconds, memory bytes. The steps' indices are
    into `values`. `p` is Holm's over all series of the chronicle, None where there are too few moments.
    `alike` is the device or the way of counting memory; `left_out` counts moments that could not be used.
    """

    quantity: str
    at: tuple[int, ...]
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    steps: Steps
    alike: str | None
    left_out: int
    p: float | None = None

    @property
    def sure(self) -> bool:
        """Whether its steps are beyond doubt among all series."""
        return self.p is not None and self.p < LEVEL


@dataclass(frozen=True)
class Line:
    """One variant on one task at one rate, over all moments. `lost` counts cells that did not finish."""

    id: str
    variant: str
    label: str
    task: str
    rate: float | None
    moments: tuple[Moment, ...]
    series: tuple[Series, ...]
    lost: int


@dataclass(frozen=True)
class Chronicle:
    """The lines of one track on one base that were run more than once.

    `single` counts the lines that were run once, `undated` the records that do not say when they were made.
    """

    id: str
    track: str
    base: str
    lines: tuple[Line, ...]
    single: int
    undated: int


Read = Callable[[Record], tuple[float | None, str | None]]  # the value, and what has to agree


def _time(record: Record) -> tuple[float | None, str | None]:
    cost = record.cost if record.cost and record.cost.pack in (None, 1) else None
    return (cost.train_wall_s if cost else None), record.provenance.device


def _memory(record: Record) -> tuple[float | None, str | None]:
    return (record.cost.peak_memory_bytes, record.cost.memory_method) if record.cost else (None, None)


def _gain(record: Record) -> tuple[float | None, str | None]:
    names = record.cell.evaluation.target[:1]
    known = all(scores and set(names) <= scores.target.keys() for scores in (record.before, record.after))
    return (record.gain if known else None), None


def _forgetting(record: Record) -> tuple[float | None, str | None]:
    before, after = record.before, record.after
    known = before and after and before.general.keys() <= after.general.keys()
    return (record.forgetting if known else None), None


def _loss(record: Record) -> tuple[float | None, str | None]:
    return (record.after.log_loss.get("test") if record.after else None), None


QUANTITIES: Mapping[str, Read] = {
    "gain": _gain,
    "loss": _loss,
    "forgetting": _forgetting,
    "time": _time,
    "memory": _memory,
}


def history(entries: Iterable[Kept]) -> list[Chronicle]:
    """The chronicles of all cells that were trained here and whose test split was read, by track and base."""
    groups: dict[tuple[str, str, str], list[Kept]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: (entry.record.id, entry.store)):
        record = entry.record
        if record.source is None and record.cell.recipe is not None and record.read:
            groups[record.cell.track, record.cell.base.name, record.cell.base.digest].append(entry)
    return [_chronicle(*at[:2], members) for at, members in sorted(groups.items())]


def _chronicle(track: str, base: str, members: Sequence[Kept]) -> Chronicle:
    lines: dict[str, list[Kept]] = defaultdict(list)
    keys: dict[Hashable, str] = {}
    for entry in members:
        cell = entry.record.cell
        if entry.record.id not in keys:
            keys[entry.record.id] = _line_key(entry.record)
        lines[keys[entry.record.id]].append(entry)
    dated = {key: [one for one in ones if _day(one.record)] for key, ones in lines.items()}
    moments = {key: _moments(ones) for key, ones in dated.items()}
    several = {key: ones for key, ones in moments.items() if len(ones) > 1}
    refs = {key: _unrevised(lines[key][0].record.cell.variant) for key in several}
    names = labels(list(refs.values()))
    found = []
    for key, at in several.items():
        cell = lines[key][0].record.cell
        label = names[digest(refs[key].model_dump(mode="json"))]
        lost = sum(one.record.status != "ok" for one in dated[key])
        series = tuple(s for name, read in QUANTITIES.items() if (s := _series(name, read, at)))
        told = (cell.variant.name, label, cell.task.label, cell.learning_rate)
        found.append(Line(key, *told, tuple(at), series, lost))
    found.sort(key=lambda line: (line.task, line.label, line.rate or 0.0, line.id))
    undated = sum(len(lines[key]) - len(dated[key]) for key in lines)
    single = sum(len(ones) == 1 for ones in moments.values())
    first = members[0].record.cell
    return Chronicle(digest([track, base, first.base.digest]), track, base, _adjusted(found), single, undated)


def _moments(entries: Sequence[Kept]) -> dict[Moment, list[Record]]:
    """The records by moment, in the order of time; one commit in one store is one moment."""
    runs: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for entry in entries:
        runs[entry.store, entry.record.provenance.commit or ""].append(entry.record)
    joined: dict[tuple[str, str], list[Record]] = defaultdict(list)
    starts: dict[tuple[str, str], str] = {}
    for (_, commit), records in runs.items():
        created = min(_instant(record) or "" for record in records)
        at = (created[:10], commit)
        joined[at] += records
        starts[at] = min(created, starts.get(at, created))
    order = sorted(joined, key=lambda at: (starts[at], at))
    return {_moment(at, joined[at]): joined[at] for at in order}


def _moment(at: tuple[str, str], records: Iterable[Record]) -> Moment:
    revisions = {record.cell.variant.revision for record in records}
    return Moment(*at, tuple(sorted(one for one in revisions if one is not None)))


def _series(quantity: str, read: Read, moments: Mapping[Moment, Sequence[Record]]) -> Series | None:
    """None where fewer than two moments have the quantity."""
    values: list[dict[int, list[float]]] = []
    known = [
        [(record, *read(record)) for record in ones if record.status == "ok"] for ones in moments.values()
    ]
    alike = None
    if quantity in ALIKE:
        seen = Counter(same for ones in known for _, value, same in ones if value is not None and same)
        alike = min(seen, key=lambda name: (-seen[name], name), default=None)
    for ones in known:
        by_seed: dict[int, list[float]] = defaultdict(list)
        for record, value, same in ones:
            if value is not None and math.isfinite(value) and (quantity not in ALIKE or same == alike):
                by_seed[record.cell.seed or 0].append(value)
        values.append(by_seed)
    at, seeds = common([set(one) for one in values])
    if len(at) < 2:
        return None
    means = tuple(
        math.fsum(math.fsum(values[i][seed]) / len(values[i][seed]) for seed in seeds) / len(seeds)
        for i in at
    )
    left_out = len(values) - len(at)
    return Series(quantity, tuple(at), means, seeds, find_steps(means), alike, left_out)


def common(seeds: Sequence[set[int]]) -> tuple[list[int], tuple[int, ...]]:
    """Which moments have which seeds all together, as many values as that can be; more moments break ties."""
    counts = Counter(seed for one in seeds for seed in one)
    order = sorted(counts, key=lambda seed: (-counts[seed], seed))
    best: tuple[list[int], tuple[int, ...]] = ([], ())
    for size in range(1, len(order) + 1):
        chosen = set(order[:size])
        at = [i for i, one in enumerate(seeds) if chosen <= one]
        if len(at) * size > len(best[0]) * len(best[1]) and len(at) > 1:
            best = (at, tuple(sorted(chosen)))
    return best


def _adjusted(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines with Holm's p over all their series."""
    ps = [one.steps.p for line in lines for one in line.series if one.steps.p is not None]
    adjusted = iter(statistics.holm(ps))
    return tuple(
        replace(
            line,
            series=tuple(
                replace(one, p=next(adjusted)) if one.steps.p is not None else one for one in line.series
            ),
        )
        for line in lines
    )


def _line_key(record: Record) -> str:
    cell = record.cell
    alike = [board_key(cell), recipe_key(cell), cell.task.model_dump(mode="json"), cell.evaluation.target]
    variant = _unrevised(cell.variant).model_dump(mode="json")
    return digest([*alike, variant, cell.learning_rate])


def _unrevised(variant: VariantRef) -> VariantRef:
    return variant.model_copy(update={"revision": None})


def _day(record: Record) -> str:
    return (_instant(record) or "")[:10]


def _instant(record: Record) -> str | None:
    """When a record was made, in UTC; None where it does not say, or says what is no time."""
    found = record.provenance.instant
    return found and found.isoformat(timespec="seconds")
