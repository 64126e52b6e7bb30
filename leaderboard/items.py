"""items.html: which items of an evaluation each row of a board solves, under which seeds.

    data/items/index.js                      boards and their evaluations
    data/items/<board>/<evaluation>.js       ids once, and for every cell of every row a character an item

Outputs are not here: the page takes them from the data of the cells it opens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from leaderboard import cell_index
from leaderboard.cells import marks, short
from leaderboard.files import Files, slug
from leaderboard.navigation import frame
from leaderboard.pages import render
from leaderboard.site import BoardView, Entry, RowView, Site
from suite.record import Item, Score
from suite.words import seeds_line

PAGE = "items.html"


@dataclass
class _Table:
    """What is gathered of one evaluation; `places` is where each item stands, in the order of first sight."""

    kind: str
    places: dict[str, int] = field(default_factory=dict)
    prompts: str | None = None
    before: str | list[float | None] | None = None
    rows: dict[str, list[list[Any]]] = field(default_factory=dict)


def write(files: Files, site: Site) -> None:
    """Write the page, the index and one data file for every board and evaluation."""
    index = []
    for board in site.boards:
        if found := tables(board):
            named = {name: slug(name) for name in found}
            for name, table in found.items():
                files.data(f"items/{board.id}/{named[name]}", _data(board, name, table))
            listed = [[named[name], name, one.kind, len(one.places)] for name, one in found.items()]
            index.append([board.id, board.title, board.href, listed])
    files.data("items/index", index)
    files.text(PAGE, render(PAGE, **frame(site, PAGE), prompts=cell_index.prompts(files), any=bool(index)))


def tables(board: BoardView) -> dict[str, _Table]:
    """The outcomes of every evaluation of a board of which items are known, the targets first."""
    found: dict[str, _Table] = {}
    for kind in ("target", "general"):
        for row in board.rows:
            for entry in row.entries:
                _gather(found, kind, board, row, entry)
    return {name: table for name, table in found.items() if table.places}


def _gather(found: dict[str, _Table], kind: str, board: BoardView, row: RowView, entry: Entry) -> None:
    record = entry.record
    if record.status != "ok" or record.after is None or not record.read:
        return
    for name, score in getattr(record.after, kind).items():
        table = found.setdefault(name, _Table(kind))
        if not score.items or table.kind != kind:
            continue
        values = _placed(table.places, score.items)
        table.prompts = table.prompts or score.prompts
        if table.before is None and record.before:
            base: Score | None = getattr(record.before, kind).get(name)
            table.before = _placed(table.places, base.items) if base else None
        task = board.task(record)
        table.rows.setdefault(row.key, []).append([record.id, task, seeds_line(record.cell), values])


def _placed(places: dict[str, int], items: Iterable[Item]) -> str | list[float | None]:
    """The marks in the order of `places`, which grows by items that it does not have yet."""
    items = list(items)
    ids = [item.id for item in items]
    if not places:
        places.update((name, at) for at, name in enumerate(dict.fromkeys(ids)))
    if len(ids) == len(places) and ids == list(places):
        return marks(items)
    for name in ids:
        places.setdefault(name, len(places))
    by_id = {item.id: item for item in items}
    return marks([by_id.get(name) for name in places])


def _data(board: BoardView, name: str, table: _Table) -> dict[str, Any]:
    return {
        "evaluation": name,
        "kind": table.kind,
        "prompts": table.prompts,
        "ids": short(list(table.places)),
        "before": table.before,
        "rows": [
            [row.key, row.label, row.href, row.place.rank, table.rows[row.key]]
            for row in board.rows
            if row.key in table.rows
        ],
    }
