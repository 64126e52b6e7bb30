"""What the pages are made of: the boards of all records that could be read, and what each row cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from leaderboard.files import slug
from leaderboard.files import variant_page as variant_page
from suite.comparable import board_key
from suite.keys import content_key
from suite.reading import Kept as Entry
from suite.reading import Reading, Rejected
from suite.record import Record
from suite.standings import Place, Standings, standings
from suite.summary import task_labels


@dataclass(frozen=True)
class RowCost:
    """What the finished cells of a row cost: means of a cell, but the largest of parameters and memory.

    Seconds, bytes and floating-point operations; None where no record says. `devices` and `memory_methods`
    say what may be compared: times of one device alone, memory of one way of counting.
    """

    trainable: int | None
    total: int | None
    peak_memory_bytes: int | None
    reserved_memory_bytes: int | None
    train_s: float | None
    evaluate_s: float | None
    start_s: float | None
    tokens_per_s: float | None
    flops_per_token: float | None
    adapter_bytes: int | None
    token_ms: float | None
    token_ms_base: float | None
    devices: tuple[str, ...]
    memory_methods: tuple[str, ...]


@dataclass(frozen=True)
class RowView:
    """One row of a board. `key` names it in links; `entries` are its cells, by task and seed."""

    key: str
    href: str
    place: Place
    entries: tuple[Entry, ...]
    cost: RowCost

    @property
    def label(self) -> str:
        """How the row is called, everywhere."""
        return self.place.row.label


@dataclass(frozen=True)
class BoardView:
    """One board and its page. `external`: its cells were trained and scored elsewhere.

    `labels` are the board's names of its tasks, by content: two of one name (other rows) are told apart.
    """

    id: str
    href: str
    title: str
    standings: Standings
    rows: tuple[RowView, ...]
    external: bool
    labels: Mapping[str, str]

    def task(self, record: Record) -> str:
        """What the board calls the task of a record."""
        return self.labels.get(content_key(record.cell.task), record.cell.task.label)

    @property
    def ranked(self) -> tuple[RowView, ...]:
        """The rows that have a rank, best first."""
        return tuple(row for row in self.rows if row.place.rank is not None)


@dataclass(frozen=True)
class Site:
    """Everything that is shown. The first board is the one on the front page.

    `superseded` are older records of cells that `entries` has too; `rejected` are files that are no records.
    """

    boards: tuple[BoardView, ...]
    entries: tuple[Entry, ...]
    superseded: tuple[Entry, ...]
    rejected: tuple[Rejected, ...]

    @property
    def newest(self) -> str | None:
        """When the newest record was made, as it says itself, in UTC."""
        times = [entry.record.provenance.instant for entry in self.entries]
        newest = max(filter(None, times), default=None)
        return newest and newest.isoformat(timespec="seconds")


def site(reading: Reading) -> Site:
    """The boards of these records, the one that tells most first: by ranked rows, then by records."""
    kept, left = _apart(reading.kept)
    known = {entry.record.id: entry for entry in kept}
    found = [_board(each, known) for each in standings(entry.record for entry in kept)]
    found.sort(key=lambda board: (-len(board.ranked), -sum(len(r.entries) for r in board.rows), board.id))
    first = [_at(board, "index.html") for board in found[:1]]
    rejected = sorted((*reading.rejected, *left), key=lambda one: (one.file, one.reason))
    return Site((*first, *found[1:]), kept, reading.superseded, tuple(rejected))


def _apart(kept: Sequence[Entry]) -> tuple[tuple[Entry, ...], list[Rejected]]:
    """The records that count, and those of the community that do not: they would move a row of verified ones.

    Such are more seeds, rates or tasks of a variant that has verified records on the same board.
    """
    verified = {_row_key(entry) for entry in kept if entry.badge == "verified"}
    moving = {e.record.id for e in kept if e.badge == "community" and _row_key(e) in verified}
    why = "a community record of a variant that has verified records on its board: not counted among them"
    left = [Rejected(f"{e.store}/{e.record.id}", why) for e in kept if e.record.id in moving]
    return tuple(entry for entry in kept if entry.record.id not in moving), left


def _row_key(entry: Entry) -> tuple[str, str]:
    """What records of one variant on one board share."""
    return board_key(entry.record.cell), content_key(entry.record.cell.variant)


def cell_link(record_id: str) -> str:
    """Where a record is shown."""
    return f"cell.html#{record_id}"


def _at(board: BoardView, href: str) -> BoardView:
    return replace(board, href=href)


def _board(found: Standings, known: Mapping[str, Entry]) -> BoardView:
    board = found.board
    records = [known[name].record for place in found.places for name in place.row.records]
    names = task_labels(records)
    rows = []
    for place in found.places:
        entries = tuple(sorted((known[name] for name in place.row.records), key=partial(_order, names)))
        rows.append(
            RowView(
                key=slug(place.row.label),
                href=variant_page(place.row.variant),
                place=place,
                entries=entries,
                cost=_cost([entry.record for entry in entries]),
            )
        )
    return BoardView(
        id=board.id,
        href=f"board-{board.id}.html",
        title=f"{board.track} on {board.base.name}",
        standings=found,
        rows=tuple(rows),
        external=not board.scored_here,
        labels={content_key(record.cell.task): names[record.id] for record in records},
    )


def _order(names: Mapping[str, str], entry: Entry) -> tuple[str, bool, int, str]:
    """By task and seed; cells without a seed come last."""
    cell = entry.record.cell
    return names[entry.record.id], cell.seed is None, cell.seed or 0, entry.record.id


def _cost(cells: Sequence[Record]) -> RowCost:
    done = [record for record in cells if record.status == "ok"]
    costs = [record.cost for record in done if record.cost]
    solo = [cost for cost in costs if cost.pack in (None, 1)]
    latencies = [cost.latency for cost in costs if cost.latency]
    flops = [cost.flops for cost in costs if cost.flops and cost.flops.tokens]
    return RowCost(
        trainable=_most(record.trainable_parameters for record in cells),
        total=_most(record.total_parameters for record in cells),
        peak_memory_bytes=_most(cost.peak_memory_bytes for cost in costs),
        reserved_memory_bytes=_most(cost.reserved_memory_bytes for cost in costs),
        train_s=_mean(cost.train_wall_s for cost in solo),
        evaluate_s=_mean(cost.evaluate_wall_s for cost in costs),
        start_s=_mean(cost.start_s for cost in costs),
        tokens_per_s=_mean(cost.tokens_per_s for cost in solo),
        flops_per_token=_mean(one.per_token for one in flops),
        adapter_bytes=_most(cost.adapter_bytes for cost in costs),
        token_ms=_mean(one.adapter.token_ms for one in latencies),
        token_ms_base=_mean(one.base.token_ms for one in latencies),
        devices=tuple(sorted({r.provenance.device for r in done if r.provenance.device})),
        memory_methods=tuple(sorted({cost.memory_method for cost in costs if cost.memory_method})),
    )


def _most(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return math.fsum(known) / len(known) if known else None
