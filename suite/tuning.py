"""The search for a learning rate: which rates are tried, and which of them wins, on validation alone.

Every variant gets the same number of rates, spaced evenly in the logarithm around its documented default, and
every rate the same seeds. The winner has the lowest held-out loss on validation, in the mean over the seeds;
rates within TIE of it are told apart by accuracy on validation, then by the lower rate. A rate at which any
seed diverged or ran out of memory is not chosen. The test split is read for the winner and the default only.

Rates are compared over the same seeds: where a store holds more seeds of some than of others, over as many
cells as were run at all of some rates with all of some seeds.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from suite.record import Cell, Record
from suite.seeds import digest

TIE = 1e-4  # nats per token
SHOWN = 2  # significant digits of a rate on the grid


@dataclass(frozen=True)
class Choice:
    """What the search of one variant on one task came to.

    `rate` is None where no rate went well with every seed. `losses` and `accuracies` are means over `seeds`
    on validation by rate, infinite and zero where one went wrong or was not run. `edge` says on which side of
    all rates that have an answer the winner lies, `added` how many rates were tried beyond the grid.
    """

    rate: float | None
    default: float
    losses: dict[float, float]
    accuracies: dict[float, float]
    seeds: tuple[int, ...]
    edge: str | None
    added: int
    method: str

    @property
    def trials(self) -> int:
        """How many rates were tried."""
        return len(self.losses)


def point(index: int, per_decade: int) -> float:
    """A rate of the grid: 10^(index / per_decade), to two significant digits."""
    return float(f"{10 ** (index / per_decade):.{SHOWN}g}")


def index(rate: float, per_decade: int) -> int:
    """The point of the grid that is nearest to a rate, in the logarithm."""
    return round(math.log10(rate) * per_decade)


def grid(default: float, count: int, per_decade: int) -> list[float]:
    """`count` neighbouring rates of the grid, the nearest one to `default` in the middle (below, if even)."""
    first = index(default, per_decade) - count // 2
    return [point(first + i, per_decade) for i in range(count)]


def beyond(choice: Choice, per_decade: int) -> float | None:
    """The next rate outside of all that was tried, where the winner lies on that side; None if inside."""
    if choice.rate is None or choice.edge is None:
        return None
    step = 1 if choice.edge == "high" else -1
    return point(index(choice.rate, per_decade) + step, per_decade)


def searches(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records of each search (a variant on a task, all rates and seeds) by a key of what they share."""
    found: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.id):
        if record.search is not None:
            found[key(record.cell)].append(record)
    return dict(found)


def key(cell: Cell) -> str:
    """What the cells of one search share: everything but rate and seed."""
    return digest(cell.model_dump(mode="json", exclude={"learning_rate", "seed"}))


def choose(records: Sequence[Record]) -> Choice:
    """The winner of one search (see the module). Rates that lack a seed which others have are not chosen."""
    first = next(record.search for record in records if record.search is not None)
    tried: dict[float, list[Record]] = defaultdict(list)
    for record in records:
        if record.search is not None and record.search.role != "default":
            tried[record.cell.how.learning_rate].append(record)
    rates, seeds = _complete(tried)
    compared = {rate: [one for one in tried[rate] if one.cell.how.seed in seeds] for rate in rates}
    losses = dict.fromkeys(sorted(tried), math.inf)
    hits = dict.fromkeys(losses, 0.0)
    for rate, members in compared.items():
        losses[rate] = math.fsum(_loss(one) for one in members) / len(members)
        hits[rate] = math.fsum(_accuracy(one) for one in members) / len(members)
    rate = _winner(losses, hits)
    answered = [r for r in rates if all(one.status != "failed" for one in compared[r])]
    edge = None
    if rate is not None and len(answered) > 1 and rate in (answered[0], answered[-1]):
        edge = "high" if rate == answered[-1] else "low"
    added = {one.cell.how.learning_rate for one in records if one.search and one.search.role == "edge"}
    return Choice(rate, first.default, losses, hits, seeds, edge, len(added), first.method)


def _complete(tried: Mapping[float, Sequence[Record]]) -> tuple[list[float], tuple[int, ...]]:
    """The rates and seeds that were all run with each other, as many cells as that can be."""
    have = {rate: {one.cell.how.seed for one in members} for rate, members in tried.items()}
    counts = Counter(seed for seeds in have.values() for seed in seeds)
    order = sorted(counts, key=lambda seed: (-counts[seed], seed))
    parts = []
    for size in range(1, len(order) + 1):
        seeds = set(order[:size])
        rates = sorted(rate for rate in have if seeds <= have[rate])
        parts.append((len(rates) * size, rates, tuple(sorted(seeds))))
    _, rates, seeds = max(parts, key=lambda part: part[0], default=(0, [], ()))
    return rates, seeds


def _winner(losses: dict[float, float], accuracies: dict[float, float]) -> float | None:
    lowest = min(losses.values(), default=math.inf)
    if not math.isfinite(lowest):
        return None
    tied = [rate for rate, loss in losses.items() if loss <= lowest + TIE]
    return min(tied, key=lambda rate: (-accuracies[rate], rate))


def _loss(record: Record) -> float:
    if record.status != "ok" or record.after is None:
        return math.inf
    loss = record.after.log_loss.get("validation", math.inf)
    return loss if math.isfinite(loss) else math.inf


def _accuracy(record: Record) -> float:
    held = record.after.held_out.get("validation") if record.status == "ok" and record.after else None
    return held.accuracy if held else 0.0
