"""One variant at its best learning rate: as a search found it, or of the rates that there are.

A search has its winner (`suite.tuning`). Of several rates without a search the one with the lowest held-out
loss on validation is taken, over the seeds that all of them met. The test split chooses nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from suite import rates
from suite.record import Record
from suite.tuning import choose, key


@dataclass(frozen=True)
class Best:
    """The finished cells at the best of `tried` rates; none where no rate went well with every seed.

    `searched`: a search chose it; `edge`: on which side of all that was tried it lies; `lost`: how many
    cells at that rate did not finish, which a search would have refused.
    """

    cells: tuple[Record, ...]
    rate: float | None
    tried: int
    searched: bool
    edge: str | None
    lost: int = 0


def best(records: Sequence[Record]) -> Best:
    """The best of the records of one variant on one task under one recipe; see above."""
    records = _alike(records)
    searched = [record for record in records if record.search is not None]
    if searched:
        choice = choose(searched)
        chosen = [
            one
            for one in searched
            if one.cell.learning_rate == choice.rate and one.cell.seed in choice.seeds and one.status == "ok"
        ]
        return Best(tuple(chosen), choice.rate, choice.trials, True, choice.edge)
    met = sorted({record.cell.how.learning_rate for record in records})
    rate: float | None = met[0]
    if len(met) > 1:
        (curve,) = rates.curves(records)
        full = rates.complete(curve)
        means = np.where(np.isfinite(full.means), full.means, np.inf)
        rate = full.rates[int(np.argmin(means))] if np.isfinite(means).any() else None
    chosen = [one for one in records if one.cell.learning_rate == rate]
    ended = tuple(one for one in chosen if one.status == "ok")
    return Best(ended, rate, len(met), False, _edge(met, rate), len(chosen) - len(ended))


def _alike(records: Sequence[Record]) -> Sequence[Record]:
    """Those that one search would be of; a board lets precisions and the name of a base differ.

    Where there are several kinds, the one with most records.
    """
    kinds: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        kinds[key(record.cell)].append(record)
    return max(kinds.values(), key=len)


def _edge(met: Sequence[float], rate: float | None) -> str | None:
    if len(met) < 2 or rate not in (met[0], met[-1]):
        return None
    return "low" if rate == met[0] else "high"
