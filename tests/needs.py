"""What some tests need and not every machine has: real data, and a sandbox."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tasks import sandbox

REFUSALS = (
    errno.EPERM,
    errno.EACCES,
    errno.ENOSPC,
    errno.ENOSYS,
)  # what a kernel says that does not allow it
BESIDE = Path(__file__).parent.parent.parent / "shared" / "data"


def real_data() -> Path:
    """The folder of real data: LORA_SUITE_DATA, or ../shared/data beside the project.

    Without it the test is skipped, or fails where LORA_SUITE_REQUIRE_DATA=1.
    """
    folder = Path(os.environ.get("LORA_SUITE_DATA", BESIDE))
    if not folder.is_dir():
        told = f"no real data at {folder}; set LORA_SUITE_DATA to a folder that has it"
        if os.environ.get("LORA_SUITE_REQUIRE_DATA") == "1":
            pytest.fail(told)
        pytest.skip(told)
    return folder


def refused() -> str | None:
    """Why this machine allows no sandbox, or None. One that leaks or is broken is no reason to skip."""
    try:
        sandbox.run("")
    except sandbox.SandboxError as error:
        if any(str(error).startswith(f"[Errno {number}]") for number in REFUSALS):
            return f"this machine allows no sandbox: {error}"
    return None
