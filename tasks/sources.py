"""Where rows come from: the pocket world, or JSON-lines files of a local folder in the hub's columns.

Nothing here fetches anything. Rows that are read are checked, so that a bad line is named by file and line
before a model has run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tasks.interface import TaskError

Row = dict[str, Any]
Check = Callable[[Row], str | None]


def pocket(name: str, split: str) -> list[Row]:
    """Rows of one split of the embedded world."""
    from tasks.pocket.rows import rows

    return rows(name, split)


def local(data: Path, relative: str, columns: Sequence[str], check: Check) -> list[Row]:
    """The rows of `<data>/<relative>`; each must be a JSON object for which `check` returns None.

    Only `columns` are kept ("a.b" is the column b of the object a), all of which `check` must ask for: what
    else a file has may be of any type, and need not be of one.
    Raises TaskError naming the path where the file is missing, and file and line where a row is malformed.
    """
    path = data / relative
    try:
        with path.open(encoding="utf-8") as file:
            lines = [(number, line) for number, line in enumerate(file, 1) if line.strip()]
    except OSError as error:
        raise TaskError(
            f"no data file {path} ({error.strerror}); put it there, or give another folder"
        ) from None
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: not UTF-8 text ({error.reason}); expected JSON lines") from None
    if not lines:
        raise TaskError(f"{path}: no rows; expected JSON lines, one object each")
    return [_only(_row(path, number, line, check), columns) for number, line in lines]


def _row(path: Path, number: int, line: str, check: Check) -> Row:
    """One checked line of a file."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise TaskError(f"{path}:{number}: not JSON ({error.msg}); expected one object per line") from None
    problem = check(row) if isinstance(row, dict) else f"expected a JSON object, got {shown(row)}"
    if problem:
        raise TaskError(f"{path}:{number}: {problem}")
    return row


def _only(row: Row, columns: Sequence[str]) -> Row:
    """A row with these columns and no other."""
    kept: Row = {}
    for column in columns:
        outer, _, inner = column.partition(".")
        if inner:
            kept.setdefault(outer, {})[inner] = row[outer][inner]
        else:
            kept[outer] = row[outer]
    return kept


def shown(value: Any) -> str:
    """A value in at most 60 characters, for an error message."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def strings(row: Row, *columns: str) -> str | None:
    """What is wrong unless every column is there and holds text."""
    for column in columns:
        if column not in row:
            return f"column {column!r} is missing; found {sorted(row)}"
        if not isinstance(row[column], str):
            return f"column {column!r} must be text, got {shown(row[column])}"
    return None


def digest_of_rows(*row_sets: Sequence[Row]) -> str:
    """16 hex digits of the SHA-256 of rows as canonical JSON."""
    total = hashlib.sha256()
    for rows in row_sets:
        total.update(json.dumps(list(rows), sort_keys=True, separators=(",", ":")).encode())
        total.update(b"\0")
    return total.hexdigest()[:16]


def digest_of_files(data: Path, *relatives: str) -> str:
    """16 hex digits of the SHA-256 over the names and bytes of files."""
    total = hashlib.sha256()
    for relative in relatives:
        with (data / relative).open("rb") as file:
            total.update(f"{relative}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def split_of(splits: dict[str, list[Row]], split: str) -> list[Row]:
    """The rows of one split; TaskError names the splits there are."""
    if split not in splits:
        raise TaskError(f"no split {split!r}; expected one of {', '.join(splits)}")
    return splits[split]
