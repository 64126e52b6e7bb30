"""Stores of records for the page: read by several processes, slim enough for 10,000 cells.

A store's files may come from anyone. What cannot be read, or could break a page, is named with its reason and
left out (`suite.store.load`, `suite.sound`); the rest is read.
"""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from suite import badge
from suite.facts import printable
from suite.parsing import Parser
from suite.record import Record
from suite.rejected import Rejected as Rejected
from suite.slim import Curve, Pool, packed, slim, unpacked
from suite.store import StoreError, id_in, load

CHUNK = 48  # cells that a process reads before it hands them over
WORTH = 150  # cells that are worth a process of their own: starting one takes most of a second
_DEEPEST = 2  # levels of folders below the one given, in which stores are looked for
_FIRST = ("verified", "community", None)
_NAMED = 200  # characters of a file's name that are shown


@dataclass(frozen=True)
class Kept:
    """A record as the page needs it: without responses, its curve of 60 (phase, step, loss) at most.

    `store` is the store's name, `badge` who stands behind it.
    """

    record: Record
    store: str
    badge: str | None
    curve: Curve


@dataclass(frozen=True)
class Reading:
    """What was read, sorted by record (rejected: by file).

    A cell that several stores have is kept once: from a verified store before a community's before others,
    then the newest. Its other records, if they say anything else, are `superseded`.
    """

    kept: tuple[Kept, ...]
    superseded: tuple[Kept, ...]
    rejected: tuple[Rejected, ...]


Each = Callable[[Record], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Store:
    path: Path
    name: str
    badge: str | None = None
    shown: str = ""  # before a file's name, where there are several stores


_Cell = tuple[str, list[tuple[_Store, str]]]  # a record's id, and the files that may hold it
_Found = tuple[list[Kept], list[Kept], list[Rejected]]


def stores(path: Path | str) -> list[Path]:
    """The folder itself if it holds records, else every store up to two levels below it, sorted.

    Links to folders below it are not followed. StoreError where there is none.
    """
    path = Path(path)
    found = [path] if (path / "records").is_dir() else sorted(_below(path, _DEEPEST))
    if not found:
        raise StoreError(f"no store at {path}; make one with: suite run --store {path}")
    return found


def read(
    paths: Sequence[Path | str],
    each: Each | None = None,
    workers: int = 1,
    on_progress: Progress = lambda done, total: None,
) -> Reading:
    """Read all records of these stores, or of the stores in these folders; StoreError where there is none.

    `each` sees every kept record whole, in the process that read it: it must be picklable, and what it raises
    ends the reading. `workers` is how many processes read; with one, or few
    records, it is this one. `on_progress` hears how many cells of how many were read.
    """
    rejected: list[Rejected] = []
    cells: dict[str, list[tuple[_Store, str]]] = defaultdict(list)
    for store in _plan(paths):
        store = replace(store, badge=_badge(store, rejected))
        for name in _names(store, rejected):
            cells[id_in(name) or name].append((store, name))
    todo = sorted(cells.items())
    workers = min(workers, len(todo) // WORTH)
    found = _apart(todo, each, workers) if workers > 1 else _here(todo, each)
    kept: list[Kept] = []
    superseded: list[Kept] = []
    for done, (ones, others, faults) in enumerate(found, 1):
        on_progress(done, len(todo))
        kept += ones
        superseded += others
        rejected += faults
    kept.sort(key=lambda one: one.record.id)
    superseded.sort(key=_place)
    return Reading(
        tuple(kept), tuple(superseded), tuple(sorted(rejected, key=lambda one: (one.file, one.reason)))
    )


def _below(path: Path, levels: int) -> Iterator[Path]:
    try:
        inner = [Path(one.path) for one in os.scandir(path) if one.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{path}: cannot be listed ({error.strerror or error})") from None
    for folder in inner:
        if folder.name.startswith("."):
            continue
        if (folder / "records").is_dir():
            yield folder
        elif levels > 1:
            yield from _below(folder, levels - 1)


def _plan(paths: Iterable[Path | str]) -> list[_Store]:
    """Every store once, with a name that no other has: as few of the last parts of its path as that takes."""
    every = {one.resolve(): None for path in paths for one in stores(path)}
    found = []
    for path in every:
        parts = [part for part in path.parts if part != path.anchor] or ["store"]
        size = 1
        while size < len(parts) and sum(other.parts[-size:] == tuple(parts[-size:]) for other in every) > 1:
            size += 1
        name = printable("/".join(parts[-size:]), _NAMED)
        found.append(_Store(path, name, shown=f"{name}/" if len(every) > 1 else ""))
    return found


def _badge(store: _Store, rejected: list[Rejected]) -> str | None:
    """The store's badge; none, and the file rejected, where it cannot be read."""
    file = store.path / badge.FILE
    if not os.path.lexists(file):
        return None
    try:
        if why := _unlike_a_file(store, file):
            raise StoreError(why)
        known = badge.read(store.path)
    except StoreError as error:
        rejected.append(_rejected(store, badge.FILE, str(error).removeprefix(f"{file}: ")))
        return None
    return known.badge if known else None


def _names(store: _Store, rejected: list[Rejected]) -> list[str]:
    """The files of a store that may be records, sorted; hidden ones are passed over."""
    folder = store.path / "records"
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise StoreError(f"{folder}: cannot be listed ({error.strerror or error})") from None
    found = []
    for name in names:
        why = _unlike_a_file(store, folder / name)
        if why is None and id_in(name) is None:
            why = "not named as a record is: <id>.json or <id>.json.gz"
        if why is None:
            found.append(name)
        else:
            rejected.append(_rejected(store, f"records/{name}", why))
    return found


def _unlike_a_file(store: _Store, file: Path) -> str | None:
    """Why a file is not opened; None if it may be."""
    try:
        if file.is_symlink() and not file.resolve(strict=True).is_relative_to(store.path):
            return "a link that leaves the store"
        return None if file.is_file() else "not a file"
    except (OSError, RuntimeError) as error:  # a link to itself, or to nowhere
        return f"cannot be read ({getattr(error, 'strerror', None) or 'a link to itself'})"


def _rejected(store: _Store, file: str, why: str) -> Rejected:
    return Rejected(store.shown + printable(file, _NAMED), printable(why, 500))


class _Reader:
    """What one process reads with."""

    def __init__(self, each: Each | None) -> None:
        self.each, self.pool, self.parser = each, Pool(), Parser()


def _cell(files: Sequence[tuple[_Store, str]], reader: _Reader) -> _Found:
    """One cell: what is kept of it, what that supersedes, and what is no record."""
    found: list[tuple[Record, Kept]] = []
    rejected: list[Rejected] = []
    for store, name in files:
        if found and found[-1][1].store == store.name:
            rejected.append(_rejected(store, f"records/{name}", "a second file of one record; delete one"))
            continue
        try:
            record = load(store.path / "records" / name, reader.parser)
        except StoreError as error:
            rejected.append(_rejected(store, f"records/{name}", str(error)))
            continue
        small, curve = slim(record, reader.pool)
        found.append((record, Kept(small, store.name, store.badge, curve)))
    found.sort(key=lambda one: _before(one[1]))
    if found and reader.each is not None:
        reader.each(found[0][0])
    contents = [record.model_dump_json() for record, _ in found] if len(found) > 1 else []
    others = [kept for at, (_, kept) in enumerate(found) if at and contents[at] not in contents[:at]]
    return [kept for _, kept in found[:1]], others, rejected


def _before(kept: Kept) -> tuple[int, float, str]:
    """By badge, then the newest first."""
    return _FIRST.index(kept.badge), -_when(kept.record.provenance.created), kept.store


def _place(kept: Kept) -> tuple[str, int, float, str]:
    return kept.record.id, *_before(kept)


def _when(created: str | None) -> float:
    """Seconds since 1970 of an ISO date; what is none is older than all."""
    try:
        found = datetime.fromisoformat(created or "")
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return -math.inf


def _here(todo: Sequence[_Cell], each: Each | None) -> Iterator[_Found]:
    reader = _Reader(each)
    for _, files in todo:
        yield _cell(files, reader)


def _apart(todo: Sequence[_Cell], each: Each | None, workers: int) -> Iterator[_Found]:
    """The same in processes of their own, which start clean: threads of this one are no concern of theirs."""
    pool = Pool()
    main = sys.modules["__main__"]
    context = multiprocessing.get_context("spawn")
    chunks = [todo[at : at + CHUNK] for at in range(0, len(todo), CHUNK)]
    sys.modules["__main__"] = ModuleType("__main__")  # else each process runs the caller's script again
    try:
        with ProcessPoolExecutor(workers, context, _start, (each,)) as executor:
            for content in executor.map(_chunk, chunks):
                yield from unpacked(content, pool)
    except BrokenProcessPool:
        raise StoreError(
            f"one of {workers} processes that read records ended early (out of memory?); read with fewer"
        ) from None
    finally:
        sys.modules["__main__"] = main


_reader: _Reader | None = None  # of a process that reads


def _start(each: Each | None) -> None:
    global _reader
    _reader = _Reader(each)
    gc.disable()  # a record has no cycles; looking for them takes a third of the time


def _chunk(cells: Sequence[_Cell]) -> bytes:
    assert _reader is not None, "this process was not started to read"
    found = [_cell(files, _reader) for _, files in cells]
    gc.collect(0)  # what a rejected file's exceptions left
    content = packed(found)
    _reader.pool.forget()
    return content
