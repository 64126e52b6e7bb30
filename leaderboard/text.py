"""Text that anybody may have written: characters that cannot be seen, and what a spreadsheet would run.

static/drill.js has the same characters, static/core.js the same rule for CSV; a test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# Controls (but line feed and tab), soft hyphen, marks of direction, joiners, separators, half characters
# and what is none. A reader cannot see them, and some move or hide others.
_RANGES = (
    *((0x00, 0x08), (0x0B, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x061C, 0x061C), (0x180E, 0x180E)),
    *((0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0xD800, 0xDFFF), (0xFEFF, 0xFEFF)),
    *((0xFFF9, 0xFFFB), (0xFFFE, 0xFFFF)),
)
HIDDEN = frozenset(code for first, last in _RANGES for code in range(first, last + 1))
_FORMULA = re.compile(r"[\s\ufeff]*[=+\-@]|[\t\r]")
_QUOTED = re.compile(r'[",;\r\n]')


def harmless(value: Any) -> Any:
    """A value of a table; a text that a spreadsheet would take for a formula gets a ' before it."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def csv_line(values: Iterable[Any]) -> str:
    """One line of CSV without its end. A text with ';' is quoted too, for that separates fields in places."""
    return ",".join(map(_field, values))


def _field(value: Any) -> str:
    text = "" if value is None else str(harmless(value))
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
