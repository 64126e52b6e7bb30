"""What cheaper searches for a learning rate would have picked, replayed on stores with full grids.

    suite run --tune --store S
    python -m benchmarks.searches S                 or --simulated 200 in place of a store

Every curve is replayed with each of its seeds first. A pick is the same as the full grid's, or alike: its
mean loss over all seeds is above the best by less than t standard errors of pairs (`suite.optimum.alike`).
With three seeds that is a mild test, so the loss given away is shown beside it. Every search pays for all
seeds of its pick, which any comparison needs.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.simulated_rates import SHAPES, drawn, simulated
from suite.optimum import alike, gaussian, vertices
from suite.rates import Curve, complete, curves
from suite.store import Store

Ran = set[tuple[int, int]]  # (rate, seed) by their places
Search = Callable[[np.ndarray, np.ndarray], tuple[int, Ran]]  # log rates [R], losses [R, S] -> pick, what ran


def full_grid(x: np.ndarray, losses: np.ndarray) -> tuple[int, Ran]:
    """Every rate with every seed."""
    return int(losses.mean(axis=1).argmin()), set(np.ndindex(*losses.shape))


def one_seed(x: np.ndarray, losses: np.ndarray) -> tuple[int, Ran]:
    """Every rate with one seed."""
    return int(losses[:, 0].argmin()), {(i, 0) for i in range(len(x))}


def halving(x: np.ndarray, losses: np.ndarray, rates: Sequence[int] = ()) -> tuple[int, Ran]:
    """Successive halving over seeds: the better half (rounded up) of the rates gets one more seed."""
    left, ran = list(rates or range(len(x))), set()
    for seed in range(losses.shape[1]):
        if seed:
            left = left[: math.ceil(len(left) / 2)]
        ran |= {(i, seed) for i in left}
        left = sorted(left, key=lambda i: losses[i, : seed + 1].mean())
    return left[0], ran


def parabola(trials: int, seeds: int | None) -> Search:
    """Three spread rates, then the untried rate next to the lowest that the vertex of the parabola points at.

    It ends after `trials` rates, or when both neighbours of the lowest have been tried.
    """

    def search(x: np.ndarray, losses: np.ndarray) -> tuple[int, Ran]:
        means = losses[:, :seeds].mean(axis=1)
        logs = _logs(means)
        tried = _spread(len(x))
        while len(tried) < trials:
            lowest = min(tried, key=lambda i: means[i])
            beside = [i for i in (lowest - 1, lowest + 1) if 0 <= i < len(x) and i not in tried]
            if not beside:
                break
            at = sorted(tried)
            vertex = float(vertices(x[at], logs[at][None])[0])
            tried.append(min(beside, key=lambda i: abs(x[i] - vertex)))
        return _picked(tried, means, losses, seeds)

    return search


def then_halving(search: Search) -> Search:
    """A search with one seed, then successive halving over the seeds among the rates that it tried."""

    def both(x: np.ndarray, losses: np.ndarray) -> tuple[int, Ran]:
        _, ran = search(x, losses)
        return halving(x, losses, sorted({rate for rate, _ in ran}))

    return both


def process(trials: int, seeds: int | None) -> Search:
    """Three spread rates, then the untried one where a Gaussian process less one deviation is lowest."""

    def search(x: np.ndarray, losses: np.ndarray) -> tuple[int, Ran]:
        means = losses[:, :seeds].mean(axis=1)
        logs = _logs(means)
        tried = _spread(len(x))
        while len(tried) < min(trials, len(x)):
            rest = [i for i in range(len(x)) if i not in tried]
            mean, deviation = gaussian(x[tried], logs[tried], x[rest])
            tried.append(rest[int((mean - deviation).argmin())])
        return _picked(tried, means, losses, seeds)

    return search


SEARCHES: dict[str, Search] = {
    "full grid": full_grid,
    "one seed": one_seed,
    "halving": halving,
    "parabola, 4 rates, one seed": parabola(4, 1),
    "parabola, 5 rates, one seed": parabola(5, 1),
    "parabola, 5 rates, then halving": then_halving(parabola(5, 1)),
    "parabola, 5 rates, all seeds": parabola(5, None),
    "Gaussian process, 4 rates, one seed": process(4, 1),
    "Gaussian process, 5 rates, one seed": process(5, 1),
    "Gaussian process, 5 rates, all seeds": process(5, None),
}


@dataclass(frozen=True)
class Replay:
    """One search on one curve. `excess` is the loss given away, as a share of the best mean loss.

    `trials` and `seconds` count every cell that the search ran, and all seeds of its pick.
    """

    same: bool
    alike: bool
    excess: float
    trials: int
    seconds: float


def replays(curve: Curve, search: Search) -> list[Replay]:
    """A search on a curve that is complete, with each seed first."""
    x, means = np.log10(curve.rates), curve.means
    best, near = int(means.argmin()), {curve.rates.index(rate) for rate in alike(curve)}
    found = []
    for first in range(len(curve.seeds)):
        order = np.roll(np.arange(len(curve.seeds)), -first)
        pick, ran = search(x, curve.losses[:, order])
        ran = ran | {(pick, seed) for seed in range(len(order))}
        seconds = sum(curve.seconds[rate, order[seed]] for rate, seed in ran)
        excess = float(means[pick] / means[best] - 1)
        found.append(Replay(pick == best, pick in near, excess, len(ran), float(seconds)))
    return found


def table(found: Sequence[Curve]) -> Table:
    """One line a search, over all curves and first seeds."""
    columns = ("search", "same", "same or alike", "loss given away", "worst", "trials", "saved", "time saved")
    shown = Table(*columns, title=f"{len(found)} searches of {_sizes(found)}")
    whole = [one for curve in found for one in replays(curve, full_grid)]
    for name, search in SEARCHES.items():
        ran = [one for curve in found for one in replays(curve, search)]
        excess = [one.excess for one in ran]
        shown.add_row(
            name,
            f"{100 * np.mean([one.same for one in ran]):.0f} %",
            f"{100 * np.mean([one.alike for one in ran]):.0f} %",
            f"{100 * np.mean(excess):.1f} %",
            f"{100 * np.max(excess):.0f} %",
            f"{np.mean([one.trials for one in ran]):.1f}",
            f"{100 * (1 - sum(one.trials for one in ran) / sum(one.trials for one in whole)):.0f} %",
            f"{100 * (1 - sum(one.seconds for one in ran) / sum(one.seconds for one in whole)):.0f} %",
        )
    return shown


def usable(store: Path) -> list[Curve]:
    """The complete curves of a store with three rates and two seeds or more, not diverged at every rate."""
    parts = [complete(curve) for curve in curves(Store(store).records())]
    return [c for c in parts if len(c.rates) > 2 and len(c.seeds) > 1 and np.isfinite(c.means).any()]


def made_up(count: int, noise: float) -> list[Curve]:
    """Simulated curves of every shape, seven rates and three seeds."""
    rng = np.random.default_rng(0)
    return [simulated(shape, drawn(rng), noise, 3, rng) for _ in range(count) for shape in SHAPES.values()]


def _spread(count: int) -> list[int]:
    """Three places of `count`: the middle, and halfway from it to each end."""
    middle = count // 2
    return [middle, middle - (middle + 1) // 2, middle + (count - middle) // 2]


def _picked(tried: list[int], means: np.ndarray, losses: np.ndarray, seeds: int | None) -> tuple[int, Ran]:
    used = range(losses.shape[1] if seeds is None else seeds)
    return min(tried, key=lambda i: means[i]), {(i, seed) for i in tried for seed in used}


def _logs(means: np.ndarray) -> np.ndarray:
    """Log losses, a rate that diverged counting as twice the worst that did not."""
    finite = np.isfinite(means)
    return np.log(np.where(finite, means, 2 * means[finite].max() if finite.any() else 1.0))


def _sizes(found: Sequence[Curve]) -> str:
    return ", ".join(sorted({f"{len(c.rates)} rates x {len(c.seeds)} seeds" for c in found}))


def main() -> None:
    """Print the table, of a store or of simulated curves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("store", type=Path, nargs="?")
    parser.add_argument(
        "--simulated", type=int, metavar="N", help="N curves of each shape in place of a store"
    )
    parser.add_argument("--noise", type=float, default=0.1, help="of a cell of a simulated curve, relative")
    given = parser.parse_args()
    if (given.store is None) == (given.simulated is None):
        parser.error("give a store, or --simulated N")
    found = usable(given.store) if given.store else made_up(given.simulated, given.noise)
    if not found:
        parser.error(f"{given.store} holds no search of three rates and two seeds or more")
    Console(width=140).print(table(found))


if __name__ == "__main__":
    main()
