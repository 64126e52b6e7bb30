"""Rows of a hub's data files, read as far as they are asked for: parquet, JSON lines, a JSON array, gzip.

A split lies in one or more files, whose rows follow one another in the order of the files' names. Reading is
lazy: of parquet only the wanted columns of the row groups that are reached, of the others the first bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from suite.errors import UserError, one_line
from suite.hub import api as hub

Row = dict[str, Any]

TEXT_BLOCK = 8 * 2**20  # bytes of a request
TABLE_BLOCK = 2**20
TEXT_PIECE = 2**20  # characters
BATCH = 1000  # rows
BETWEEN = re.compile(r"[\s,]*")  # elements of an array; matches anywhere


def matching(repository: hub.Repository, pattern: str) -> list[hub.RemoteFile]:
    """The files of a split; UserError if there are none."""
    folder = pattern.rpartition("/")[0]
    found = [file for file in hub.files(repository, folder) if fnmatchcase(file.path, pattern)]
    if not found:
        raise UserError(
            f"data set {repository.id!r} has no {pattern} at {repository.commit[:8]}; it was changed, and "
            "this version of the suite does not know its new form"
        )
    return found


def rows(files: Sequence[hub.RemoteFile], columns: Sequence[str], moved: hub.Moved) -> Iterator[Row]:
    """The rows of a split, with these columns and no other. `moved` hears of bytes as they come."""
    for file in files:
        reader = hub.Reader(file, moved)
        try:
            for row in _kind(file)(reader, columns):
                yield _only(row, columns, file)
        except (ValueError, EOFError, OSError, NotImplementedError, zlib.error) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{_named(file)} cannot be read ({one_line(error, 120)})") from None


def _kind(file: hub.RemoteFile) -> Callable[[hub.Reader, Sequence[str]], Iterator[Row]]:
    if file.path.endswith(".parquet"):
        return _parquet
    return _zipped if file.path.endswith(".gz") else _plain


def _parquet(reader: hub.Reader, columns: Sequence[str]) -> Iterator[Row]:
    import pyarrow.parquet as parquet

    table = parquet.ParquetFile(io.BufferedReader(reader, TABLE_BLOCK))
    known = [column for column in columns if column in table.schema_arrow.names]
    for group in range(table.num_row_groups):  # asked for all at once, all are read before the first row
        for batch in table.iter_batches(BATCH, row_groups=[group], columns=known, use_threads=False):
            yield from batch.to_pylist()


def _zipped(reader: hub.Reader, columns: Sequence[str]) -> Iterator[Row]:
    return _json(gzip.GzipFile(fileobj=io.BufferedReader(reader, TEXT_BLOCK)))


def _plain(reader: hub.Reader, columns: Sequence[str]) -> Iterator[Row]:
    return _json(io.BufferedReader(reader, TEXT_BLOCK))


def _json(stream: Any) -> Iterator[Row]:
    """Objects of JSON lines, or of one array."""
    is_array = stream.peek(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="\n")
    return _array(text) if is_array else (json.loads(line) for line in text if line.strip())


def _array(text: io.TextIOBase) -> Iterator[Row]:
    """The elements of an array, decoded one after another."""
    decoder = json.JSONDecoder()
    held, place = text.read(TEXT_PIECE).lstrip()[1:], 0
    while True:
        place = BETWEEN.match(held, place).end()  # type: ignore[union-attr]
        if held.startswith("]", place):
            return
        try:
            row, place = decoder.raw_decode(held, place)
        except json.JSONDecodeError:
            more = text.read(TEXT_PIECE)
            if not more:
                raise
            held, place = held[place:] + more, 0
            continue
        yield row


def _only(row: Any, columns: Sequence[str], file: hub.RemoteFile) -> Row:
    if not isinstance(row, dict):
        raise UserError(f"{_named(file)}: a row is no object, but {str(row)[:60]!r}")
    if lacking := [column for column in columns if column not in row]:
        raise UserError(f"{_named(file)}: a row has no column {lacking[0]!r}; it has {sorted(row)}")
    return {column: row[column] for column in columns}


def _named(file: hub.RemoteFile) -> str:
    return f"data set {file.repository.id!r}, file {file.path} at {file.repository.commit[:8]}"
