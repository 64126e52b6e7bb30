"""Writing one file of a data folder from the hub or from NLTK's index: whole or not at all, and hashed.

Rows go into a temporary file that is renamed at the end. The weights of a model go into one that outlives the
process, so that a fetch that was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from suite.errors import UserError, one_line
from suite.hub import api as hub
from tasks import catalogue
from tasks.portions import BYTES_PER_TOKEN

INDEX = "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/index.xml"  # as nltk.downloader has it
CHUNK = 32 * 2**20  # bytes of a request for weights
LINE_BYTES = 1.5  # of JSON lines for a byte of the text that is learned: other columns, escapes
RESERVE_BYTES = 16 * 2**20  # for what is held out
CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "*.safetensors")  # the first form that is there
SUFFIXES = (".json", ".jinja", ".txt", ".model", ".tiktoken")
NAMES = (
    *("config.", "generation_config.", "tokenizer", "special_tokens_map."),
    *("vocab.", "merges.", "added_tokens."),
)
ALSO = ("chat_template.", "LICENSE", "LICENCE", "USE_POLICY", "NOTICE", "model.safetensors.index.")


@dataclass(frozen=True)
class Extent:
    """How much of a split is wanted: its first rows, or its first bytes. Both None: all of it."""

    rows: int | None = None
    bytes: int | None = None

    @classmethod
    def of(cls, examples: int | None, tokens: int | None) -> Extent:
        """What holds so many training examples or tokens, and the rows that are held out."""
        if examples is not None:
            return cls(rows=examples + catalogue.RESERVE)
        if tokens is None:
            return cls()
        return cls(bytes=round(tokens * BYTES_PER_TOKEN * LINE_BYTES) + RESERVE_BYTES)

    def met(self, rows: int, size: int) -> bool:
        """Whether so much is enough; never for a extent of everything."""
        enough = self.rows is not None and rows >= self.rows
        return enough or (self.bytes is not None and size >= self.bytes)


@dataclass(frozen=True)
class Written:
    """What became of a file."""

    sha256: str
    bytes: int
    rows: int | None = None
    complete: bool = True


def write_rows(path: Path, rows: Iterable[dict[str, Any]], extent: Extent) -> Written:
    """JSON lines of the rows, as far as the extent asks for."""
    total, size, count, complete = hashlib.sha256(), 0, 0, True
    with whole(path) as stream:
        for row in rows:
            if extent.met(count, size):
                complete = False
                break
            line = _line(row)
            stream.write(line)
            total.update(line)
            size, count = size + len(line), count + 1
    if not count:
        path.unlink()
        raise UserError(f"{path}: the hub's split has no rows")
    return Written(total.hexdigest(), size, count, complete)


def _line(row: dict[str, Any]) -> bytes:
    """A row as JSON; half of a surrogate pair, which some web text holds, stays escaped."""
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(row).encode() + b"\n"


def write_bytes(path: Path, data: bytes) -> Written:
    """A small file."""
    with whole(path) as stream:
        stream.write(data)
    return Written(hashlib.sha256(data).hexdigest(), len(data))


def write_remote(path: Path, file: hub.RemoteFile, moved: hub.Moved) -> Written:
    """A file as the hub has it, going on from what an earlier try left. UserError if its content differs."""
    part = path.with_name(f".{path.name}.{file.repository.commit[:8]}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    total = hashlib.sha256()
    with part.open("a+b") as stream:
        if stream.tell() > file.size:
            stream.truncate(0)
        stream.seek(0)
        while data := stream.read(CHUNK):
            total.update(data)
            moved(len(data))
        place = stream.tell()
        while place < file.size:
            data = hub.content(file, place, min(place + CHUNK, file.size))
            stream.write(data)
            stream.flush()
            total.update(data)
            moved(len(data))
            place += len(data)
        os.fsync(stream.fileno())
    if file.sha256 not in (None, total.hexdigest()):
        part.unlink()
        raise UserError(f"{path}: what came is not what the hub lists (SHA-256 differs); try again")
    part.replace(path)
    return Written(total.hexdigest(), file.size)


@contextmanager
def whole(path: Path) -> Iterator[io.BufferedWriter]:
    """A file that appears when it is complete. What a killed process left of it is overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def model_files(repository: hub.Repository) -> list[hub.RemoteFile]:
    """What of a model's repository is fetched: safetensors, configuration, tokenizer, licence; no pickles."""
    found = hub.files(repository)
    every = [file for file in found if file.path.endswith(".safetensors")]
    weights = next(
        (kept for form in WEIGHTS if (kept := [f for f in every if fnmatchcase(f.path, form)])), []
    )
    others = [
        file
        for file in found
        if file not in every
        and (file.path.startswith(ALSO) or (file.path.startswith(NAMES) and file.path.endswith(SUFFIXES)))
    ]
    for lacking, form in ((not weights, "*.safetensors"), (all(f.path != CONFIG for f in others), CONFIG)):
        if lacking:
            raise UserError(
                f"model {repository.id!r} has no {form} on the hub; expected a transformers model with "
                "safetensors weights"
            )
    return [*others, *weights]


@dataclass(frozen=True)
class Archive:
    """A package of NLTK's index: a zip file with its checksum."""

    id: str
    url: str
    size: int
    sha256: str | None
    md5: str | None

    @cached_property
    def data(self) -> bytes:
        """The zip file. UserError if it is not what the index says."""
        data = hub.download(self.url)
        digests = ((self.sha256, hashlib.sha256), (self.md5, lambda d: hashlib.md5(d, usedforsecurity=False)))
        for listed, digest in digests:
            if listed is not None and digest(data).hexdigest() != listed:
                raise UserError(f"NLTK package {self.id!r}: its checksum differs from the index's; try again")
        return data

    def member(self, name: str) -> bytes:
        """The content of one of its files."""
        try:
            with zipfile.ZipFile(io.BytesIO(self.data)) as file:
                return file.read(name)
        except (zipfile.BadZipFile, KeyError) as error:
            raise UserError(f"NLTK package {self.id!r} cannot be read ({one_line(error, 100)})") from None

    @property
    def revision(self) -> str:
        """What stands for a commit of it."""
        return f"sha256:{self.sha256}" if self.sha256 else f"md5:{self.md5}"


def archive(package: str) -> Archive:
    """A package as NLTK's index lists it; a mirror of the index is named by LORA_SUITE_NLTK_INDEX."""
    url = os.environ.get("LORA_SUITE_NLTK_INDEX") or INDEX
    try:
        entries = ElementTree.fromstring(hub.download(url)).iter("package")
        found = next(entry.attrib for entry in entries if entry.get("id") == package)
        kept = Archive(
            package, found["url"], int(found["size"]), found.get("sha256_checksum"), found.get("checksum")
        )
    except (ElementTree.ParseError, StopIteration, KeyError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"NLTK's index {url} lists no package {package!r} that can be read") from None
    if not (kept.sha256 or kept.md5):
        raise UserError(f"NLTK's index {url} has no checksum of {package!r}")
    return kept
