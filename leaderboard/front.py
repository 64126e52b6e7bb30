"""The front page of every board: the answer, the table behind it, and why its ties are ties."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass
from heapq import nsmallest
from shlex import quote
from typing import Any
from urllib.parse import urlencode

from leaderboard import best, charts, exports
from leaderboard.answer import Tiers, answer, tiers
from leaderboard.columns import columns
from leaderboard.compare import compared
from leaderboard.files import Files
from leaderboard.navigation import frame
from leaderboard.pages import render
from leaderboard.shown import SIZES, Scale, adapter_rank, size_class
from leaderboard.site import BoardView, RowView, Site
from suite.statistics import Pair
from suite.words import recipe_line

NO_RANK = "none"  # the value of that filter for rows without an adapter rank
TIES = 40  # pairs that the page explains one by one, those of neighbours first


@dataclass(frozen=True)
class Look:
    """How a reader looks closer at two rows: the page that compares them ('' if it does not), the command."""

    href: str
    command: str


@dataclass(frozen=True)
class Tie:
    """Two ranked rows that cannot be told apart, and where they are compared."""

    a: RowView
    b: RowView
    pair: Pair
    look: Look


def write(files: Files, site: Site) -> None:
    """Write the page of every board."""
    for board in site.boards:
        files.text(board.href, page(site, board))


def page(site: Site, board: BoardView) -> str:
    """The front page of one board."""
    found = tiers(board)
    whole = board.standings.board
    there = {row.key for row in compared(board)}
    ties = _ties(board, there)
    shown = columns(board, _beside(board))
    devices = sorted({device for row in board.rows for device in row.cost.devices})
    return render(
        "board.html",
        **frame(site, board.href),
        board=board,
        whole=whole,
        answer=answer(board, found, best.beside_best(best.forgetting(board, found.tied), lower=True)),
        forest=_forest(found),
        why={row.key: closer(board, there, found.best, row) for row in found.tied if found.best},
        compared=len(there),
        badges=_badges(board),
        columns=shown,
        rows=[
            (row, [column.show(row) for column in shown], facts)
            for row, facts in zip(board.rows, _facts(board, found), strict=True)
        ],
        filters=_filters(board),
        bases=_bases(site, board),
        others=[other for other in site.boards if other is not board],
        ties=ties,
        more_ties=len(board.standings.ties) - len(ties),
        recipes={task: recipe_line(recipe) for task, recipe in whole.recipes.items()},
        devices=devices,
        memory_methods=sorted({way for row in board.rows for way in row.cost.memory_methods}),
        charts=charts.of_board(board, site),
        exports=exports.offered(board),
    )


def _beside(board: BoardView) -> dict[str, best.Beside | None]:
    """Who cannot be told from the best of each column, by the column's key."""
    gains = best.gains(board)
    found = {
        "gain": best.by_rank(board),
        "forgetting": best.beside_best(best.forgetting(board, board.ranked), True),
    }
    for task in board.standings.board.recipes:
        found[f"task {task}"] = best.beside_best(
            {label: {task: by_task[task]} for label, by_task in gains.items() if task in by_task}
        )
    return found


def _forest(found: Tiers) -> Mapping[str, str]:
    """The bars of the answer card: a row's key -> the path of its interval."""
    rows = (*found.tied, *found.open)
    gains = {row.key: row.place.gain for row in rows if row.place.gain}
    scale = Scale.of(list(gains.values()), zero=False)
    return {key: scale.path(gain) for key, gain in gains.items()}


def _facts(board: BoardView, found: Tiers) -> list[dict[str, Any]]:
    """By row, what marks read of it; `near`: the ranked rows that it cannot be told from, as hex bits."""
    at = {row.label: number for number, row in enumerate(board.ranked)}
    near = dict.fromkeys(at, 0)
    for pair in board.standings.ties:
        near[pair.a] |= 1 << at[pair.b]
        near[pair.b] |= 1 << at[pair.a]
    shared = Counter(row.place.rank for row in board.ranked)
    shared[1] -= len(found.open)
    uniform = bool(_badges(board))
    return [
        {
            "kind": row.place.row.kind or "plain",
            "near": f"{near[row.label]:x}" if row.label in near else "",
            "tier": "open"
            if row in found.open
            else "tied"
            if row.place.rank and shared[row.place.rank] > 1
            else "",
            "badges": [] if uniform else sorted({entry.badge for entry in row.entries if entry.badge}),
            "cells": f"{row.href}#{board.id}-{row.key}",
            "size": size_class(row),
            "setting": adapter_rank(row) or NO_RANK,
        }
        for row in board.rows
    ]


def _badges(board: BoardView) -> list[str]:
    """The badge of every record of a board, [] unless they all have the same one."""
    found = {entry.badge for row in board.rows for entry in row.entries}
    return [badge for badge in found if badge] if len(found) == 1 else []


def _filters(board: BoardView) -> dict[str, list[tuple[str, str]]]:
    """The choices of each filter that has two or more: value and name."""
    rows = board.rows
    kinds = {"tuned": "tuned on validation", "default": "documented rate", "plain": "rate not searched for"}
    settings = sorted({adapter_rank(row) for row in rows}, key=lambda one: (_as_number(one), one))
    found = {
        "kind": [
            (key, name)
            for key, name in kinds.items()
            if any((row.place.row.kind or "plain") == key for row in rows)
        ],
        "setting": [(one or NO_RANK, one or "no rank") for one in settings],
        "size": [(name, f"{name} %") for _, name in SIZES if any(size_class(row) == name for row in rows)],
        "task": [(task, task) for task in board.standings.board.recipes],
    }
    return {name: choices for name, choices in found.items() if len(choices) > 1}


def _as_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("inf")


def _bases(site: Site, board: BoardView) -> list[BoardView]:
    """The boards of the same track, this one among them; [] where it is the only one."""
    same = [one for one in site.boards if one.standings.board.track == board.standings.board.track]
    return same if len(same) > 1 else []


def _ties(board: BoardView, there: Set[str]) -> list[Tie]:
    """The pairs that cannot be told apart and are explained one by one, neighbours by mean gain first."""
    rows = sorted(board.ranked, key=lambda row: -(row.place.gain.value if row.place.gain else 0.0))
    at = {row.label: number for number, row in enumerate(rows)}

    def places(pair: Pair) -> tuple[int, int]:
        """How far apart the two stand, and where the first does."""
        first, second = sorted((at[pair.a], at[pair.b]))
        return second - first, first

    found = []
    for pair in nsmallest(TIES, board.standings.ties, key=places):
        apart, first = places(pair)
        a, b = rows[first], rows[first + apart]
        found.append(Tie(a, b, pair, closer(board, there, a, b)))
    return found


def closer(board: BoardView, there: Set[str], a: RowView, b: RowView) -> Look:
    """Where two rows of a board are compared; `there` are the keys of those that the page compares."""
    query = urlencode({"board": board.id, "a": a.key, "b": b.key})
    command = f"suite compare {quote(a.label)} {quote(b.label)}"
    return Look(f"compare.html?{query}" if {a.key, b.key} <= there else "", command)
