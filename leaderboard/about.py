"""What stands behind the tables: how to read them, every board, files that were no records; and data.json."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from leaderboard.compare import compared
from leaderboard.files import Files, finite
from leaderboard.navigation import frame
from leaderboard.pages import render
from leaderboard.site import BoardView, Entry, RowView, Site, cell_link
from suite.statistics import Comparison, Interval

DATA_VERSION = 5
SHOWN = 200  # rejected files that the page names; data.json has them all


def write(files: Files, site: Site) -> None:
    """Write about.html and data.json."""
    page = "about.html"
    files.text(
        page,
        render(
            "about.html",
            **frame(site, page),
            boards=site.boards,
            cells={board.id: sum(len(row.entries) for row in board.rows) for board in site.boards},
            statuses=Counter(entry.record.status for entry in site.entries),
            badges=Counter(entry.badge for entry in site.entries if entry.badge),
            refused=site.rejected[:SHOWN],
            superseded=len(site.superseded),
        ),
    )
    files.json("data.json", data(site))


def data(site: Site) -> dict[str, Any]:
    """Every number of the tables and of the cells, unrounded, as JSON values; what is absent is null."""
    return finite(
        {
            "version": DATA_VERSION,
            "newest": site.newest,
            "boards": [_board(board) for board in site.boards],
            "rejected": [asdict(one) for one in site.rejected],
        }
    )


def _board(view: BoardView) -> dict[str, Any]:
    found = view.standings
    board = found.board
    return {
        "id": board.id,
        "page": view.href,
        "track": board.track,
        "base": board.base.model_dump(mode="json"),
        "external": view.external,
        "scores_only": board.scores_only,
        "limit": board.limit,
        "seeds": board.seeds,
        "tasks": list(found.tasks),
        "recipes": {
            task: one.model_dump(mode="json") if one else None for task, one in board.recipes.items()
        },
        "reference": found.reference,
        "faults": list(found.faults),
        "rows": [_row(view, row) for row in view.rows],
        "pairs": _pairs(view),
    }


def _pairs(view: BoardView) -> list[dict[str, Any]]:
    """Every pair of the rows that can be compared on a page: their number is bounded."""
    shown = {row.label for row in compared(view)}
    return [asdict(pair) for pair in view.standings.pairs if {pair.a, pair.b} <= shown]


def _row(board: BoardView, view: RowView) -> dict[str, Any]:
    place, row = view.place, view.place.row
    return {
        "key": view.key,
        "label": row.label,
        "variant": row.variant,
        "settings": row.settings,
        "revision": row.revision,
        "kind": row.kind,
        "rank": place.rank,
        "gain": _interval(place.gain),
        "gains": {task: _interval(one) for task, one in place.gains.items()},
        "mean_gain": row.mean_gain,
        "scores": {task: mean and mean.value for task, mean in row.scores.items()},
        "mean_score": row.mean_score,
        "forgetting": _interval(place.forgetting),
        "forgetting_by_skill": {
            skill: mean and mean.value for skill, mean in row.forgetting_by_skill.items()
        },
        "regret": _interval(place.regret),
        "front": place.front,
        "learning_rates": row.learning_rates,
        "edges": row.edges,
        "trials": row.trials,
        "statuses": row.statuses,
        "cost": asdict(view.cost),
        "cells": [_cell(board, entry) for entry in view.entries],
    }


def _cell(board: BoardView, entry: Entry) -> dict[str, Any]:
    record = entry.record
    return {
        "record": record.id,
        "page": cell_link(record.id),
        "task": board.task(record),
        "seed": record.cell.seed,
        "learning_rate": record.cell.learning_rate,
        "status": record.status,
        "error": record.error,
        "gain": record.gain,
        "score": record.score,
        "forgetting": record.forgetting,
        "validation_log_loss": record.after.log_loss.get("validation") if record.after else None,
        "trainable_parameters": record.trainable_parameters,
        "badge": entry.badge,
    }


def _interval(found: Interval | Comparison | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)
