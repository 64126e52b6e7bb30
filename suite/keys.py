"""Content keys of the frozen parts of records: many records share them, so each object is asked once."""

from __future__ import annotations

from suite.origin import Fact
from suite.seeds import digest

KEPT = 10_000  # objects that are remembered

_known: dict[int, tuple[Fact, str]] = {}  # by identity; held, so that no other object takes its place


def content_key(part: Fact | None) -> str:
    """16 hex digits over all that a part says; of None those of null."""
    if part is None:
        return digest(None)
    if (found := _known.get(id(part))) is None:
        if len(_known) >= KEPT:
            _known.clear()
        found = _known[id(part)] = part, digest(part.model_dump(mode="json"))
    return found[1]
