"""A pool of the ci track's records over many seeds, from which the two sides of a comparison are drawn.

    suite run --track ci --seeds 0,1,2,3,4,5,6,7,8,9,10,11 --no-weights --store POOL

makes one (resumable, as every run; any number of seeds from twice the track's on).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from suite import track
from suite.errors import UserError
from suite.gate.facts import Facts, facts
from suite.store import Store

TRACK = "ci"

Cells = Mapping[int, Sequence[Facts]]  # seed -> what the gate reads of the cells of that seed


def read(path: Path, least: int) -> Cells:
    """The cells of a pool by seed, those seeds only that have a cell of every variant and task.

    Raises UserError where fewer than `least` seeds are complete.
    """
    found = by_seed(facts(Store(path).records()))
    most = max(map(len, found.values()), default=0)
    whole = {seed: cells for seed, cells in sorted(found.items()) if len(cells) == most}
    if len(whole) < least:
        raise UserError(
            f"pool {path}: {len(whole)} complete seeds, and {least} are needed; make more with "
            f"`suite run --track {TRACK} --seeds ... --no-weights --store {path}`"
        )
    return whole


def by_seed(cells: Iterable[Facts]) -> dict[int, list[Facts]]:
    """Cells of the track's newest revision by their seed."""
    found: dict[int, list[Facts]] = defaultdict(list)
    label = track.load(TRACK).label
    for one in cells:
        if one.cell.track == label and one.cell.seed is not None:
            found[one.cell.seed].append(one)
    return found


def side(cells: Cells, seeds: Iterable[int]) -> list[Facts]:
    """All cells of these seeds."""
    return [one for seed in seeds for one in cells[seed]]


def drawn(rng: random.Random, seeds: Iterable[int], count: int) -> list[int]:
    """`count` of the seeds, each at most once, in order."""
    return sorted(rng.sample(sorted(seeds), count))
