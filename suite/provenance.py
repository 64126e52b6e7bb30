"""Where and when a record was made: never part of a cell's identity."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from suite.record import Provenance

PACKAGES = (
    "lora-suite",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "peft",
    "lm-eval",
    "datasets",
    "numpy",
)


def provenance(command: str, device: str, threads: int) -> Provenance:
    """The provenance of a record written now."""
    return Provenance(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        device=device_name(device),
        threads=threads,
        versions=versions(),
        commit=commit(),
    )


@lru_cache
def versions() -> dict[str, str]:
    """Python, the packages that numbers depend on, and those that bring variants where these are in use."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    registry = sys.modules.get("variants.registry")
    return found if registry is None else found | registry.packages()


@lru_cache
def commit() -> str | None:
    """The commit of the suite's own checkout, '+' added if it has changes; None where it is installed."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


@lru_cache
def device_name(device: str) -> str:
    """'cpu (<model>)' or 'cuda:0 (<model>)'."""
    if device.startswith("cuda"):
        import torch

        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({_cpu_model()})"


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
