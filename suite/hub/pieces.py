"""What a fetch has to do: which files are there and as they were, which are to come, and from where.

What a folder holds is never overwritten silently: a file that no manifest knows, or of another revision, is
refused; one that is damaged, gone or too short is fetched again, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from suite.errors import UserError
from suite.hub import api as hub
from suite.hub import files as fetching
from suite.hub import manifest
from suite.hub import rows as hub_rows
from suite.hub.files import Extent, Written
from suite.hub.manifest import File, Manifest
from tasks import catalogue


@dataclass(frozen=True)
class Piece:
    """A file to write: how, how many bytes will come (None: not known), and what the manifest says of it."""

    file: str
    size: int | None
    entry: File
    write: Callable[[Path, hub.Moved], Written]


@dataclass
class Plan:
    """What is to be done in a folder."""

    pieces: list[Piece] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    model: tuple[str, manifest.Model] | None = None


def planned(
    folder: Path, now: Manifest, files: Sequence[str], wanted: Mapping[str, Extent], model: str | None
) -> Plan:
    """What makes a folder hold these files, as far as `wanted` says (if not: all of a file), and a model.

    Sizes are asked of the hub, where something is to come; nothing is written.
    """
    plan = Plan()
    repositories: dict[str, hub.Repository] = {}
    archives: dict[str, fetching.Archive] = {}
    for file in files:
        source = catalogue.find(file)
        if isinstance(source, catalogue.Source):
            extent = Extent(rows=source.rows) if source.rows else wanted.get(file, Extent())
            revision = source.revision or _revision(now, source.dataset)
            if not _is_there(folder, file, now, extent, plan, revision):
                if source.dataset not in repositories:
                    repositories[source.dataset] = hub.resolve("dataset", source.dataset, revision)
                plan.pieces.append(_rows_piece(file, source, extent, repositories[source.dataset]))
        elif not _is_there(folder, file, now, Extent(), plan, None):
            plan.pieces.append(_package_piece(file, source, archives))
    if model is not None:
        _plan_model(folder, now, model, plan)
    return plan


def _is_there(
    folder: Path, file: str, now: Manifest, extent: Extent, plan: Plan, revision: str | None
) -> bool:
    """Whether a file need not be fetched. UserError where it would overwrite what it does not know."""
    path, entry = folder / file, now.files.get(file)
    if entry is None:
        if path.exists():
            raise UserError(
                f"{path} is in no {manifest.NAME} and would be overwritten; fetch into another folder, or "
                "move it away"
            )
        return False
    if revision is not None and entry.revision != revision:
        raise UserError(
            f"{path} is {entry.source} at {entry.revision[:12]}, and {revision[:12]} is asked for; "
            "fetch into another folder"
        )
    if not path.is_file():
        plan.notes.append(f"{file} is gone and is fetched again")
    elif manifest.sha256(path) != entry.sha256:
        plan.notes.append(f"{file} is not what was fetched (SHA-256 differs) and is fetched again")
    elif not (entry.complete or extent.met(entry.rows or 0, entry.bytes)):
        plan.notes.append(f"{file} has {entry.rows} rows, too few; it is fetched again, with more")
    else:
        plan.kept.append(file)
        return True
    return False


def _rows_piece(file: str, source: catalogue.Source, extent: Extent, repository: hub.Repository) -> Piece:
    parts = hub_rows.matching(repository, source.pattern)

    def write(path: Path, moved: hub.Moved) -> Written:
        return fetching.write_rows(path, hub_rows.rows(parts, source.columns, moved), extent)

    entry = _entry(source.dataset, repository.commit, source.licence).model_copy(
        update={"config": source.config, "split": source.split, "columns": list(source.columns)}
    )
    return Piece(file, sum(p.size for p in parts) if extent == Extent() else None, entry, write)


def _package_piece(file: str, source: catalogue.Package, archives: dict[str, fetching.Archive]) -> Piece:
    come = 0
    if source.package not in archives:
        archives[source.package] = fetching.archive(source.package)
        come = archives[source.package].size
    found = archives[source.package]

    def write(path: Path, moved: hub.Moved) -> Written:
        content = found.member(source.member)
        moved(come)
        return fetching.write_bytes(path, content)

    return Piece(file, come, _entry(f"nltk:{source.package}", found.revision, source.licence), write)


def _plan_model(folder: Path, now: Manifest, model: str, plan: Plan) -> None:
    name, _, revision = model.partition("@")
    place = "models/" + name.replace("/", "--")
    known = now.models.get(name)
    if known is not None and known.revision.startswith(revision):
        mine = [file for file in now.files if file.startswith(f"{known.folder}/")]
        again = Plan()
        if all(_is_there(folder, file, now, Extent(), again, known.revision) for file in mine):
            plan.kept += mine
            return
    repository = hub.resolve("model", name, revision or _revision(now, name))
    for remote in fetching.model_files(repository):
        file = f"{place}/{remote.path}"
        if not _is_there(folder, file, now, Extent(), plan, repository.commit):
            entry = _entry(name, repository.commit, repository.licence)
            plan.pieces.append(Piece(file, remote.size, entry, partial(_write_remote, remote)))
    plan.model = (name, manifest.Model(folder=place, revision=repository.commit, licence=repository.licence))


def _write_remote(remote: hub.RemoteFile, path: Path, moved: hub.Moved) -> Written:
    return fetching.write_remote(path, remote, moved)


def _entry(source: str, revision: str, licence: str | None) -> File:
    """What a manifest says of a file before its content is known."""
    today = datetime.now(UTC).date().isoformat()
    return File(sha256="0" * 64, bytes=0, source=source, revision=revision, licence=licence, fetched=today)


def _revision(now: Manifest, source: str) -> str | None:
    """The commit at which something of a repository was fetched before."""
    return next((entry.revision for entry in now.files.values() if entry.source == source), None)
