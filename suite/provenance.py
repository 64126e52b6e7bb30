"""Where and when a record was made: never part of a cell's identity."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
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
    "scipy",
    "scikit-learn",
)
DETERMINISM = {0: "off", 1: "warn", 2: "error"}  # torch.get_deterministic_debug_mode() in its own words
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def provenance(
    command: str, device: str, threads: int, settings: Mapping[str, str] | None = None
) -> Provenance:
    """The provenance of a record written now; `settings` are those of the worker that measured it."""
    return Provenance(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        device=device_name(device),
        threads=threads,
        versions=versions(),
        commit=commit(),
        dirty=dirty(),
        settings=dict(settings or {}),
    )


def settings(device: str) -> dict[str, str]:
    """What decides whether torch repeats itself bit for bit in this process, which is a worker's."""
    import torch

    found = {
        "deterministic_algorithms": DETERMINISM[torch.get_deterministic_debug_mode()],
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
    if not device.startswith("cuda"):
        return {**found, "cpu_capability": torch.backends.cpu.get_cpu_capability()}
    return {
        **found,
        CUBLAS: os.environ.get(CUBLAS, "not set"),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
    }


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
    """The commit of the suite's own checkout; None where it is installed."""
    return _git("rev-parse", "HEAD")


@lru_cache
def dirty() -> bool | None:
    """Whether tracked files of that checkout differ from its commit; None where it is installed."""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return None if changed is None else bool(changed)


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


def _git(*words: str) -> str | None:
    """What git says of the suite's checkout; None where there is none, or no git."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
