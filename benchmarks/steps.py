"""How often the search for steps sees one that is not there, and how often one that is.

    python -m benchmarks.steps --repeats 1000

Series of independent noise with a standard deviation of one, on one core; the same numbers come out each
time.

false alarms  percent of the series without a step in which one is found. `bump 1`, `bump 2`: one moment, or
              two beside each other, moved by 8 standard deviations. `drift`: noise that remembers 0.3 of the
              moment before, which is not independent: what the method does not promise.
steps         a step of 2, 3 or 5 standard deviations in the middle: percent of series in which it is found,
              in which exactly one is, how many moments off its place is on average, and how often the
              interval of the change holds the truth.
and back      the level moves for a third of the series and back again: percent in which both are found.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from suite.seeds import seed_for
from suite.statistics.steps import find_steps

LENGTHS = (5, 10, 30, 100)
SHIFTS = (2.0, 3.0, 5.0)
BUMP = 8.0
MEMORY = 0.3
Draw = Callable[[np.random.Generator, int], np.ndarray]


def normal(generator: np.random.Generator, count: int) -> np.ndarray:
    """Normal noise."""
    return generator.standard_normal(count)


def heavy(generator: np.random.Generator, count: int) -> np.ndarray:
    """Student's t with three degrees of freedom, scaled to a standard deviation of one."""
    return generator.standard_t(3, count) / np.sqrt(3)


def bumped(moments: int) -> Draw:
    """Normal noise with one bump of so many moments somewhere."""

    def draw(generator: np.random.Generator, count: int) -> np.ndarray:
        values = normal(generator, count)
        at = int(generator.integers(0, count - moments + 1))
        values[at : at + moments] += BUMP
        return values

    return draw


def drifting(generator: np.random.Generator, count: int) -> np.ndarray:
    """Normal noise of which each moment remembers a part of the one before."""
    values = normal(generator, count)
    for at in range(1, count):
        values[at] = MEMORY * values[at - 1] + np.sqrt(1 - MEMORY**2) * values[at]
    return values


NOISES: dict[str, Draw] = {
    "normal": normal,
    "t3": heavy,
    "bump 1": bumped(1),
    "bump 2": bumped(2),
    "drift": drifting,
}


@dataclass(frozen=True)
class Seen:
    """Of series with one step: shares that found one, and exactly one; moments off; interval's coverage."""

    found: float
    alone: float
    off: float
    held: float


def series(draw: Draw, count: int, repeats: int, *purpose: object) -> Iterator[np.ndarray]:
    """So many series of this noise."""
    generator = np.random.default_rng(seed_for(0, "steps benchmark", count, *purpose))
    for _ in range(repeats):
        yield draw(generator, count)


def false_alarms(draw: Draw, count: int, repeats: int, *purpose: object) -> float:
    """The share of series without a step in which one is found."""
    return sum(bool(find_steps(one).steps) for one in series(draw, count, repeats, *purpose)) / repeats


def seen(draw: Draw, count: int, shift: float, repeats: int, *purpose: object) -> Seen:
    """What is found of a step of `shift` in the middle."""
    off, alone, held = [], 0, 0
    for values in series(draw, count, repeats, shift, *purpose):
        values[count // 2 :] += shift
        steps = find_steps(values).steps
        if steps:
            near = min(steps, key=lambda step: abs(step.at - count // 2))
            off.append(abs(near.at - count // 2))
            held += near.low is not None and near.high is not None and near.low <= shift <= near.high
            alone += len(steps) == 1
    found = len(off)
    return Seen(
        found / repeats,
        alone / repeats,
        float(np.mean(off)) if off else np.nan,
        held / found if found else np.nan,
    )


def there_and_back(draw: Draw, count: int, shift: float, repeats: int, *purpose: object) -> float:
    """The share of series in which both ends of a level of a third are found, each within two moments."""
    ends, both = (count // 3, 2 * (count // 3)), 0
    for values in series(draw, count, repeats, "back", shift, *purpose):
        values[ends[0] : ends[1]] += shift
        steps = find_steps(values).steps
        both += all(any(abs(step.at - end) <= 2 for step in steps) for end in ends)
    return both / repeats


def _table(title: str, columns: list[str]) -> Table:
    found = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=title, title_justify="left")
    for name in columns:
        found.add_column(name, justify="right", no_wrap=True)
    return found


def alarms_table(repeats: int) -> Table:
    """A row a length, a column a kind of noise."""
    found = _table(f"false alarms, percent of {repeats} series", ["moments", *NOISES])
    for count in LENGTHS:
        shares = (false_alarms(draw, count, repeats, name) for name, draw in NOISES.items())
        found.add_row(str(count), *(f"{100 * share:.1f}" for share in shares))
    return found


def steps_table(repeats: int) -> Table:
    """A row a length, noise and step."""
    columns = ["moments", "noise", "step", "found", "exactly one", "off", "interval holds", "and back"]
    found = _table(f"steps, percent of {repeats} series", columns)
    for count in LENGTHS:
        for name in ("normal", "t3"):
            for shift in SHIFTS:
                one = seen(NOISES[name], count, shift, repeats, name)
                back = there_and_back(NOISES[name], count, shift, repeats, name)
                found.add_row(
                    *(str(count), name, f"{shift:g} sd", f"{100 * one.found:.1f}", f"{100 * one.alone:.1f}"),
                    *("-" if np.isnan(one.off) else f"{one.off:.2f}",),
                    *("-" if np.isnan(one.held) else f"{100 * one.held:.1f}", f"{100 * back:.1f}"),
                )
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=1000, help="series of each kind")
    repeats = parser.parse_args().repeats
    console, start = Console(width=110), time.perf_counter()
    console.print(alarms_table(repeats))
    console.print(steps_table(repeats))
    console.print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
