"""`suite site --serve`: this machine alone, files of the folder alone, the headers of the pages."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leaderboard.pages import POLICY
from leaderboard.serve import server, url
from suite.cli import app
from suite.errors import UserError
from tests.example_records.make import FOLDER

ROOT = Path(__file__).parents[2]
FILES = {
    "index.html": "text/html; charset=utf-8",
    "static/site.css": "text/css; charset=utf-8",
    "static/core.js": "text/javascript; charset=utf-8",
    "data.json": "application/json",
    "charts/a.csv": "text/csv; charset=utf-8",
    "charts/a.svg": "image/svg+xml",
    "exports/eee.zip": "application/zip",
    "odd.xyz": "application/octet-stream",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site with something of every type, hidden files, and links that lead out of it."""
    site = tmp_path / "site"
    for name in FILES:
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(f"this is {name}")
    (site / ".hidden").write_text("hidden")
    (site / ".git").mkdir()
    (site / ".git" / "config").write_text("hidden")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "site-too").mkdir()
    (tmp_path / "site-too" / "secret.txt").write_text("secret")
    (site / "link.txt").symlink_to(tmp_path / "secret.txt")
    (site / "out").symlink_to(tmp_path)
    (site / "loop").symlink_to(site / "loop")
    (site / "again.html").symlink_to(site / "index.html")
    return site


@pytest.fixture
def running(folder: Path) -> Iterator[ThreadingHTTPServer]:
    with server(folder, 0) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def ask(
    running: ThreadingHTTPServer,
    path: str,
    method: str = "GET",
    hosts: tuple[str, ...] | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[HTTPResponse, bytes]:
    """One request as it is written here: nothing is normalised on the way."""
    connection = HTTPConnection("127.0.0.1", running.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for host in (f"127.0.0.1:{running.server_port}",) if hosts is None else hosts:
        connection.putheader("Host", host)
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_it_listens_on_this_machine_alone(running: ThreadingHTTPServer) -> None:
    assert running.server_address[0] == "127.0.0.1"
    assert url(running) == f"http://127.0.0.1:{running.server_port}/"


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_its_type_and_the_headers_of_the_pages(running: ThreadingHTTPServer, name: str) -> None:
    answer, body = ask(running, f"/{name}?board=1#x")
    assert (answer.status, body) == (200, f"this is {name}".encode())
    assert answer.headers["Content-Type"] == FILES[name]
    assert answer.headers["Content-Length"] == str(len(body))
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-cache"
    head, nothing = ask(running, f"/{name}", "HEAD")
    assert (head.status, nothing, head.headers["Content-Length"]) == (200, b"", str(len(body)))


def test_a_head_has_no_body(running: ThreadingHTTPServer) -> None:
    for path in ("/", "/nowhere"):
        with socket.create_connection(("127.0.0.1", running.server_port), timeout=10) as raw:
            raw.sendall(f"HEAD {path} HTTP/1.0\r\nHost: 127.0.0.1:{running.server_port}\r\n\r\n".encode())
            answer = b"".join(iter(lambda: raw.recv(4096), b""))
        assert (
            answer.startswith(b"HTTP/1.0 ")
            and answer.endswith(b"\r\n\r\n")
            and answer.count(b"\r\n\r\n") == 1
        )


def test_the_front_page_and_a_link_inside(running: ThreadingHTTPServer) -> None:
    assert ask(running, "/")[1] == ask(running, "/again.html")[1] == b"this is index.html"


OUTSIDE = [
    *("/static", "/static/", "/charts/", "/nowhere", "/index.html/", "/static/index.html"),
    *("/.hidden", "/.git/config", "/%2egit/config", "/link.txt", "/out/secret.txt", "/out", "/loop"),
    *("/../secret.txt", "/static/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt"),
    *("/../site-too/secret.txt", "/%2e%2e%2fsite-too%2fsecret.txt", "/..%5csecret.txt", "/....//secret.txt"),
    *("//etc/passwd", "/%2fetc/passwd", "/file:///etc/passwd", "/index.html%00", "/%00", f"/{'x' * 300}"),
]


@pytest.mark.parametrize("path", OUTSIDE, ids=[path[:30] for path in OUTSIDE])
def test_nothing_but_the_files_of_the_folder(running: ThreadingHTTPServer, path: str) -> None:
    answer, body = ask(running, path)
    assert (answer.status, body) == (404, b"404 Not Found\n")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "hosts", [("evil.example",), ("127.0.0.1",), (), ("localhost:1",), ("localhost", "x")]
)
def test_another_host_is_refused(running: ThreadingHTTPServer, hosts: tuple[str, ...]) -> None:
    answer, body = ask(running, "/", hosts=hosts)
    assert (answer.status, body) == (421, b"421 Misdirected Request\n")
    both = (f"localhost:{running.server_port}", "evil.example")
    assert ask(running, "/", hosts=both)[0].status == 421
    assert ask(running, "/", hosts=both[:1])[0].status == 200


def test_pages_of_other_sites_cannot_read_the_data(running: ThreadingHTTPServer) -> None:
    for site, mode, status in (
        ("cross-site", "no-cors", 403),
        ("same-site", "cors", 403),
        ("cross-site", "navigate", 200),
        ("same-origin", "no-cors", 200),
        ("none", "navigate", 200),
    ):
        asked = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
        assert ask(running, "/data.json", headers=asked)[0].status == status, asked
    answer, _ = ask(running, "/data.json")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "<script>"])
def test_it_only_reads(running: ThreadingHTTPServer, method: str) -> None:
    answer, body = ask(running, "/", method)
    assert (answer.status, body) == (501, b"501 Not Implemented\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_port_in_use_is_one_line(folder: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            UserError, match=rf"--port {port}: cannot listen there \(address already in use\)"
        ):
            server(folder, port)
        given = [
            "site",
            "--store",
            str(FOLDER),
            "--out",
            str(tmp_path / "out"),
            "--serve",
            "--port",
            str(port),
        ]
        result = CliRunner().invoke(app, given)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert f"--port {port}: cannot listen there" in result.stderr
    assert not (tmp_path / "out").exists(), "told before anything is built"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--serve", "--port", "x"], "--port 'x': expected a port, 0 to 65535"),
        (["--serve", "--port", "65536"], "--port '65536': expected a port, 0 to 65535"),
        (["--port", "1"], "--port 1 belongs to --serve"),
        (["--workers", "0"], "--workers '0': expected a whole number, 1 or more"),
        (["--store", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(words: list[str], told: str, tmp_path: Path) -> None:
    given = ["site", "--store", str(FOLDER), "--out", str(tmp_path / "out"), *words]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and told in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_builds_serves_and_ends_quietly(tmp_path: Path) -> None:
    store = tmp_path / "store" / "records"
    store.mkdir(parents=True)
    for file in (FOLDER / "records").iterdir():
        (store / file.name).write_bytes(file.read_bytes())
    (store / "0000000000000000.json").write_text("{}\x1b[31m")
    command = [
        sys.executable,
        "-m",
        "suite.cli",
        "site",
        "--store",
        str(FOLDER),
        "--store",
        str(store.parent),
    ]
    command += ["--out", str(tmp_path / "out"), "--serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        page = process.stdout.readline().strip()
        address = process.stdout.readline().split()[0]
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert answer.read() == Path(page).read_bytes()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "")
    assert page == str(tmp_path / "out" / "index.html")
    (told,) = [line for line in errors.splitlines() if line]
    assert told.startswith("not shown: ") and "0000000000000000.json: " in told and "\x1b" not in told
