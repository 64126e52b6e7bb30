"""A folder of records, one JSON file per cell, and the base's own scores.

    <store>/records/<cell id>.json      one Record, or <cell id>.json.gz where it is published
    <store>/base/<key>.json             scores of an untouched base, found again by a content key
    <store>/prompts/<digest>.json       what an evaluation asked, see `suite.prompts`

A file appears whole or not at all: it is written beside its place, flushed to disk and renamed. So a
run that was killed leaves nothing half-written, and resuming is skipping what is there.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ValidationError

from suite import sound
from suite.facts import printable, visible
from suite.parsing import Parser
from suite.record import SCHEMA_VERSION, Record

_LEFTOVER_AGE_S = 600.0  # a write takes milliseconds: an older temporary file belongs to a dead process
_TEMPORARY = ".tmp"
_FOLDERS = ("records", "base", "prompts")
_PLAIN, _PACKED = ".json", ".json.gz"
_LARGEST = 1 << 26  # bytes of an unpacked file; the largest records have some millions
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class StoreError(ValueError):
    """A store that cannot be read or written: one line with the file and the reason."""


class Store:
    """The records of one folder. Nothing is created before the first write."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if _is_folder(self.path) is False:
            raise StoreError(f"store {self.path} is a file; give a folder (it may not exist yet)")
        for folder in _FOLDERS:
            if _is_folder(self.path / folder) is False:
                raise StoreError(
                    f"{self.path / folder} is a file; a store keeps a folder there, move it away"
                )

    def check_writable(self) -> None:
        """Raise StoreError where a write would fail: before hours of training, and writing nothing."""
        for folder in _FOLDERS:
            place = self.path / folder
            while (found := _is_folder(place)) is None and place != place.parent:
                if place.is_symlink():
                    raise StoreError(f"{place}: cannot be written (a link to nowhere)")
                place = place.parent
            if not found:
                raise StoreError(f"store {self.path} cannot be made: {place} is not a folder")
            if not os.access(place, os.W_OK | os.X_OK):
                raise StoreError(f"store {self.path} cannot be written: folder {place} is not writable")

    def has(self, cell_id: str) -> bool:
        """Whether a record of this cell is there, whatever its status."""
        return self._file("records", cell_id).is_file() or self._file("records", cell_id, _PACKED).is_file()

    def packed(self, cell_id: str) -> bool:
        """Whether the record of this cell is there packed, as published ones are."""
        return not self._file("records", cell_id).is_file() and self.has(cell_id)

    def read(self, cell_id: str) -> Record:
        """The record of one cell; StoreError if it is missing, damaged or of another schema."""
        return self._read(cell_id, Parser())

    def _read(self, cell_id: str, parser: Parser) -> Record:
        file = self._file("records", cell_id)
        packed = self._file("records", cell_id, _PACKED)
        return _read_record(file if file.is_file() or not packed.is_file() else packed, parser)

    def records(self) -> list[Record]:
        """Every record, sorted by id. A store that does not exist yet has none."""
        folder = self.path / "records"
        try:
            names = [n for n in os.listdir(folder) if not n.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{folder}: cannot be listed ({error.strerror or error})") from None
        ids = {cell_id for name in names if (cell_id := id_in(name))}
        parser = Parser()
        return [self._read(name, parser) for name in sorted(ids)]

    def write(self, record: Record, packed: bool = False) -> Path:
        """Write one record, replacing what the cell had before; returns its file.

        `packed` makes it a tenth as large, by gzip, with the same bytes for the same record.
        """
        assert record.id == record.cell.id, f"record {record.id} holds the cell {record.cell.id}"
        file = self._file("records", record.id, _PACKED if packed else _PLAIN)
        text = record.model_dump_json(indent=None if packed else 1) + "\n"
        write_whole(file, gzip.compress(text.encode(), mtime=0) if packed else text)
        self._file("records", record.id, _PLAIN if packed else _PACKED).unlink(missing_ok=True)
        return file

    def base_scores(self, key: str) -> dict[str, Any] | None:
        """Scores of an untouched base kept under `key`; None if there are none."""
        file = self._file("base", key)
        if not file.is_file():
            return None
        try:
            scores = json.loads(text_of(file))
        except json.JSONDecodeError as error:
            raise StoreError(f"{file}: not JSON ({error}); delete it to score the base again") from None
        if not isinstance(scores, dict):
            raise StoreError(f"{file}: holds no scores; delete it to score the base again")
        return scores

    def write_base_scores(self, key: str, scores: BaseModel | dict[str, Any]) -> Path:
        """Keep scores of an untouched base under `key`; returns the file."""
        content = scores.model_dump(mode="json") if isinstance(scores, BaseModel) else scores
        file = self._file("base", key)
        write_whole(file, json.dumps(content, indent=1) + "\n")
        return file

    def _file(self, folder: str, name: str, ending: str = _PLAIN) -> Path:
        if not _NAME.fullmatch(name):
            raise StoreError(f"{name!r} cannot name a stored file; expected letters, digits, '.', '_', '-'")
        return self.path / folder / f"{name}{ending}"


def write_whole(file: Path, content: str | bytes) -> None:
    """Write `content` so that nobody ever sees half of it, creating the folders above.

    Temporary files that a killed process left in the same folder are removed on the way.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(file.parent)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=_TEMPORARY)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content.encode() if isinstance(content, str) else content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)  # mkstemp makes it private; a store is shared like any folder of results
            temporary.replace(file)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(f"{file}: cannot be written ({error.strerror or error})") from None


def _is_folder(path: Path) -> bool | None:
    """Whether `path` is a folder; None if nothing is there. StoreError if that cannot be told."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror or error})") from None


def _remove_leftovers(folder: Path) -> None:
    oldest = time.time() - _LEFTOVER_AGE_S
    for leftover in folder.glob(f".*{_TEMPORARY}"):
        try:
            if leftover.stat().st_mtime < oldest:
                leftover.unlink()
        except FileNotFoundError:  # another process was faster
            continue


def load(file: Path, parser: Parser | None = None) -> Record:
    """The record in a file; StoreError with the reason alone, in one printable line, if it holds none.

    What can be read is what a page can show: see `suite.sound`. Many are read faster by one `parser`.
    """
    parser = parser or Parser()
    try:
        record = parser.record(_content(file))
    except ValidationError as error:
        raise StoreError(visible(reason(error))) from None
    try:
        id_ = record.cell.id
        _ = record.gain, record.score, record.forgetting_by_skill
    except LookupError as error:
        raise StoreError(visible(f"scores before and after do not match (no {error})")) from None
    except (ValueError, RecursionError):  # integers of thousands of digits, lists in lists in lists
        raise StoreError("a cell whose settings cannot be written as JSON") from None
    if why := sound.fault(record, parser.looked_at(record.before)):
        raise StoreError(why)
    parser.good(record.before)
    if not (record.id == id_ == id_in(file.name)):
        raise StoreError(
            f"holds the record {printable(record.id, 40)} of the cell {id_}; "
            "all three should agree, was it edited or renamed?"
        )
    return record


def _content(file: Path, most: int | None = None) -> str:
    """The text of a stored file, unpacked; StoreError with the reason alone if they cannot be read.

    Only what is a file is opened: reading a pipe or a device may never end.
    """
    most = most or _LARGEST
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise StoreError("cannot be read (not a file)")
            packed = file.name.endswith(_PACKED)
            found = _unpacked(stream, most + 1) if packed else stream.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise StoreError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(found) > most:
        raise StoreError(f"{'unpacks to' if packed else 'has'} more than {most} bytes; nothing here does")
    try:
        return found.decode()
    except UnicodeDecodeError as error:
        raise StoreError(f"not UTF-8 text (byte {error.start})") from None


def _unpacked(stream: BinaryIO, most: int) -> bytes:
    """The first `most` bytes of a gzip file; OSError, EOFError or zlib.error if it is none.

    At once where it is as files of a store are, which is quicker; else by the library, which knows all kinds.
    """
    unzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        found = unzip.decompress(stream.read(most), most)
        if unzip.eof and not unzip.unused_data:
            return found
    except zlib.error:
        pass
    stream.seek(0)
    return gzip.GzipFile(fileobj=stream).read(most)


def text_of(file: Path, most: int | None = None) -> str:
    """The text of a stored file, unpacked; StoreError if it cannot be read or has more than `most` bytes."""
    try:
        return _content(file, most)
    except StoreError as error:
        raise StoreError(f"{file}: {error}") from None


def id_in(name: str) -> str | None:
    """The cell id in a file's name; None if it is not named as a record is."""
    stem = name.removesuffix(_PACKED if name.endswith(_PACKED) else _PLAIN)
    return stem if stem != name and _NAME.fullmatch(stem) else None


def _read_record(file: Path, parser: Parser) -> Record:
    try:
        return load(file, parser)
    except StoreError as error:
        raise StoreError(f"{file}: {error}") from None


def reason(error: ValidationError) -> str:
    """The first fault of a record in one line, and how many more there are; an old schema by itself."""
    for fault in error.errors(include_url=False):
        if fault["loc"] == ("schema_version",) and isinstance(fault["input"], int):
            return (
                f"a record of schema {fault['input']}, this version reads {SCHEMA_VERSION}; "
                "make it again: run the same command into another --store, or delete the file first"
            )
    first, *more = error.errors(include_url=False, include_input=False)
    place = ".".join(str(part) for part in first["loc"])
    reason = f"{place}: {first['msg']}" if place else first["msg"]
    return " ".join(reason.split()) + (f" (and {len(more)} more)" if more else "")
