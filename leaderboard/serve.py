"""A built site on this machine's own address, to look at: `suite site --serve`. Not for the open network.

It listens on 127.0.0.1 alone, and answers only requests that were meant for it: a page elsewhere that has its
own name point here (DNS rebinding) names another host. It reads and serves; it lists no folder, follows no
link out of the site's folder, and knows no method but GET and HEAD.
"""

from __future__ import annotations

import shutil
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from typing import Any
from urllib.parse import unquote, urlsplit

from leaderboard.pages import POLICY
from suite.errors import UserError

HOST = "127.0.0.1"
PORT = 8000
FRONT = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".md": "text/markdown; charset=utf-8",
    ".tex": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".yaml": "text/plain; charset=utf-8",
    ".zip": "application/zip",
}
OTHER = "application/octet-stream"
_PATIENCE_S = 30  # for a client that says nothing


def server(folder: Path, port: int = PORT) -> ThreadingHTTPServer:
    """A server of the site in `folder`, which may be built later. It listens; `serve_forever` lets it answer.

    Port 0 takes any that is free. Raises UserError where the port is taken or may not be used.
    """
    try:
        return _Server((HOST, port), partial(_Handler, root=folder.resolve()))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(f"--port {port}: cannot listen there ({why}); give another --port") from None


def url(running: ThreadingHTTPServer) -> str:
    """Where a server's front page is found."""
    return f"http://{HOST}:{running.server_port}/"


def find(root: Path, path: str) -> Path | None:
    """The file of `root` (resolved) that a request's path names; None if there is none that may be served."""
    name = unquote(urlsplit(path).path)
    parts = [part for part in name.split("/") if part]
    if (parts and name.endswith("/")) or any(
        part.startswith(".") or "\\" in part or "\0" in part for part in parts
    ):
        return None
    try:
        file = root.joinpath(*(parts or [FRONT])).resolve()
        return file if file.is_relative_to(root) and file.is_file() else None
    except (OSError, ValueError, RuntimeError):  # a name too long, or a link that leads to itself
        return None


class _Server(ThreadingHTTPServer):
    """Threads end with the command; a client that hangs up is no news."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """A browser that stopped loading a page broke the pipe: nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    """Answers with files of `root`."""

    server_version = "suite"
    sys_version = ""
    timeout = _PATIENCE_S

    def __init__(self, *args: Any, root: Path) -> None:
        self.root = root
        super().__init__(*args)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        if not self._meant_for_us():
            return self.send_error(HTTPStatus.MISDIRECTED_REQUEST, f"this is {HOST} and no other host")
        led = self.headers.get("Sec-Fetch-Mode") == "navigate"  # a link that was followed; frames are refused
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and not led:
            return self.send_error(HTTPStatus.FORBIDDEN, "asked for by another site")
        file = find(self.root, self.path)
        if file is None:
            return self.send_error(HTTPStatus.NOT_FOUND, "no such file")
        try:
            stream = file.open("rb")
        except OSError:
            return self.send_error(HTTPStatus.NOT_FOUND, "no such file")
        with stream:
            self._head(HTTPStatus.OK, TYPES.get(file.suffix, OTHER), file.stat().st_size)
            if body:
                shutil.copyfileobj(stream, self.wfile)

    def _meant_for_us(self) -> bool:
        port = getattr(self.server, "server_port", None)
        return self.headers.get_all("Host") in ([f"{HOST}:{port}"], [f"localhost:{port}"])

    def _head(self, status: HTTPStatus, kind: str, size: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        # data are scripts, which a page of any other site could load
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """One line of plain text that repeats nothing of the request."""
        status = HTTPStatus(code)
        text = f"{status.value} {status.phrase}\n".encode()
        self._head(status, TYPES[".txt"], len(text))
        if getattr(self, "command", None) != "HEAD":
            self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: what a browser asks for is on its own network tab."""
