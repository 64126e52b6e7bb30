"""--offline: nothing reaches beyond this machine, in this process or a worker, and the error says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from suite import offline
from tests.suite.fake_hub import running

ROOT = Path(__file__).parent.parent.parent
REACH = """
import socket
def told(call):
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "reached"
print(told(lambda: socket.create_connection(("nowhere.invalid", 443), timeout=1)))
print(told(lambda: socket.create_connection(("192.0.2.1", 80), timeout=1)))
with socket.socket() as one:
    one.settimeout(1)
    print(told(lambda: one.connect_ex(("192.0.2.1", 80))))
"""


def ran(program: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in offline.ENVIRONMENT}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_names_and_addresses_elsewhere_are_refused() -> None:
    said = ran(f"from suite.offline import go_offline; go_offline()\n{REACH}").splitlines()
    assert len(said) == 3
    for line, host in zip(said, ("nowhere.invalid", "192.0.2.1", "192.0.2.1"), strict=True):
        assert line.startswith(f"UserError: --offline: something tried to reach {host!r}; ")


def test_a_worker_is_offline_with_its_parent() -> None:
    program = f"from suite.offline import follow; follow()\n{REACH}"
    assert ran(program, **offline.ENVIRONMENT).count("--offline: something tried") == 3
    assert "--offline" not in ran(program)


def test_this_machine_stays_reachable() -> None:
    with running() as hub:
        hub.pages["/here"] = b"yes"
        program = (
            "from suite.offline import go_offline; go_offline()\nimport urllib.request\n"
            f"print(urllib.request.urlopen('{hub.url}/here').read())"
        )
        assert ran(program, NO_PROXY="*").strip() == "b'yes'"


def test_libraries_are_told_even_if_they_were_imported_before() -> None:
    for order in ("{load}; {go}", "{go}; {load}"):
        program = order.format(
            load="import datasets.config, huggingface_hub.constants as hub",
            go="from suite.offline import go_offline; go_offline()",
        )
        flags = "hub.is_offline_mode(), datasets.config.HF_HUB_OFFLINE, datasets.config.HF_DATASETS_OFFLINE"
        assert ran(f"{program}\nprint({flags})").split() == ["True", "True", "True"], order


def test_fetching_offline_is_one_line() -> None:
    program = """
from suite.offline import go_offline
go_offline()
from suite.hub import api as hub
from suite.errors import UserError
try:
    hub.resolve("dataset", "openai/gsm8k")
except UserError as error:
    print(error)
"""
    assert "HF_HUB_OFFLINE is set; unset it, or give a fetched folder with --data" in ran(program)


def test_a_fetched_folder_is_read_without_any_socket(tmp_path: Path) -> None:
    with running() as hub:
        hub.put("gsm8k/train.jsonl")
        program = f"""
from suite.hub import fetch, progress as fetch_progress
from pathlib import Path
from rich.console import Console
with fetch_progress.display(Console(quiet=True)) as shown:
    fetch.fetch(Path({str(tmp_path)!r}), ["gsm8k/train.jsonl"], {{}}, None, shown)
"""
        ran(program, HF_ENDPOINT=hub.url)
    program = f"""
import socket
def none(*_, **__):
    raise AssertionError("a socket")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = none
from suite.offline import go_offline
go_offline()
from pathlib import Path
from suite.hub import fetch, manifest, progress as fetch_progress
from rich.console import Console
folder = Path({str(tmp_path)!r})
print(*manifest.verify(folder, ["gsm8k/train.jsonl"]))
with fetch_progress.display(Console(quiet=True)) as shown:
    fetch.fetch(folder, ["gsm8k/train.jsonl"], {{}}, None, shown)
"""
    assert ran(program).split() == ["gsm8k/train.jsonl"]
