"""Running a program that a model wrote, away from everything.

A program runs in a process of its own: no network, no sight of other processes or of the environment, no
files but the interpreter's (read-only) and an empty folder in memory, another user, no new processes, and
bounds on memory, time and files. tasks/jail.py is the inside. Where the machine does not allow all this,
`available` says why, and nothing is run.
"""

from __future__ import annotations

import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

JAIL = Path(__file__).parent / "jail.py"
DISK = 2**20  # bytes that a program may write
ANSWER = 2**12  # bytes of a verdict that are read at most
GRACE = 5.0  # seconds for the start, beyond the program's own time

# Passes only inside. In a network of its own even the machine's own address is unreachable (outside, it
# refuses or answers); 192.0.2.1 is an address that no network has. Only its own folder can be written.
PROBE = """
import errno, os, socket
for address in ("127.0.0.1", "192.0.2.1"):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as out:
        out.settimeout(1)
        failed = out.connect_ex((address, 9))
    assert failed == errno.ENETUNREACH, f"the network can be reached ({address}: {os.strerror(failed)})"
for folder in ("/", "/usr", os.path.dirname(os.__file__)):
    try:
        open(os.path.join(folder, "probe"), "w").close()
    except OSError:
        continue
    raise AssertionError(f"{folder} can be written")
"""


@dataclass(frozen=True)
class Verdict:
    """Whether a program ran to its end, and if not, why (one line)."""

    passed: bool
    reason: str = ""


class SandboxError(RuntimeError):
    """The sandbox itself could not be set up, which says nothing about the program."""


def run(program: str, *, timeout: float = 5.0, memory: int = 512 * 2**20) -> Verdict:
    """Run a Python program; it passes if its last line is reached without an exception.

    Leaving early (sys.exit, os._exit) is no pass. `timeout` is in seconds of wall time, `memory` in bytes of
    address space. Output is thrown away. Raises SandboxError where the sandbox cannot be set up.
    """
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="sandbox-") as root:
        message = f"{token} {timeout} {memory} {DISK} {root}\n{program}".encode("utf-8", "surrogatepass")
        answer, status = _ask(message, timeout + GRACE)
    if answer == token:
        return Verdict(True)
    if answer.startswith(token):
        raise SandboxError(answer.removeprefix(token).strip())
    if status == 3:
        return Verdict(False, f"still running after {timeout:g} s")
    return Verdict(False, " ".join(answer.split()) or "ended before its last line")


@cache
def available() -> str | None:
    """Why programs cannot be run here safely, in one line; None if they can. Tried once, for real."""
    if sys.platform != "linux":
        return f"it is built from Linux namespaces, and this is {sys.platform}"
    try:
        verdict = run(PROBE)
    except (SandboxError, OSError) as error:
        return f"{error}; allow namespaces (user namespaces, or CAP_SYS_ADMIN for root), Linux 5.12+"
    return None if verdict.passed else f"a trial program did not stay inside: {verdict.reason}"


def _ask(message: bytes, seconds: float) -> tuple[str, int]:
    """Start the jail, hand it `message`, and return its answer and exit status; nothing of it is left."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(JAIL)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    with process.stdin, process.stdout:
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(message)
                process.stdin.close()
            answer = _read(process.stdout.fileno(), time.monotonic() + seconds)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=seconds)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return answer.decode("utf-8", "replace"), process.wait()


def _read(descriptor: int, deadline: float) -> bytes:
    """What comes before the end, the deadline, or too much."""
    parts = b""
    while len(parts) < ANSWER and (left := deadline - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            break
        part = os.read(descriptor, ANSWER)
        if not part:
            break
        parts += part
    return parts
