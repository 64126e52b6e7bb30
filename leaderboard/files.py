"""The files of a site: written only where their bytes changed; data as scripts that a page on disk can load.

A page that was opened from disk may not fetch, so data come as classic scripts that hand one JSON text over:

    data/<key>.js      suiteData("<key>","<JSON as a JavaScript string>");
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from suite.store import StoreError

_TOLD = re.compile(r"(^|-)[0-9a-f]{16}$")
_LONGEST = 60  # characters of a slug
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_PART = f"part {secrets.token_hex(16)}"  # stands for a part while the rest is written; no record can know it
_CALL = b"suiteData("
_OURS = {"data": re.compile(r".+\.js"), "charts": re.compile(r".+-[0-9a-f]{16}\.(json|csv|svg)")}
_HALF = re.compile(r"\..+\.\d+\.tmp")
_STOPPED_S = 600  # a write takes milliseconds: an older part of a file belongs to a process that is gone
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")


class Files:
    """Writes into one folder and remembers what belongs to this build. Paths are relative, with '/'."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.written: set[str] = set()

    def text(self, path: str, text: str) -> None:
        """Write a text as UTF-8."""
        self.bytes(path, text.encode("utf-8", "replace"))

    def data(self, key: str, value: Any) -> None:
        """Write a JSON value as `data/<key>.js`."""
        self.text(data_path(key), as_script(key, value))

    def json(self, path: str, value: Any) -> None:
        """Write a JSON value as a plain file, for people and programs."""
        self.text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")

    def bytes(self, path: str, content: bytes) -> None:
        """Write a file, unless it is there with the same bytes."""
        put(self.out, path, content)
        self.written.add(path)

    def keep(self, path: str) -> None:
        """A file that another process wrote belongs to this build."""
        self.written.add(path)

    def prune(self, old: Iterable[str]) -> None:
        """Remove what is not of this build: what the last one listed, and data of one that was stopped."""
        try:
            for path in {*old, *self._left()} - self.written:
                if _KEY.fullmatch(path):
                    (self.out / path).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{error.filename}: cannot be removed ({error.strerror or error})") from None

    def _left(self) -> Iterator[str]:
        """Data, pictures and half-written files that look like ours, whoever left them."""
        for folder, kinds in _OURS.items():
            for file in (self.out / folder).rglob("*"):
                path = file.relative_to(self.out).as_posix()
                if path in self.written or not file.is_file():
                    continue
                if _HALF.fullmatch(file.name) and time.time() - file.lstat().st_mtime > _STOPPED_S:
                    file.unlink(missing_ok=True)
                elif kinds.fullmatch(file.name) and (folder != "data" or _hands_over(file)):
                    yield path


def _hands_over(file: Path) -> bool:
    """Whether a script is a data file: OUT may hold scripts of somebody else."""
    with file.open("rb") as opened:
        return opened.read(len(_CALL)) == _CALL


def put(out: Path, path: str, content: bytes) -> None:
    """Write one file below `out`, whole or not at all, unless it has these bytes. Else StoreError."""
    assert _KEY.fullmatch(path), f"{path!r} is no path of a site"
    folder, _, name = f"{out}/{path}".rpartition("/")
    file, beside = f"{folder}/{name}", f"{folder}/.{name}.{os.getpid()}.tmp"
    try:
        if _size(file) == len(content) and Path(file).read_bytes() == content:
            return
        try:
            handle = os.open(beside, _NEW, 0o666)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            handle = os.open(beside, _NEW, 0o666)
        with open(handle, "wb") as stream:
            stream.write(content)
        os.replace(beside, file)
    except OSError as error:
        raise StoreError(f"{file}: cannot be written ({error.strerror or error})") from None


def _size(file: str) -> int | None:
    """How long a file is; None where there is none."""
    try:
        seen = os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return seen.st_size if stat.S_ISREG(seen.st_mode) else None


def data_path(key: str) -> str:
    """Where the data of a key lie."""
    return f"data/{key}.js"


@dataclass(frozen=True)
class Json:
    """A part of a JSON value that is JSON already: ASCII, without control characters."""

    text: str


def as_json(value: Any) -> str:
    """A JSON value, with parts that are `Json`, as JSON without spaces."""
    parts: list[str] = []

    def part(one: object) -> str:
        if not isinstance(one, Json):
            raise TypeError(f"{type(one).__name__} is no JSON value")
        parts.append(one.text)
        return _PART

    text = json.dumps(value, separators=(",", ":"), allow_nan=False, default=part)
    if not parts:
        return text
    first, *others = text.split(f'"{_PART}"')
    return first + "".join([one for both in zip(parts, others, strict=True) for one in both])


def as_script(key: str, value: Any) -> str:
    """A JSON value as a script that holds nothing but one string: no text in it can end that string."""
    text = as_json(value)  # ASCII without control characters, so there is little to escape
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("<", "\\u003c")
    return f'suiteData({json.dumps(key)},"{quoted}");\n'


@lru_cache(maxsize=4096)
def slug(text: str) -> str:
    """A name for a file, a link or a key: lower-case letters, digits, '-'. Other texts have other names.

    What it had to change is told apart by 16 hex digits of the text's SHA-256.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST]
    if plain and plain == text and not _TOLD.search(plain):  # which other texts end in
        return plain
    told = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{plain.strip('-')}-{told}".strip("-")


def variant_page(name: str) -> str:
    """The page of a variant, by its name."""
    return f"variant-{slug(name)}.html"


def finite(value: Any) -> Any:
    """A JSON value without NaN and infinity, which JSON has no word for: they are absent."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
