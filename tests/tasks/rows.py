"""Tiny files of rows for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks import code, instruct, math

SETS = {one.name: one for domain in (math.DOMAIN, code.DOMAIN, instruct.DOMAIN) for one in domain.sets}


def write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
