"""What a cell is about: a variant, a task and a base, each as a record names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from suite.origin import Fact

RANKS = ("rank", "r")  # what the settings of a variant call it


def rank_of(settings: Mapping[str, Any]) -> int | float | None:
    """The rank among the settings of a variant, whatever they call it; None if there is none."""
    found = (settings.get(name) for name in RANKS)
    return next((one for one in found if isinstance(one, int | float) and not isinstance(one, bool)), None)


class VariantRef(Fact):
    """A method of fine-tuning with all its settings, as the registry can rebuild it."""

    name: str
    settings: dict[str, Any]
    revision: int | None = Field(description="of our implementation; null for what others ran")


class TaskRef(Fact):
    """A task and the digest of the data it really read."""

    name: str
    source: str = Field(
        description="'pocket', or the training set ('gsm8k', 'own'); 'elsewhere' where others read the data"
    )
    revision: int | None
    digest: str

    @property
    def label(self) -> str:
        """Name and training set in short: 'math:gsm8k'; the name alone where there is but one set."""
        alone = self.source in ("pocket", "elsewhere", self.name)
        return self.name if alone else f"{self.name}:{self.source}"


class BaseRef(Fact):
    """A base model: how it was named and the digest of its weights and tokenizer."""

    name: str
    digest: str = Field(description="'unknown' where a source does not say")
