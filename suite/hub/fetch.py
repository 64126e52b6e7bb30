"""`suite fetch`: everything that a run reads, from the hub into one folder, with a manifest of what it is.

The folder then needs no network: `suite run --offline --data DIR`. A run without --data fetches the same way
into the user's cache. What is there already is not fetched again; a fetch that was stopped goes on.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from suite.errors import UserError
from suite.hub import manifest
from suite.hub.files import Extent
from suite.hub.manifest import File, Manifest
from suite.hub.pieces import Piece, planned
from suite.hub.progress import Display, size
from tasks import catalogue

if TYPE_CHECKING:
    from suite.places import Spec
    from suite.request import Request
    from suite.track import Track

DEFAULT_TRACK = "open"
SLACK = 64 * 2**20  # bytes that a disk keeps free


def command(request: Request, to: Path) -> None:
    """Fetch what `suite run` with the same flags reads, and say what is there. UserError on any trouble.

    A model that ships with the suite, or is a folder already, stays where it is.
    """
    from rich.console import Console

    from suite import model
    from suite import track as tracks
    from suite.hub import progress as fetch_progress
    from suite.places import needed, specs_of

    to = to.expanduser()
    track = tracks.load(request.track or DEFAULT_TRACK)
    if not track.needs_data:
        raise UserError(
            f"track {track.name!r} runs on the embedded world and needs nothing; use --track open"
        )
    specs = specs_of(request, track)
    name = track.base if request.model is None else request.model
    local = name in model.SHIPPED or Path(name).expanduser().is_dir()
    if not local and name.partition("@")[0].count("/") != 1:
        raise UserError(
            f"no model {name!r}; expected {', '.join(model.SHIPPED)}, a folder, or a hub id owner/name"
        )
    console = Console(stderr=True)
    with fetch_progress.display(console) as shown:
        if local:
            shown.say(f"model {name!r} is on this machine already and is not fetched")
        found = fetch(
            to, needed(track, specs), extents(track, specs, request), None if local else name, shown
        )
    total = sum(entry.bytes for entry in found.files.values())
    told = f"{len(found.files)} files, {size(total)}; run offline with: suite run --offline"
    Console().print(
        f"{to}: {told} --track {track.name} --model {name} --data {to}", soft_wrap=True, markup=False
    )


def cached_folder(files: Iterable[str], wanted: Mapping[str, Extent] | None = None) -> Path:
    """A folder in the user's cache that has these files; what is missing is fetched first."""
    from rich.console import Console

    from suite.hub import progress as fetch_progress

    folder = cache()
    with fetch_progress.display(Console(stderr=True)) as shown:
        fetch(folder, files, wanted or {}, None, shown, wait=True)
    return folder


def cache() -> Path:
    """Where data from the hub are kept: in HF_HOME, XDG_CACHE_HOME or ~/.cache, by this version's pins."""
    pins = hashlib.sha256(repr(sorted(catalogue.FILES.items())).encode() + repr(catalogue.PINS).encode())
    home = os.environ.get("HF_HOME") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "lora-suite" / f"data-{pins.hexdigest()[:8]}"


def extents(track: Track, specs: Sequence[Spec], request: Request) -> dict[str, Extent]:
    """How far the large training sets are read: as far as the recipes' budgets of examples or tokens go."""
    from tasks import registry

    found: dict[str, Extent] = {}
    for spec in specs:
        part = track.part(*spec)
        recipe = track.recipe_for(*spec, **request.recipe())
        extent = Extent.of(recipe.examples, recipe.tokens)
        for file in registry.files(*spec, part and part.evaluations):
            source = catalogue.find(file)
            if isinstance(source, catalogue.Source) and source.large:
                found[file] = extent
    return found


def fetch(
    folder: Path,
    files: Iterable[str],
    wanted: Mapping[str, Extent],
    model: str | None,
    shown: Display,
    wait: bool = False,
) -> Manifest:
    """Make `folder` hold these files (and a model by its hub id), and return its manifest.

    A file is written to the manifest as soon as it is there. Raises UserError in one line: no network, a
    gated data set, a full disk, a folder that holds something else.
    """
    with _writing(folder, wait):
        now = manifest.read(folder) or Manifest(suite=_version())
        plan = planned(folder, now, tuple(dict.fromkeys(files)), wanted, model)
        _check_space(folder, plan.pieces)
        shown.start([piece.size for piece in plan.pieces])
        for note in plan.notes:
            shown.say(note)
        if plan.kept and plan.pieces:
            shown.say(f"{len(plan.kept)} files are there already")
        for piece in plan.pieces:
            shown.file(piece.file, piece.size)
            written = piece.write(folder / piece.file, shown.moved)
            entry = piece.entry.model_copy(update=vars(written))
            now = now.model_copy(update={"suite": _version(), "files": {**now.files, piece.file: entry}})
            manifest.write(folder, now)
            shown.done(_told(piece.file, entry))
        if plan.model is not None and now.models.get(plan.model[0]) != plan.model[1]:
            now = now.model_copy(update={"models": {**now.models, plan.model[0]: plan.model[1]}})
            manifest.write(folder, now)
        return now


def _told(file: str, entry: File) -> str:
    rows = "" if entry.rows is None else f"{'' if entry.complete else 'the first '}{entry.rows} rows, "
    return f"{file}: {rows}{size(entry.bytes)}, {entry.source} at {entry.revision[:12]}, {entry.licence}"


def _check_space(folder: Path, pieces: Sequence[Piece]) -> None:
    """Refuse before fetching what cannot fit; JSON lines are up to some four times as large as parquet."""
    least = sum(piece.size or 0 for piece in pieces)
    if (free := shutil.disk_usage(folder).free) < least + SLACK:
        raise UserError(
            f"{folder}: {size(least)} are to come and {size(free)} are free; give a folder on a larger disk"
        )


@contextmanager
def _writing(folder: Path, wait: bool) -> Iterator[None]:
    """The folder, made if need be, locked against another fetch; trouble with the disk as one line."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
        finally:
            os.close(handle)
    except BlockingIOError:
        raise UserError(f"{folder}: another suite fetch is writing there; wait for it") from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full; make room, then the same command goes on" if full else error.strerror
        raise UserError(f"{folder}: cannot be written ({why or error})") from None


def _version() -> str:
    try:
        return version("lora-suite")
    except PackageNotFoundError:
        return "unknown"
