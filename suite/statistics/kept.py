"""Samples that are read once for all who ask: the parts of a page compare the same cells again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from suite.errors import UserError
from suite.record import Record
from suite.statistics import records as read
from suite.statistics.sample import Sample

READ: Mapping[str, Callable[[Iterable[Record]], Sample]] = MappingProxyType(
    {
        "gain": read.gain,
        "forgetting": read.forgetting,
        "loss": read.log_loss,
        "score": read.score,
    }
)


class Samples:
    """The samples of records that are told apart by their ids; each is kept as long as this object."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[str, ...]], Sample] = {}

    def of(self, quantity: str, records: Sequence[Record]) -> Sample:
        """One of READ. UserError where these records are no sample of it."""
        key = quantity, tuple(sorted(record.id for record in records))
        if (found := self._known.get(key)) is None:
            found = self._known[key] = READ[quantity](records)
        return found

    def skill(self, name: str, records: Sequence[Record]) -> Sample:
        """What was forgotten of one skill: that part of all that was forgotten, where this is known."""
        try:
            whole = self.of("forgetting", records)
        except UserError:  # another skill may be what is amiss
            return read.skill(records, name)
        return whole.group(name) if name in whole.groups else read.skill(records, name)
