"""Stores -> a folder of pages that opens from disk or from any web server. Same records in, same bytes out.

Each part of the site writes its own pages from the same `Site`; this file decides nothing but their order.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from leaderboard import manifest
from suite.rejected import Rejected

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Built:
    """Where the front page lies, how many records are shown, and which files were no records.

    `fresh`: nothing had changed since the last build, so nothing was read or written.
    """

    page: Path
    records: int
    rejected: tuple[Rejected, ...]
    fresh: bool = False


def build(
    stores: Sequence[Path | str] | Path | str,
    out: Path | str,
    workers: int | None = None,
    on_progress: Progress = lambda stage, done, total: None,
) -> Built:
    """Write the site of some stores (or folders of stores) into `out`, with `workers` processes reading.

    `on_progress(stage, done, total)` hears how far it is: cells that were read, then parts that were written.

    Raises StoreError where there is no store, none of its files is a record, or `out` cannot be written.
    """
    paths = [Path(stores)] if isinstance(stores, str | Path) else [Path(one) for one in stores]
    out = Path(out)
    if (kept := manifest.fresh(paths, out)) is not None:
        return Built(out / "index.html", kept.records, kept.rejected, fresh=True)
    from suite.store import StoreError

    if out.exists() and not out.is_dir():
        raise StoreError(f"{out} is a file; give a folder for the site")
    if (out / "records").exists() or out.resolve() in [path.resolve() for path in paths]:
        raise StoreError(f"{out} holds records; give another folder for the site, such as {out / 'site'}")
    try:
        return _build(paths, out, workers or os.cpu_count() or 1, on_progress)
    finally:
        gc.unfreeze()


def _build(paths: Sequence[Path], out: Path, workers: int, on_progress: Progress) -> Built:
    from leaderboard import cells, parts, prompts
    from leaderboard.files import Files
    from leaderboard.site import site
    from suite.reading import read, stores
    from suite.store import StoreError

    before = manifest.look(paths)  # before reading: what changes meanwhile makes the next build read again
    reading = read(paths, partial(cells.write_cell, out), workers, partial(on_progress, "reading records"))
    gc.freeze()  # records stay to the end: looking through them again and again takes a quarter of the time
    if not reading.kept:
        told = f": {reading.rejected[0].file}: {reading.rejected[0].reason}" if reading.rejected else ""
        raise StoreError(
            f"no records in {', '.join(map(str, paths))}{told}; make some with: suite run --store {paths[0]}"
        )
    files, whole = Files(out), site(reading)
    for entry in whole.entries:
        files.keep(cells.path(entry.record.id))
    prompts.write(files, whole, [store for path in paths for store in stores(path)])
    for done, write in enumerate(parts.PARTS):
        on_progress("writing pages", done, len(parts.PARTS))
        write(files, whole)
    files.prune(manifest.written(out))
    manifest.write(out, before, files.written, len(whole.entries), whole.rejected)
    return Built(out / "index.html", len(whole.entries), whole.rejected)
