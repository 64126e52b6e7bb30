"""cell.html, and which cells there are: `data/where/<first digit of the id>.js`.

A page on disk cannot ask whether a file is there without an error, so the page of a cell looks its id up
before it loads the cell's data. The index also says what a record alone does not: in which rows it counts.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from typing import Any

from leaderboard.files import Files
from leaderboard.navigation import frame
from leaderboard.pages import render
from leaderboard.site import BoardView, Entry, RowView, Site
from suite.record import TaskRef
from suite.words import seeds_line

PAGE = "cell.html"
SHARDS = "0123456789abcdef"
PROMPTS = "data/prompts/"
SEEDS = 100  # of a row and task that the page of a cell has links to: their number grows with its square


def write(files: Files, site: Site) -> None:
    """Write the page and the sixteen parts of the index."""
    files.text(PAGE, render(PAGE, **frame(site, PAGE), prompts=prompts(files)))
    rows: dict[str, list[tuple[BoardView, RowView]]] = defaultdict(list)
    seeds: dict[str, list[list[str]]] = {}
    for board in site.boards:
        for row in board.rows:
            beside = _seeds(row)
            for entry in row.entries:
                rows[entry.record.id].append((board, row))
                seeds.setdefault(entry.record.id, beside[entry.record.cell.task])
    shards: dict[str, list[Entry]] = {digit: [] for digit in SHARDS}
    for entry in site.entries:
        shards[entry.record.id[0]].append(entry)
    several = len({entry.store for entry in (*site.entries, *site.superseded)}) > 1
    for digit, entries in shards.items():
        files.data(f"where/{digit}", _shard(entries, rows, seeds, several))


def prompts(files: Files) -> list[str]:
    """The digests of the prompts that this build has written."""
    return sorted(path[len(PROMPTS) : -len(".js")] for path in files.written if path.startswith(PROMPTS))


def anchor(board: BoardView, row: RowView) -> str:
    """Where a row stands on its variant's page."""
    return f"{board.id}-{row.key}"


def _shard(
    entries: list[Entry],
    rows: dict[str, list[tuple[BoardView, RowView]]],
    seeds: dict[str, list[list[str]]],
    several: bool,
) -> dict[str, Any]:
    """Cells by id: [store, badge, rows, [[id, seed] of the same row and task]].

    Rows are [href, name, title of the board, id of the board]. Where all records come from one store, its
    folder's name says nothing of them: the same records make the same site wherever they lie.
    """
    stores: dict[str, int] = {}
    named: dict[tuple[str, ...], int] = {}
    cells = {}
    for entry in entries:
        found = rows.get(entry.record.id, [])
        places = [
            (f"{row.href}#{anchor(board, row)}", row.label, board.title, board.id) for board, row in found
        ]
        cells[entry.record.id] = [
            stores.setdefault(shlex.quote(entry.store) if several else "STORE", len(stores)),
            entry.badge,
            [named.setdefault(place, len(named)) for place in places],
            seeds.get(entry.record.id, []),
        ]
    return {"stores": list(stores), "rows": [list(place) for place in named], "cells": cells}


def _seeds(row: RowView) -> dict[TaskRef, list[list[str]]]:
    """By task, the first cells of a row: [id, seed]."""
    found: dict[TaskRef, list[list[str]]] = defaultdict(list)
    for entry in row.entries:
        cell = entry.record.cell
        if len(found[cell.task]) < SEEDS:
            found[cell.task].append([entry.record.id, seeds_line(cell)])
    return found
