"""Records -> one page that opens from disk, and the same numbers as data.json.

The page is a single file: style and script are inlined and allowed by their hash, everything else is
forbidden by its content security policy. Same records in, same bytes out: nothing of the machine or the
moment of building gets in.
"""

from __future__ import annotations

import hashlib
import json
import math
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from suite import summary, words
from suite.record import Record, Scores
from suite.store import Store, StoreError, write_whole

DATA_VERSION = 4

_HERE = Path(__file__).parent


def build(store: Path | str, out: Path | str) -> Path:
    """Write index.html and data.json of a store into the folder `out`; returns the page's path."""
    store, out = Path(store), Path(out)
    kept = Store(store)
    if not store.exists():
        raise StoreError(f"no store at {store}; make one with: suite run --store {store}")
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out} is a file; give a folder for the page")
    records = kept.records()
    if not records:
        raise StoreError(f"no records in store {store}; make some with: suite run --store {store}")
    site = data(records)
    page = out / "index.html"
    write_whole(page, render(site))
    write_whole(out / "data.json", json.dumps(site, indent=1, allow_nan=False) + "\n")
    return page


def data(records: Iterable[Record]) -> dict[str, Any]:
    """Everything that the page shows, as plain JSON values; what is absent is null."""
    found = {record.id: record for record in records}
    return {
        "version": DATA_VERSION,
        "newest": max(filter(None, (record.provenance.created for record in found.values())), default=None),
        "boards": [_board(board, found) for board in summary.boards(found.values())],
    }


def render(site: dict[str, Any]) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "points": lambda value: words.points(value).replace("-", "\N{MINUS SIGN}"),
        "score": words.score,
        "count": words.count,
        "rate": words.rate,
        "duration": words.duration,
        "rates": words.rates,
        "outcome": words.outcome,
        "memory": _memory,
        "breakable": lambda name: Markup(str(escape(name)).replace("_", "_<wbr>")),
        "compared": _compared,
        "most_compared": lambda board: _most(
            m for row in board["rows"] for m in _compared(row, board).values()
        ),
        "most_forgetting": lambda board: _most(row["forgetting"] for row in board["rows"]),
    }
    style, script = _static("site.css"), _static("site.js")
    return environment.get_template("index.html").render(
        site=site,
        style=Markup(style),
        script=Markup(script),
        policy=(
            f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        ),
    )


def _board(board: summary.Board, records: dict[str, Record]) -> dict[str, Any]:
    tasks = summary.task_labels(records[name] for row in board.rows for name in row.records)
    fields = asdict(board) | {
        "seeds": board.seeds,
        "scores_only": board.scores_only,
        "forgetting_known": board.forgetting_known,
        "base": board.base.model_dump(mode="json"),
        "recipes": {
            task: recipe.model_dump(mode="json") if recipe else None for task, recipe in board.recipes.items()
        },
        "recipe_lines": {task: words.recipe_line(recipe) for task, recipe in board.recipes.items()},
    }
    for row in fields["rows"]:
        cells = [_cell(tasks[name], records[name]) for name in row["records"]]
        row["cells"] = sorted(cells, key=_order)
    return fields


def _order(cell: dict[str, Any]) -> tuple[str, bool, int, str]:
    """By task and seed; cells without a seed come last."""
    return cell["task"], cell["seed"] is None, cell["seed"] or 0, cell["record"]


def _cell(task: str, record: Record) -> dict[str, Any]:
    cost, where = record.cost, record.provenance
    target = next(iter(record.cell.evaluation.target), None) if record.read else None
    return {
        "record": record.id,
        "variant": record.cell.variant.name,
        "task": task,
        "seed": record.cell.seed,
        "learning_rate": record.cell.learning_rate,
        "status": record.status,
        "error": record.error,
        "target": target,
        "before": _finite(100 * record.before.target[target].value) if record.before and target else None,
        "after": _finite(record.score),
        "gain": _finite(record.gain),
        "forgetting": _finite(record.forgetting),
        "forgetting_by_skill": {name: _finite(drop) for name, drop in record.forgetting_by_skill.items()},
        "validation_log_loss": _validation(record.after),
        "bits_per_byte_change": _bits_change(record),
        "trainable_parameters": record.trainable_parameters,
        "train_seconds": cost.train_wall_s if cost else None,
        "peak_memory_bytes": cost.peak_memory_bytes if cost else None,
        "memory_method": cost.memory_method if cost else None,
        "effect": _effect(record),
        "weights": record.weights,
        "source": _source(record),
        **where.model_dump(mode="json"),
    }


def _effect(record: Record) -> dict[str, float | None] | None:
    """How far the adapter moves the logits; the norm of each delta stays in the record."""
    if (effect := record.effect) is None:
        return None
    return {
        "from_base": _finite(effect.from_base),
        "from_start": _finite(effect.from_start),
        "delta_norm": _finite(effect.delta_norm),
        "reload_error": _finite(effect.reload_error),
    }


def _source(record: Record) -> dict[str, Any] | None:
    """Where an imported record comes from, with the fields that have a note; the others stay there."""
    if (source := record.source) is None:
        return None
    fields = [{"name": at, "value": source.fields.get(at), "note": note} for at, note in source.notes.items()]
    return source.model_dump(mode="json", exclude={"fields", "notes"}) | {"fields": fields}


def _validation(scores: Scores | None) -> float | None:
    return _finite(scores.log_loss.get("validation")) if scores else None


def _bits_change(record: Record) -> float | None:
    before, after = record.before, record.after
    if before is None or after is None or before.bits_per_byte is None or after.bits_per_byte is None:
        return None
    return _finite(after.bits_per_byte - before.bits_per_byte)


def _finite(value: float | None) -> float | None:
    """JSON and the page know no NaN: a number that is none is absent."""
    return value if value is not None and math.isfinite(value) else None


def _compared(row: dict[str, Any], board: dict[str, Any]) -> dict[str, Any]:
    """What the rows of a board are ranked by, by task."""
    return row["scores"] if board["scores_only"] else row["gains"]


def _most(means: Iterable[dict[str, Any] | None]) -> float:
    """The longest bar of a table."""
    return max((mean["value"] for mean in means if mean), default=0.0)


def _memory(size: int | None) -> str:
    return words.ABSENT if size is None else f"{size / 2**20:,.0f} MiB"


def _static(name: str) -> str:
    return (_HERE / "static" / name).read_text(encoding="utf-8")


def _hash(text: str) -> Markup:
    """A content security policy source that allows exactly this inline style or script."""
    return Markup(f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")
