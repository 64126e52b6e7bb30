"""The sandbox: a right program passes, and nothing that a wrong one tries leaves a trace."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tasks import sandbox
from tests.needs import refused

pytestmark = pytest.mark.skipif(refused() is not None, reason=refused() or "")

TESTED = """
def add(a, b):
    {body}

def check(candidate):
    assert candidate(1, 2) == 3
    assert candidate(-1, 1) == 0

check(add)
"""


def reason(program: str) -> str:
    """Why a program does not pass."""
    verdict = sandbox.run(program, timeout=5)
    assert not verdict.passed
    return verdict.reason


@pytest.fixture(params=["as it is", "in a user namespace"])
def jail(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the jail; the second takes the way of an ordinary user, whoever runs the tests."""
    copy = tmp_path / "jail.py"
    source = sandbox.JAIL.read_text()
    if request.param != "as it is":
        assert source.count("if uid == 0:") == 1
        source = source.replace("if uid == 0:", "if False:")
    copy.write_text(source)
    monkeypatch.setattr(sandbox, "JAIL", copy)
    try:
        sandbox.run("")
    except sandbox.SandboxError as error:
        pytest.skip(f"no sandbox: {error}")
    return copy


def test_a_trial_program_stays_inside() -> None:
    assert sandbox.available() is None


@pytest.mark.parametrize(
    ("body", "passed", "reason"),
    [
        ("return a + b", True, ""),
        ("return a - b", False, "AssertionError:"),
        ("return a +", False, "SyntaxError: invalid syntax"),
        ("raise SystemExit(0)", False, "SystemExit: 0"),
        ("import sys; sys.exit(0)", False, "SystemExit: 0"),
        ("import os; os._exit(0)", False, "ended before its last line"),
        ("import os; os.kill(os.getpid(), 9); os.abort()", False, "ended before its last line"),
        ("import os; os.closerange(0, 32); return a + b", False, "ended before its last line"),
    ],
)
def test_only_a_program_that_reaches_its_end_passes(body: str, passed: bool, reason: str) -> None:
    verdict = sandbox.run(TESTED.format(body=body))
    assert verdict.passed is passed
    assert verdict.reason.startswith(reason)


def test_the_standard_library_is_there() -> None:
    imports = "import collections, ctypes, decimal, hashlib, heapq, itertools, json, random, re, sqlite3"
    assert sandbox.run(f"{imports}\nassert random.random() < 1 and re.match('a', 'a')") == sandbox.Verdict(
        True
    )


def test_the_network_is_unreachable(jail: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=1)"
        assert "Network is unreachable" in reason(connect)
    assert reason("import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=1)").endswith(
        "unreachable"
    )


def test_memory_is_bounded(jail: Path) -> None:
    assert reason("x = bytearray(2 ** 30)").startswith("MemoryError")
    assert reason("x = []\nwhile True: x.append(x * 2 or [0])").startswith("MemoryError")
    assert sandbox.run("x = bytearray(2 ** 26)").passed


@pytest.mark.parametrize("rest", ["pass", "print('x' * 10_000)", "exec('try: 1 / 0\\nexcept: pass')"])
def test_an_endless_loop_is_ended(rest: str) -> None:
    start = time.monotonic()
    assert sandbox.run(f"while True: {rest}", timeout=0.3).reason == "still running after 0.3 s"
    assert time.monotonic() - start < 5


def test_nothing_stays_behind(jail: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stubborn = "import ctypes, os, time\nos.setsid()\nctypes.CDLL(None).prctl(1, 0)\ntime.sleep(60)"
    for program in ("x = 1", "1 / 0", "open('x', 'w').write('x')", stubborn):
        sandbox.run(program, timeout=0.3)
    assert list(tmp_path.iterdir()) == [jail]
    running = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.is_file()]
    assert not [line for line in running if str(jail).encode() in line]


def test_a_fork_bomb_has_no_first_step() -> None:
    assert "Resource temporarily unavailable" in reason("import os\nwhile True: os.fork()")
    assert "can't start new thread" in reason("import threading\nthreading.Thread(target=print).start()")


def test_a_flood_of_output_goes_nowhere() -> None:
    assert sandbox.run("for _ in range(50): print('x' * 1_000_000)") == sandbox.Verdict(True)
    forged = "import os\nwhile True:\n    for d in range(3, 10):\n        try: os.write(d, b'x' * 65536)\n"
    verdict = sandbox.run(f"{forged}        except OSError: pass", timeout=0.5)
    assert not verdict.passed and len(verdict.reason) <= 2 * sandbox.ANSWER


def test_files_outside_cannot_be_written(jail: Path, tmp_path: Path) -> None:
    target = tmp_path / "open to all"
    target.mkdir()
    target.chmod(0o777)
    for folder in (target, Path("/"), Path("/usr"), Path("/etc"), Path("/var/tmp"), Path(os.__file__).parent):
        assert reason(f"open({str(folder / 'x')!r}, 'w')").split(":")[0] in (
            "FileNotFoundError",
            "OSError",
            "PermissionError",
        )
        assert not (folder / "x").exists()


def test_its_own_folder_is_empty_writable_and_small(jail: Path) -> None:
    write = "import os\nassert os.listdir('.') == []\nopen('x', 'wb').write(b'x' * {size})"
    assert sandbox.run(write.format(size=1000)).passed
    assert "File too large" in reason(write.format(size=2 * sandbox.DISK))
    many = "for i in range(100):\n    with open(str(i), 'wb') as f: f.write(b'x' * 100_000)"
    assert "No space left" in reason(many)


def test_other_files_cannot_be_read(jail: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    for path in (secret, Path(__file__), Path("/etc/passwd"), Path("/proc/self/status")):
        assert reason(f"open({str(path)!r})").startswith("FileNotFoundError")


def test_the_environment_cannot_be_read(jail: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_SUITE_SECRET", "s")
    assert sandbox.run("import os\nassert 'LORA_SUITE_SECRET' not in os.environ, os.environ").passed
    assert reason(f"open('/proc/{os.getpid()}/environ')").startswith("FileNotFoundError")
    assert sandbox.run(f"import os\ntry: os.kill({os.getpid()}, 0)\nexcept ProcessLookupError: pass").passed


def test_no_privilege_is_left(jail: Path) -> None:
    program = """
import ctypes, os
assert os.getuid() == os.geteuid() == 65534 and os.getpid() == 1
libc = ctypes.CDLL(None, use_errno=True)
for flags in (0x40000000, 0x00020000, 0x10000000):
    assert libc.unshare(flags) == -1, flags
assert libc.prctl(39, 0, 0, 0, 0) == 1  # no_new_privs
try: os.chroot('.')
except PermissionError: pass
else: raise AssertionError('chroot')
"""
    assert sandbox.run(program) == sandbox.Verdict(True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_root_runs_programs_as_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "jail.py"
    copy.write_text(sandbox.JAIL.read_text())
    monkeypatch.setattr(sandbox, "JAIL", copy)
    runner = threading.Thread(target=sandbox.run, args=("import time\ntime.sleep(1.5)",))
    runner.start()
    users: set[str] = set()
    while runner.is_alive():
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if str(copy).encode() in (process / "cmdline").read_bytes():
                    lines = (process / "status").read_text().splitlines()
                    users.add(next(line.split()[1] for line in lines if line.startswith("Uid:")))
            except OSError:
                continue
        time.sleep(0.1)
    assert users == {"0", "65534"}  # the jail's own process, which waits, and the program's


def test_a_leak_is_noticed_before_anything_is_run(jail: Path) -> None:
    assert sandbox.available.__wrapped__() is None
    jail.write_text(jail.read_text().replace("NEWNET | NEWPID", "NEWPID"))
    told = sandbox.available.__wrapped__()
    assert told is not None and told.startswith(
        "a trial program did not stay inside: AssertionError: the network"
    )


def test_a_machine_that_allows_no_namespaces_says_so(jail: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = "ctypes.set_errno(1) or -1 if True else libc.unshare("
    jail.write_text(jail.read_text().replace("libc.unshare(", refused))
    told = sandbox.available.__wrapped__()
    assert told is not None and "\n" not in told
    assert "new namespaces: Operation not permitted; allow namespaces" in told
    with pytest.raises(sandbox.SandboxError, match="new namespaces"):
        sandbox.run("x = 1")
