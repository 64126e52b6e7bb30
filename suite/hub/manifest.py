"""`manifest.json` of a data folder: what `suite fetch` put there, from where, its licence and its SHA-256.

    {"schema_version": 1, "suite": "0.1.0",
     "files": {"gsm8k/train.jsonl": {"sha256": "...", "bytes": 4161937, "rows": 7473, ...}},
     "models": {"Qwen/Qwen3-0.6B-Base": {"folder": "models/Qwen--Qwen3-0.6B-Base", "revision": "...", ...}}}

A manifest may come from anywhere: a path in it that leaves the folder is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from suite.errors import UserError
from suite.store import write_whole

NAME = "manifest.json"
VERSION = 1


def _inside(path: str) -> str:
    """A path that stays below its folder: parts with '/' between them, none '.', '..' or empty."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(c in path for c in "\\:\0"):
        raise ValueError(f"{path!r} is no path inside the folder")
    return path


Inside = Annotated[str, AfterValidator(_inside)]
Count = Annotated[int, Field(ge=0)]
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """A frozen part of a manifest; an unknown key or a value of another type is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class File(Strict):
    """One file: its content, and where it is from.

    `source` is a hub id (or a package of NLTK's index), `revision` its commit; `complete` is False where only
    the first rows of a split were taken.
    """

    sha256: Hex
    bytes: Count
    rows: Count | None = None
    complete: bool = True
    source: str
    config: str | None = None
    split: str | None = None
    revision: str
    licence: str | None = None
    columns: list[str] | None = None
    fetched: str = Field(description="date, UTC")


class Model(Strict):
    """A model that is there as a whole."""

    folder: Inside
    revision: str
    licence: str | None = None


class Manifest(Strict):
    """Everything in a folder that `suite fetch` made."""

    schema_version: Literal[1] = VERSION
    suite: str = Field(description="version of the suite that wrote it last")
    files: dict[Inside, File] = {}
    models: dict[str, Model] = {}

    @model_validator(mode="after")
    def _models_have_files(self) -> Manifest:
        for name, model in self.models.items():
            if not any(file.startswith(f"{model.folder}/") for file in self.files):
                raise ValueError(f"model {name!r} has no files below {model.folder!r}")
        return self


def read(folder: Path) -> Manifest | None:
    """The manifest of a folder; None if there is none. UserError if it is damaged or of another version."""
    place = folder / NAME
    try:
        return Manifest.model_validate_json(place.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{place}: cannot be read ({error.strerror or error})") from None
    except ValidationError as error:
        raise UserError(f"{place}: {_fault(error)}; fetch into a new folder") from None


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, whole or not at all."""
    content = manifest.model_dump(mode="json", exclude_none=True)
    content["files"] = dict(sorted(content["files"].items()))
    write_whole(folder / NAME, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def verify(folder: Path, files: Iterable[str]) -> dict[str, str]:
    """{file: SHA-256} of files that are what the manifest says; {} for a folder without a manifest.

    UserError naming the first file that differs, is missing, or is not in the manifest.
    """
    manifest = read(folder)
    if manifest is None:
        return {}
    return {file: _verified(folder, file, manifest) for file in files}


def model_names(folder: Path) -> list[str]:
    """The hub ids of the models that were fetched into a folder."""
    manifest = read(folder)
    return [] if manifest is None else sorted(manifest.models)


def model_folder(folder: Path, name: str) -> Path | None:
    """The folder of a fetched model by its hub id (owner/name, or owner/name@revision); None if not there.

    Its files are checked as by `verify`.
    """
    manifest = read(folder)
    wanted, _, revision = name.partition("@")
    if manifest is None or (model := manifest.models.get(wanted)) is None:
        return None
    if revision and not model.revision.startswith(revision):
        raise UserError(
            f"model {name!r}: {str(folder)!r} holds it at {model.revision}; leave @{revision} out, or fetch "
            "that revision into another folder"
        )
    for file in manifest.files:
        if file.startswith(f"{model.folder}/"):
            _verified(folder, file, manifest)
    return folder / model.folder


def sha256(path: Path) -> str:
    """Of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verified(folder: Path, file: str, manifest: Manifest) -> str:
    entry = manifest.files.get(file)
    if entry is None:
        raise UserError(f"{folder / file} is not in {folder / NAME}; fetch it there with suite fetch --to")
    try:
        found = sha256(folder / file)
    except OSError as error:
        raise UserError(
            f"{folder / file}: {error.strerror or error}, though {NAME} lists it; fetch again"
        ) from None
    if found != entry.sha256:
        raise UserError(
            f"{folder / file} is not what was fetched (its SHA-256 is {found[:12]}, {NAME} says "
            f"{entry.sha256[:12]}); fetch again"
        )
    return found


def _fault(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    if first["loc"] == ("schema_version",):
        return f"a manifest of version {first['input']!r}, this suite reads {VERSION}"
    place = ".".join(str(part) for part in first["loc"])
    return " ".join(f"{place}: {first['msg']}".split())
