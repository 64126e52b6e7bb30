"""No network: libraries are told, and what tries all the same is stopped with one line that says so."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from suite.errors import UserError

FLAG = "LORA_SUITE_OFFLINE"
ENVIRONMENT = {
    FLAG: "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
LOCAL = {None, "", "localhost", "ip6-localhost", "127.0.0.1", "::1", "0.0.0.0", "::"}

_guarded = False


def go_offline() -> None:
    """From here on this process reaches no network, nor do the worker processes that it starts.

    Call it before anything heavy is imported: libraries read the environment as they are imported (those that
    were imported already are told as well). Sockets on this machine stay open to all.
    """
    os.environ.update(ENVIRONMENT)
    for module, names in {
        "huggingface_hub.constants": ("HF_HUB_OFFLINE",),
        "datasets.config": ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"),
    }.items():
        for name in names:
            if module in sys.modules:
                setattr(sys.modules[module], name, True)
    _guard()


def follow() -> None:
    """In a worker process: as its parent is."""
    if os.environ.get(FLAG) == "1":
        go_offline()


def _guard() -> None:
    """Stop looking up and connecting to anything but this machine. Done once; it stays for good."""
    global _guarded
    if _guarded:
        return
    _guarded = True
    look_up, plain, plain_ex = socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex

    def getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
        _allow(host.decode() if isinstance(host, bytes) else host)
        return look_up(host, *more, **named)

    def connect(self: socket.socket, address: Any) -> None:
        _allow_address(self, address)
        return plain(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        _allow_address(self, address)
        return plain_ex(self, address)

    socket.getaddrinfo = getaddrinfo
    socket.socket.connect = connect
    socket.socket.connect_ex = connect_ex


def _allow_address(used: socket.socket, address: Any) -> None:
    if used.family in (socket.AF_INET, socket.AF_INET6):
        _allow(address[0])


def _allow(host: Any) -> None:
    if host in LOCAL or str(host).startswith("127.") or host == socket.gethostname():
        return
    raise UserError(
        f"--offline: something tried to reach {host!r}; everything must be in the --data folder (made by "
        "suite fetch), or run without --offline"
    )
