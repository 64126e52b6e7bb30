"""Where rows come from: the pocket world, or JSON-lines files of a local folder in the hub's columns.

Nothing here fetches anything. Rows that are read are checked, so that a bad line is named by file and line
before a model has run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tasks.interface import TaskError

Row = dict[str, Any]
Check = Callable[[Row], str | None]


def pocket(name: str, split: str) -> list[Row]:
    """Rows of one split of the embedded world."""
    from tasks.pocket.rows import rows

    return rows(name, split)


def lines(path: Path, start: int = 0) -> Iterator[bytes]:
    """The lines of a file as they are, from byte `start` on. Raises TaskError where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            yield from file
    except OSError as error:
        raise TaskError(
            f"no data file {path} ({error.strerror}); put it there, or give another folder"
        ) from None


def parse(path: Path, number: int, line: bytes, check: Check) -> Row:
    """A line as a row. TaskError names file and line unless it is a JSON object that passes `check`."""
    try:
        row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}:{number}: not UTF-8 text ({error.reason}); expected JSON lines") from None
    except (ValueError, RecursionError) as error:
        told = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise TaskError(f"{path}:{number}: not JSON ({told}); expected one object per line") from None
    problem = check(row) if isinstance(row, dict) else f"expected a JSON object, got {shown(row)}"
    if problem:
        raise TaskError(f"{path}:{number}: {problem}")
    return row


def local(data: Path, relative: str, columns: Sequence[str], check: Check) -> list[Row]:
    """The rows of `<data>/<relative>`; each must be a JSON object for which `check` returns None.

    Only `columns` are kept ("a.b" is the column b of the object a), all of which `check` must ask for: what
    else a file has may be of any type, and need not be of one.
    Raises TaskError naming the path where the file is missing, and file and line where a row is malformed.
    """
    path = data / relative
    numbered = enumerate(lines(path), 1)
    rows = [_only(parse(path, n, line, check), columns) for n, line in numbered if line.strip()]
    if not rows:
        raise TaskError(f"{path}: no rows; expected JSON lines, one object each")
    return rows


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


def strings(row: Row, *columns: str, empty: bool = False) -> str | None:
    """What is wrong unless every column is there and holds text; with `empty`, null passes too."""
    for column in columns:
        if column not in row:
            return f"column {column!r} is missing; found {sorted(row)}"
        if problem := text(row[column], f"column {column!r}", empty=empty):
            return problem
    return None


def text(value: Any, what: str, *, empty: bool = False) -> str | None:
    """What is wrong with a value that should be text, called `what` in the answer."""
    if value is None and empty:
        return None
    if not isinstance(value, str):
        return f"{what} must be text, got {shown(value)}"
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"{what} holds half of a surrogate pair, which is no character, in {shown(value)}"
    return None


def texts(row: Row, column: str, least: int = 1) -> str | None:
    """What is wrong unless a column is a list of `least` or more texts."""
    value, words = row.get(column), {1: "one", 2: "two", 3: "three"}
    if isinstance(value, list) and len(value) >= least and all(text(part, "") is None for part in value):
        return None
    return f"column {column!r} must be a list of {words[least]} or more texts, got {shown(value)}"


def digest(value: Any) -> str:
    """16 hex digits of the SHA-256 of a value as canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def digest_of_rows(*row_sets: Sequence[Row]) -> str:
    """16 hex digits of the SHA-256 of rows as canonical JSON."""
    total = hashlib.sha256()
    for rows in row_sets:
        total.update(json.dumps(list(rows), sort_keys=True, separators=(",", ":")).encode())
        total.update(b"\0")
    return total.hexdigest()[:16]


def sha256(path: Path) -> str:
    """64 hex digits of the SHA-256 of a file. Raises TaskError where it is missing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TaskError(f"no data file {path} ({error.strerror}); put it there, or fetch it") from None


def sha256_of(data: Path, *relatives: str) -> dict[str, str]:
    """Relative name -> SHA-256 of files of a folder."""
    return {relative: sha256(data / relative) for relative in relatives}


def digest_of_files(data: Path, *relatives: str) -> str:
    """16 hex digits of the SHA-256 over the names and bytes of files."""
    told = "".join(f"{relative}\0{found}\n" for relative, found in sha256_of(data, *relatives).items())
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def split_of(splits: dict[str, Any], split: str) -> Any:
    """One split of several; TaskError names those there are."""
    if split not in splits:
        raise TaskError(f"no split {split!r}; expected one of {', '.join(splits)}")
    return splits[split]
