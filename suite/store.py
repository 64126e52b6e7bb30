"""A folder of records, one JSON file per cell, and the base's own scores.

    <store>/records/<cell id>.json      one Record, or <cell id>.json.gz where it is published
    <store>/base/<key>.json             scores of an untouched base, found again by a content key

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
from typing import Any

from pydantic import BaseModel, ValidationError

from suite.record import SCHEMA_VERSION, Record

_LEFTOVER_AGE_S = 600.0  # a write takes milliseconds: an older temporary file belongs to a dead process
_TEMPORARY = ".tmp"
_FOLDERS = ("records", "base")
_PLAIN, _PACKED = ".json", ".json.gz"
_LARGEST = 1 << 28  # bytes of an unpacked file; the largest records have some millions
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

    def read(self, cell_id: str) -> Record:
        """The record of one cell; StoreError if it is missing, damaged or of another schema."""
        file = self._file("records", cell_id)
        packed = self._file("records", cell_id, _PACKED)
        return _read_record(file if file.is_file() or not packed.is_file() else packed)

    def records(self) -> list[Record]:
        """Every record, sorted by id. A store that does not exist yet has none."""
        folder = self.path / "records"
        try:
            names = [n for n in os.listdir(folder) if not n.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{folder}: cannot be listed ({error.strerror or error})") from None
        ids = {_id(name) for name in names if name.endswith((_PLAIN, _PACKED))}
        return [self.read(name) for name in sorted(ids)]

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
            scores = json.loads(_text(file))
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


def _text(file: Path) -> str:
    try:
        if not file.name.endswith(_PACKED):
            return file.read_text(encoding="utf-8")
        with gzip.open(file) as stream:
            content = stream.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise StoreError(f"{file}: unpacks to more than {_LARGEST} bytes; no record does")
        return content.decode()
    except (OSError, EOFError, zlib.error) as error:
        raise StoreError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except UnicodeDecodeError as error:
        raise StoreError(f"{file}: not UTF-8 text (byte {error.start})") from None


def _id(name: str) -> str:
    """The cell id in a file's name."""
    return name.removesuffix(".gz").removesuffix(_PLAIN)


def _read_record(file: Path) -> Record:
    try:
        record = Record.model_validate_json(_text(file))
    except ValidationError as error:
        raise StoreError(f"{file}: {reason(error)}") from None
    if not (record.id == record.cell.id == _id(file.name)):
        raise StoreError(
            f"{file}: holds the record {record.id} of the cell {record.cell.id}; "
            "all three should agree, was it edited or renamed?"
        )
    try:
        _ = record.gain, record.forgetting_by_skill
    except LookupError as error:
        raise StoreError(f"{file}: scores before and after do not match (no {error})") from None
    return record


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
