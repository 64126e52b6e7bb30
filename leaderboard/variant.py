"""variant-<name>.html: what a method is, where it stands on every board, and all of its cells.

The cells come as `data/variants/<name>.js` and are shown a page at a time: see `_cell`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from leaderboard import cell_index
from leaderboard.cell_index import anchor
from leaderboard.cells import number, texts
from leaderboard.compare import compared
from leaderboard.files import Files, slug
from leaderboard.navigation import frame
from leaderboard.pages import render
from leaderboard.revisions import revisions
from leaderboard.site import BoardView, Entry, RowView, Site, cell_link, variant_page
from suite.described import Described, described
from suite.record import Scores
from suite.words import seeds_line

NEAR = 8  # rows that a row of the page has a comparison with at hand
ERROR = 160  # characters of an error that the table shows; the cell's page has it whole


@dataclass(frozen=True)
class OnBoard:
    """One row of the variant on one board; `beside` are rows to compare it with.

    `tasks` are (task, cells, the page of its items or None where no outcome of an item is known).
    """

    board: BoardView
    row: RowView
    anchor: str
    shares: int
    tasks: tuple[tuple[str, tuple[Entry, ...], str | None], ...]
    beside: tuple[RowView, ...]
    settings: list[list[str]]


def write(files: Files, site: Site) -> None:
    """Write the page and the data of every variant, the page of a cell, and the index of the cells."""
    cell_index.write(files, site)
    rows: dict[str, list[OnBoard]] = defaultdict(list)
    for board in site.boards:
        for row in board.rows:
            rows[row.place.row.variant].append(_on_board(board, row))
    cells: dict[str, list[Entry]] = defaultdict(list)
    for entry in site.entries:
        cells[entry.record.cell.variant.name].append(entry)
    around = frame(site, "")
    for name, entries in sorted(cells.items()):
        files.text(variant_page(name), page(site, name, rows[name], entries, around))
        files.data(f"variants/{slug(name)}", data(entries))


def page(
    site: Site, name: str, rows: Sequence[OnBoard], entries: Sequence[Entry], around: dict[str, Any]
) -> str:
    """The page of one variant; `around` is the frame that all of them share."""
    records = [entry.record for entry in entries]
    return render(
        "variant.html",
        **{**around, "here": variant_page(name)},
        name=name,
        what=described(name),
        defaults=_defaults(described(name)),
        rows=rows,
        revisions=revisions(site.boards, records),
        cells=len(entries),
        statuses=_counted(record.status for record in records),
        commits=sorted({record.provenance.commit[:10] for record in records if record.provenance.commit}),
        data=f"variants/{slug(name)}",
        cell_link=cell_link,
        seeds=lambda entry: seeds_line(entry.record.cell),
    )


def data(entries: Iterable[Entry]) -> dict[str, Any]:
    """The cells of a variant for static/cells.js; what they share is written once."""
    entries = list(entries)
    skills = list(dict.fromkeys(name for e in entries for name in e.record.cell.evaluation.general))
    tables: dict[str, dict[str, int]] = {"tasks": {}, "settings": {}, "places": {}}
    cells = [_cell(entry, skills, tables) for entry in entries]
    return {**{name: list(known) for name, known in tables.items()}, "skills": skills, "cells": cells}


def _cell(entry: Entry, skills: Sequence[str], tables: dict[str, dict[str, int]]) -> list[Any]:
    """In the order that static/cells.js names them in."""
    record, cell = entry.record, entry.record.cell
    cost, drops = record.cost, record.forgetting_by_skill
    settings = ", ".join(f"{name} {value}" for name, value in texts(cell.variant.settings)) or "none"
    if cell.variant.revision is not None:
        settings += f"; revision {cell.variant.revision}"

    def at(table: str, text: str) -> int:
        return tables[table].setdefault(text, len(tables[table]))

    return [
        record.id,
        at("tasks", cell.task.label),
        at("places", f"{cell.track} on {cell.base.name}"),
        at("settings", settings),
        cell.seed,
        number(cell.learning_rate),
        record.status,
        record.search.role if record.search else None,
        _finite(record.gain),
        _finite(record.score),
        _finite(record.forgetting),
        [_finite(drops.get(skill)) for skill in skills],
        _finite(record.after.log_loss.get("validation")) if record.after else None,
        _bits_change(record.before, record.after),
        record.trainable_parameters,
        cost.peak_memory_bytes if cost else None,
        _finite(cost.train_wall_s) if cost else None,
        entry.badge,
        record.error[:ERROR] if record.error else None,
    ]


def _on_board(board: BoardView, row: RowView) -> OnBoard:
    tasks: dict[str, list[Entry]] = defaultdict(list)
    for entry in row.entries:
        tasks[board.task(entry.record)].append(entry)
    rank = row.place.rank
    same = [one for one in board.ranked if one.place.rank == rank and one is not row]
    return OnBoard(
        board=board,
        row=row,
        anchor=anchor(board, row),
        shares=len(same) if rank is not None else 0,
        tasks=tuple((task, tuple(ones), _items(board, ones)) for task, ones in sorted(tasks.items())),
        beside=_beside(board, row),
        settings=texts(row.place.row.settings),
    )


def _items(board: BoardView, entries: Sequence[Entry]) -> str | None:
    """The page that shows who solved which item of what these cells trained for."""
    for entry in entries:
        for name in entry.record.cell.evaluation.target[:1]:
            after = entry.record.after if entry.record.read and entry.record.status == "ok" else None
            if after and name in after.target and after.target[name].items:
                return f"items.html?{urlencode({'board': board.id, 'evaluation': slug(name)})}"
    return None


def _beside(board: BoardView, row: RowView) -> tuple[RowView, ...]:
    """The reference, then the rows around this one on the board, as far as the page compares them."""
    rows = compared(board)
    if row not in rows:
        return ()
    others = [one for one in rows if one is not row]
    at = rows.index(row)
    others.sort(key=lambda one: (one.label != board.standings.reference, abs(rows.index(one) - at)))
    return tuple(others[:NEAR])


def _defaults(what: Described | None) -> str:
    return ", ".join(f"{name} = {value}" for name, value in what.settings.items()) if what else ""


def _counted(statuses: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for status in sorted(statuses, key=lambda one: (one != "ok", one)):
        found[status] = found.get(status, 0) + 1
    return found


def _bits_change(before: Scores | None, after: Scores | None) -> float | None:
    if before is None or after is None or before.bits_per_byte is None or after.bits_per_byte is None:
        return None
    return _finite(after.bits_per_byte - before.bits_per_byte)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
