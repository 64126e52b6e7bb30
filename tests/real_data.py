"""Where the tests find real data: LORA_SUITE_DATA, or ../shared/data beside the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parent.parent.parent / "shared" / "data"


def real_data() -> Path:
    """The folder; without it the test is skipped, or fails where LORA_SUITE_REQUIRE_DATA=1."""
    folder = Path(os.environ.get("LORA_SUITE_DATA", BESIDE))
    if not folder.is_dir():
        told = f"no real data at {folder}; set LORA_SUITE_DATA to a folder that has it"
        if os.environ.get("LORA_SUITE_REQUIRE_DATA") == "1":
            pytest.fail(told)
        pytest.skip(told)
    return folder
