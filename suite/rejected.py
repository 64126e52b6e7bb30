"""A file that is no record. By itself, so that an unchanged site is known without reading records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rejected:
    """A file that is no record that could be shown: its name within its store, and why. Both printable."""

    file: str
    reason: str
