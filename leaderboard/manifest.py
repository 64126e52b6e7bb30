"""What a site was built from and what was written, so that an unchanged store is not read again.

`OUT/.cache.json` holds one digest over all that decides the site's bytes, the names that were written and a
digest over their sizes and times. It is of one machine (times of files), so it is the one file of a site that
two builds of the same records do not share; it may be deleted, and then the next build reads everything.

A file counts as unchanged by its size and its times of writing and of change, as make and git have it; a copy
of a store, or a fresh checkout, is read again. Nothing here imports what reads records.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from suite.described import GROUP, SWITCH
from suite.rejected import Rejected

CACHE = ".cache.json"
VERSION = 1
_ROOT = Path(__file__).parent.parent
_CODE = ("leaderboard", "suite", "variants")
_DATA = {"published", "__pycache__"}  # folders of the code that are no code
_LIBRARIES = (
    *("altair", "huggingface-hub", "jinja2", "markupsafe", "numpy", "pydantic", "pydantic-core", "pyyaml"),
    *("scipy", "vl-convert-python"),
)
_STORED = {"records", "prompts", "base"}  # folders of a store: no site, whatever lies in them
_DEEPEST = 4  # levels below a path: folders of stores, a store, its records


@dataclass(frozen=True)
class Fresh:
    """An earlier build that still stands: how many records it shows and which files were none."""

    records: int
    rejected: tuple[Rejected, ...]


def fresh(paths: Sequence[Path | str], out: Path | str) -> Fresh | None:
    """The build in `out` if it is of these paths as they are now, by this code, and is whole; else None."""
    known = _cache(Path(out))
    try:
        if known["inputs"] != look(paths) or known["outputs"] != _outputs(Path(out), known["files"]):
            return None
        return Fresh(known["records"], tuple(Rejected(*one) for one in known["rejected"]))
    except (KeyError, TypeError):
        return None


def look(paths: Sequence[Path | str]) -> str:
    """A digest over everything that a site of these paths is made of. To be taken before they are read."""
    lines: list[object] = [VERSION, sys.version, *_libraries(), *_code()]
    for path in paths:
        lines += [str(Path(path).resolve()), *sorted(_files(str(path), _DEEPEST))]
    return _digest(lines)


def written(out: Path | str) -> tuple[str, ...]:
    """The files that the last build into `out` wrote, as paths in it; none where that is not known."""
    files = _cache(Path(out)).get("files")
    return tuple(str(one) for one in files) if isinstance(files, list) else ()


def write(
    out: Path | str, before: str, files: Iterable[str], records: int, rejected: Iterable[Rejected]
) -> None:
    """Remember a build: what `look` said before it began, the files it wrote, and what it told."""
    names = sorted(files)
    content = {
        "inputs": before,
        "outputs": _outputs(Path(out), names),
        "records": records,
        "rejected": [[one.file, one.reason] for one in rejected],
        "files": names,
    }
    file = Path(out) / CACHE
    beside = file.with_name(f"{CACHE}.{os.getpid()}.tmp")
    beside.write_text(json.dumps(content, indent=0) + "\n", encoding="utf-8")
    beside.replace(file)


def _cache(out: Path) -> dict[str, Any]:
    try:
        found = json.loads((out / CACHE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _libraries() -> Iterator[str]:
    for name in _LIBRARIES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"no {name}"
    yield f"plugins {os.environ.get(SWITCH)}"  # what pages say of a variant is read from its source
    for one in sorted(metadata.entry_points(group=GROUP)):
        yield f"{one.name} {one.value} {one.dist and one.dist.version}"


def _code() -> Iterator[str]:
    """The content of our programs, templates, styles and scripts: a checkout may set any time."""
    for room in _CODE:
        for folder, inner, names in os.walk(_ROOT / room):
            inner[:] = sorted(set(inner) - _DATA)
            for name in sorted(names):
                file = Path(folder, name)
                yield f"{file.relative_to(_ROOT)} {sha256(file.read_bytes()).hexdigest()}"


def _files(path: str, levels: int) -> Iterator[tuple[object, ...]]:
    """What is known of all files below a path without opening them; nothing of hidden ones and of sites."""
    try:
        with os.scandir(path) as found:
            inner = [one for one in found if not one.name.startswith(".")]
        own = os.path.basename(path) in _STORED or any(one.name == "records" for one in inner)
        if not own and levels < _DEEPEST and os.path.lexists(os.path.join(path, CACHE)):
            return
        for one in inner:
            if one.is_dir(follow_symlinks=False):
                if levels > 1:
                    yield from _files(one.path, levels - 1)
            else:
                yield os.fsencode(one.path), *_stamp(one.path)
    except OSError as error:
        yield os.fsencode(path), error.errno


def _outputs(out: Path, names: Iterable[str]) -> str:
    return _digest([(name, *_stamp(os.path.join(out, name))) for name in names])


def _stamp(path: str) -> tuple[int | None, ...]:
    """Size and times of a file, of a link's target; the number of the error where there is none."""
    try:
        seen = os.stat(path)
    except (OSError, ValueError) as error:
        return (getattr(error, "errno", None),)
    return seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino


def _digest(lines: Iterable[object]) -> str:
    return sha256("\n".join(map(repr, lines)).encode()).hexdigest()
