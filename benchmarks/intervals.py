"""Whether the intervals, tests and ranks keep what they promise, on benchmarks that are made up.

    python -m benchmarks.intervals --repeats 1000

Every table is counted over that many simulated benchmarks, on one core, and the same numbers come out each
time. A benchmark is S seeds x N items; what is varied is where its noise comes from.

coverage   how often the 95 % interval holds the truth. `seed`, `item`, `both`, `rest`: normal effects of
           which seeds, items, both alike, or the item-by-seed interaction bring most of the variance of the
           mean. `score`: items that are right or wrong, as scores of 2 to 99 of 100. `gain`: after - before
           of such items, from little learned to much. `naive` is the plain percentile bootstrap that draws
           seeds and items, for comparison.
false ranks how often six variants that are equal on three tasks get any two told apart wrongly.
power      how often two variants are told apart whose true difference is what `detectable` calls visible in
           80 of 100 repetitions (in units of the standard error of one variant's mean).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from scipy import stats

from suite.seeds import seed_for
from suite.statistics import Comparison, Sample, compare, interval, ranks

SEEDS = (2, 3, 5, 10)
ITEMS = (50, 250, 1000)
SHARES = {  # of the variance of the mean: seeds, items, item by seed
    "seed": (0.90, 0.08, 0.02),
    "item": (0.04, 0.90, 0.06),
    "both": (0.45, 0.45, 0.10),
    "rest": (0.05, 0.15, 0.80),
}
SCORES = (2, 20, 50, 90, 98)  # points
GAINS = ((2, 2), (2, 10), (20, 60), (50, 51), (90, 98))  # points before and after
SEED, ITEM, REST = 0.1, 1.0, 0.5  # standard deviations behind a right or wrong answer
Truth = tuple[Sample, float]  # a sample, and the mean that it estimates
Draw = Callable[[np.random.Generator, int, int], Truth]


def sample(values: np.ndarray, limits: tuple[float, float] | None = None) -> Sample:
    """[S, N] values as a sample."""
    seeds, items = values.shape
    return Sample(tuple(range(seeds)), tuple(map(str, range(items))), values, (), limits)


def normal(shares: tuple[float, float, float]) -> Draw:
    """Normal effects by what share of the variance of the mean they bring; that variance is one."""

    def draw(generator: np.random.Generator, seeds: int, items: int) -> Truth:
        sizes = ((seeds, 1), (1, items), (seeds, items))
        effects = (
            np.sqrt(share * np.prod(size)) * generator.standard_normal(size)
            for share, size in zip(shares, sizes, strict=True)
        )
        return sample(sum(effects, np.zeros((seeds, items)))), 0.0

    return draw


def _answers(
    generator: np.random.Generator, item: np.ndarray, seeds: int, percent: float, seed: float = SEED
) -> np.ndarray:
    """[S, N] of 0 and 100: right where a seed's, an item's and the cell's own luck together suffice."""
    luck = ITEM * item + seed * generator.standard_normal((seeds, 1))
    luck = luck + REST * generator.standard_normal((seeds, len(item)))
    total = np.sqrt(ITEM**2 + seed**2 + REST**2)
    return 100.0 * (luck / total < stats.norm.ppf(percent / 100))


def scores(percent: float) -> Draw:
    """Items that are right or wrong, `percent` of them right."""

    def draw(generator: np.random.Generator, seeds: int, items: int) -> Truth:
        right = _answers(generator, generator.standard_normal(items), seeds, percent)
        return sample(right, (0.0, 100.0)), percent

    return draw


def gains(before: float, after: float) -> Draw:
    """after - before; what is hard before is hard after. The base is scored once."""

    def draw(generator: np.random.Generator, seeds: int, items: int) -> Truth:
        item = generator.standard_normal(items)
        base = _answers(generator, item, 1, before, seed=0.0)
        return sample(_answers(generator, item, seeds, after) - base, (-100.0, 100.0)), after - before

    return draw


def designs() -> Iterator[tuple[str, Draw]]:
    """Every kind of benchmark that is simulated."""
    for name, shares in SHARES.items():
        yield name, normal(shares)
    for percent in SCORES:
        yield f"score {percent}", scores(percent)
    for before, after in GAINS:
        yield f"gain {before} to {after}", gains(before, after)


def holds(draw: Draw, seeds: int, items: int, repeats: int, *purpose: object) -> tuple[float, float]:
    """How often (share of 1) the interval holds the truth, and its mean width."""
    generator = np.random.default_rng(seed_for(0, "coverage", seeds, items, *purpose))
    held, width = 0, 0.0
    for _ in range(repeats):
        drawn, truth = draw(generator, seeds, items)
        found = interval(drawn)
        held += found.low <= truth <= found.high
        width += found.high - found.low
    return held / repeats, width / repeats


def naive(draw: Draw, seeds: int, items: int, repeats: int, *purpose: object) -> float:
    """How often the percentile interval of 200 draws of seeds, and of items, holds the truth."""
    generator = np.random.default_rng(seed_for(0, "naive", seeds, items, *purpose))
    held = 0
    for _ in range(repeats):
        drawn, truth = draw(generator, seeds, items)
        rows = generator.multinomial(seeds, np.full(seeds, 1 / seeds), 200) / seeds
        columns = generator.multinomial(items, np.full(items, 1 / items), 200) / items
        means = ((rows @ drawn.values) * columns).sum(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        held += low <= truth <= high
    return held / repeats


def family(draw: Draw, seeds: int, items: int, repeats: int, *purpose: object) -> float:
    """How often any two of six equal variants on three tasks get told apart."""
    generator = np.random.default_rng(seed_for(0, "family", seeds, items, *purpose))
    wrong = 0
    for _ in range(repeats):
        board: dict[str, dict[str, Sample]] = {variant: {} for variant in "uvwxyz"}
        for task in "abc":
            common = generator.standard_normal(items)
            for variant in board:
                drawn = draw(generator, seeds, items)[0]
                values = drawn.values if drawn.limits else drawn.values + common
                board[variant][task] = sample(values, drawn.limits)
        wrong += any(pair.verdict != "cannot tell" for pair in ranks(board).pairs)
    return wrong / repeats


def power(draw: Draw, seeds: int, items: int, repeats: int, *purpose: object) -> tuple[float, float]:
    """How often a difference is found that is as large as `detectable` says, and how large that is.

    What is detectable is told by benchmarks without any difference; its mean square is taken, as a single
    benchmark of few seeds knows its own noise badly.
    """
    generator = np.random.default_rng(seed_for(0, "power", seeds, items, *purpose))

    def pair(shift: float) -> Comparison:
        a, b = (draw(generator, seeds, items)[0].values for _ in range(2))
        return compare(sample(a), sample(b + shift))

    visible = float(np.sqrt(np.mean([pair(0.0).detectable ** 2 for _ in range(repeats)])))
    return sum(pair(visible).apart for _ in range(repeats)) / repeats, visible


def coverage_table(repeats: int) -> Table:
    """A row a kind of benchmark, a column a number of seeds and items; shares in percent."""
    found = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=f"coverage of the 95 % intervals, {repeats} benchmarks each; seeds over items",
        title_justify="left",
    )
    for name in ("noise", *(f"{seeds}\n{items}" for seeds in SEEDS for items in ITEMS)):
        found.add_column(name, justify="right", no_wrap=True)
    for name, draw in designs():
        cells = (holds(draw, seeds, items, repeats, name)[0] for seeds in SEEDS for items in ITEMS)
        found.add_row(name, *(f"{100 * share:.1f}" for share in cells))
    return found


def tests_table(repeats: int) -> Table:
    """Errors of ranks of equal variants, power where it should be 80, and the naive bootstrap's coverage."""
    found = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=f"250 items, {repeats} benchmarks each, percent",
        title_justify="left",
    )
    for name in ("noise", "seeds", "false ranks", "power", "detectable", "naive coverage"):
        found.add_column(name, justify="right")
    for name, shares in SHARES.items():
        for seeds in (2, 3, 5):
            draw, purpose = normal(shares), (name,)
            told, visible = power(draw, seeds, 250, repeats, *purpose)
            found.add_row(
                name,
                str(seeds),
                f"{100 * family(draw, seeds, 250, repeats, *purpose):.1f}",
                f"{100 * told:.1f}",
                f"{visible:.2f}",
                f"{100 * naive(draw, seeds, 250, repeats, *purpose):.1f}",
            )
    for percent in (50, 98):
        wrong = family(scores(percent), 3, 250, repeats, percent)
        found.add_row(f"score {percent}", "3", f"{100 * wrong:.1f}", "", "", "")
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=1000, help="simulated benchmarks of each kind")
    repeats = parser.parse_args().repeats
    console, start = Console(width=110), time.perf_counter()
    console.print(coverage_table(repeats))
    console.print(tests_table(repeats))
    console.print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
