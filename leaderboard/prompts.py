"""What the models were asked, for the pages of cells and items: `data/prompts/<digest>.js`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from leaderboard.files import Files
from leaderboard.site import Site
from suite import prompts as kept
from suite.record import Record
from suite.store import StoreError


def write(files: Files, site: Site, stores: Sequence[Path]) -> None:
    """Write the prompts of every shown record, from the first of these stores that keeps them."""
    for digest in sorted(set(_asked(entry.record for entry in site.entries))):
        if (found := _read(digest, stores)) is not None:
            files.data(f"prompts/{digest}", found)


def _asked(records: Iterable[Record]) -> Iterable[str]:
    for record in records:
        for scores in (record.before, record.after):
            for score in (*scores.target.values(), *scores.general.values()) if scores else ():
                if score.prompts:
                    yield score.prompts


def _read(digest: str, stores: Sequence[Path]) -> dict[str, Any] | None:
    """None where no store keeps them; where all that do are damaged, what is wrong with the first."""
    fault = None
    for store in stores:
        try:
            found = kept.read(store, digest)
        except StoreError as error:
            fault = fault or str(error).replace(f"{store}/", "")
            continue
        if found is not None:
            return {"prompts": found.prompts, "choices": found.choices, "targets": found.targets}
    return {"fault": fault} if fault else None
