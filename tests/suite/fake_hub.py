"""A hub on this machine: repositories of tiny made-up files, behind what fetching uses of the hub's API."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow
import pyarrow.parquet
import pytest
from rich.console import Console

from suite.hub import fetch
from suite.hub import progress as fetch_progress
from suite.hub.files import Extent
from suite.hub.manifest import Manifest
from tasks import catalogue
from tasks.catalogue import Source

NEWEST = "a" * 40
PUNKT = {name: f"{name} of the fake".encode() for name in catalogue.PUNKT_FILES}


@dataclass
class FakeRepository:
    """What one repository holds at its commit."""

    commit: str = NEWEST
    files: dict[str, bytes] = field(default_factory=dict)
    gated: bool = False
    licence: str = "mit"


class FakeHub(ThreadingHTTPServer):
    """Repositories by ('datasets' or 'models', id); `asked` lists what came, as (path, Range)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[tuple[str, str], FakeRepository] = {}
        self.pages: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.sent = 0
        self.delay_s = 0.0
        self.wrong: set[str] = set()
        self.knows_ranges = True

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def data_set(self, name: str) -> FakeRepository:
        """A data set's repository, at the commit that the catalogue pins."""
        new = FakeRepository(catalogue.PINS.get(name) or NEWEST)
        return self.repositories.setdefault(("datasets", name), new)

    def model(self, name: str, files: dict[str, bytes]) -> FakeRepository:
        """A model's repository."""
        return self.repositories.setdefault(
            ("models", name), FakeRepository(files=files, licence="apache-2.0")
        )

    def put(
        self, file: str, count: int = 5, rows: list[dict[str, Any]] | None = None
    ) -> list[dict[str, Any]]:
        """Rows (made up if none are given) of a file of the catalogue, in the hub's form; returns them."""
        source = catalogue.find(file)
        assert isinstance(source, Source)
        rows = made_up(source, count) if rows is None else rows
        path = source.pattern.replace("*", "00000-of-00001")
        self.data_set(source.dataset).files[path] = encoded(path, [{**row, "extra": "x"} for row in rows])
        return rows

    def put_punkt(self) -> None:
        """NLTK's index, and its package of sentence splitters."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, content in PUNKT.items():
                archive.writestr(f"punkt_tab/english/{name}", content)
        self.pages["/punkt_tab.zip"] = data = packed.getvalue()
        self.pages["/index.xml"] = (
            f'<nltk_data><packages><package id="punkt_tab" size="{len(data)}" '
            f'url="{self.url}/punkt_tab.zip" checksum="{hashlib.md5(data).hexdigest()}" '
            f'sha256_checksum="{hashlib.sha256(data).hexdigest()}"/>'
            "</packages></nltk_data>"
        ).encode()


def made_up(source: Source, count: int) -> list[dict[str, Any]]:
    """Rows with a source's columns; those that hold lists and objects on the hub do so here."""
    special = {
        "messages": lambda i: [
            {"role": "user", "content": f"q{i}"},
            {"role": "assistant", "content": f"a{i}"},
        ],
        "choices": lambda i: {"text": [f"x{i}", "y"], "label": ["A", "B"]},
        "kwargs": lambda i: [{"num_words": i}, {}],
        "endings": lambda i: [f"e{i}", "f", "g", "h"],
        "test_list": lambda i: [f"assert f() == {i}"],
        "task_id": lambda i: i,
    }
    return [
        {column: special.get(column, lambda i, c=column: f"{c} {i} é\n[{{")(i) for column in source.columns}
        for i in range(count)
    ]


def encoded(path: str, rows: list[dict[str, Any]]) -> bytes:
    """Rows as the kind of file that a path names."""
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if path.endswith(".parquet"):
        sink = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink, row_group_size=100)
        return sink.getvalue()
    if path.endswith(".gz"):
        return gzip.compress(lines)
    return lines if path.endswith(".jsonl") else json.dumps(rows, indent=2).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeHub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((path, self.headers.get("Range")))
        if path in self.server.pages:
            return self._answer(self.server.pages[path])
        kind, name, action, rest = _parsed(path)
        repository = self.server.repositories.get((kind, name))
        if repository is None:
            return self._refuse(401, "RepoNotFound")
        revision, _, file = rest.partition("/")
        if action in ("revision", "tree", "resolve") and revision not in (repository.commit, "main"):
            return self._refuse(404, "RevisionNotFound")
        if action == "tree":
            return self._answer(json.dumps(_listed(repository, file)).encode())
        if action == "resolve":
            return self._file(repository, file)
        told = {
            "id": name,
            "sha": repository.commit,
            "cardData": {"license": repository.licence},
            "siblings": [],
        }
        return self._answer(json.dumps(told).encode())

    def _file(self, repository: FakeRepository, file: str) -> None:
        if repository.gated:
            return self._refuse(403, "GatedRepo")
        if file not in repository.files:
            return self._refuse(404, "EntryNotFound")
        data = repository.files[file]
        if file in self.server.wrong:
            data = bytes(len(data))
        time.sleep(self.server.delay_s)
        if self.server.knows_ranges and (asked := self.headers.get("Range")):
            start, end = (int(part) for part in asked.removeprefix("bytes=").split("-"))
            return self._answer(data[start : end + 1], 206)
        return self._answer(data)

    def _answer(self, data: bytes, status: int = 200) -> None:
        self.server.sent += len(data)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quietly."""


def _parsed(path: str) -> tuple[str, str, str, str]:
    """(datasets or models, id, action, what follows) of a path such as /datasets/o/n/resolve/main/a.json."""
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        parts = parts[1:]
    elif parts[0] != "datasets":
        parts = ["models", *parts]
    action, rest = (parts[3], "/".join(parts[4:])) if len(parts) > 3 else ("", "")
    return parts[0], "/".join(parts[1:3]), action, rest


def _listed(repository: FakeRepository, folder: str) -> list[dict[str, Any]]:
    found = []
    for path, data in repository.files.items():
        if path.rpartition("/")[0] == folder:
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": "0" * 40}
            if path.endswith((".safetensors", ".parquet")):
                entry["lfs"] = {
                    "oid": hashlib.sha256(data).hexdigest(),
                    "size": len(data),
                    "pointerSize": 130,
                }
            found.append(entry)
    return found


@contextmanager
def running() -> Iterator[FakeHub]:
    """A hub that answers until the end of the block."""
    with FakeHub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A hub that this process and its children take for the real one."""
    with running() as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.setenv("LORA_SUITE_NLTK_INDEX", f"{fake.url}/index.xml")
        yield fake


class Told(fetch_progress.Lines):
    """A display that keeps what it was told."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.lines: list[str] = []
        self.bytes = 0

    def say(self, line: str) -> None:
        self.lines.append(line)

    def moved(self, count: int) -> None:
        self.bytes += count


def fetched(
    folder: Path, *files: str, wanted: Mapping[str, Extent] | None = None, model: str | None = None
) -> tuple[Manifest, list[str]]:
    told = Told()
    with told:
        return fetch.fetch(folder, files, wanted or {}, model, told), told.lines


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
