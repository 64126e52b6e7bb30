"""Who stands behind a store's records: `store.yaml` in the store's folder.

    badge: verified      # made by this project's maintainers under the whole protocol; or community
    by: the maintainers  # who made the records

A store without the file has no badge. A file that cannot be read is an error: a badge is never guessed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from suite import plain_yaml
from suite.store import StoreError, reason

FILE = "store.yaml"
_LARGEST = 4096  # bytes; the file has two lines


class Badge(BaseModel):
    """What `store.yaml` says; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    badge: Literal["verified", "community"]
    by: str = Field(min_length=1, max_length=100, description="who made the records; no machine names")


def read(folder: Path) -> Badge | None:
    """The badge of the store in `folder`, None if it has none; StoreError (one line) if it is malformed."""
    file = folder / FILE
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{file}: cannot be read ({error.strerror or error})") from None
    if len(content) > _LARGEST:
        raise StoreError(f"{file}: has more than {_LARGEST} bytes; expected `badge:` and `by:`")
    try:
        return Badge.model_validate(plain_yaml.load(content))
    except ValueError as error:
        why = reason(error) if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise StoreError(
            f"{file}: {why}; expected `badge: verified` or `community`, and `by: TEXT`"
        ) from None
