"""Loss-rate curves with a known optimum: what an estimate of it, its interval and a search are tried on.

    python -m benchmarks.simulated_rates            1,000 curves a line, about a minute

Prints how far each estimator lies from the optimum (root mean square, in steps of a grid of four rates a
decade), and how often the 95 % interval of `suite.optimum` covers it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from suite.optimum import gaussian, optimum, vertices
from suite.rates import Curve
from suite.record import TaskRef, VariantRef

Shape = Callable[[np.ndarray], np.ndarray]  # log(rate / optimum) -> loss
STEP = 0.25  # decades
GRID = tuple(float(rate) for rate in 10.0 ** (-3.5 + STEP * np.arange(7)))


def two_slopes(left: float, right: float) -> Shape:
    """A loss whose logarithm falls with slope `left` and rises with slope `right` far from the optimum."""
    share = right / left
    return lambda u: 0.02 * (share * np.exp(-left * u) + np.exp(right * u)) / (1 + share)


def steepening(bend: float) -> Shape:
    """A loss with a floor that falls linearly and rises exponentially; a parabola as `bend` goes to 0."""
    return lambda u: 0.02 + 0.06 * (np.exp(bend * u) - bend * u - 1) / bend**2


SHAPES: dict[str, Shape] = {
    "even": two_slopes(1, 1),
    "steep right": two_slopes(0.7, 2),
    "steep left": two_slopes(2, 1),
    "parabola": steepening(0.01),
    "wall": steepening(2),
    "on a floor": lambda u: 0.015 + two_slopes(1.2, 2)(u) / 3,
    "flat": lambda u: 0.02 * np.exp(0.3 * u**4 + 0.02 * u**2),
}


def bare(losses: Any, rates: Sequence[float] = GRID, **changes: Any) -> Curve:
    """A curve of these losses [R, S] without records; `changes` replaces fields of it."""
    losses = np.array(losses, dtype=float)
    fields: dict[str, Any] = {
        "id": "0" * 16,
        "group": "1" * 16,
        "variant": VariantRef(name="simulated", settings={"rank": 16}, revision=1),
        "task": TaskRef(name="simulated", source="pocket", revision=1, digest="2" * 16),
        "label": "simulated",
        "rates": tuple(rates),
        "seeds": tuple(range(losses.shape[1])),
        "losses": losses,
        "seconds": np.ones_like(losses),
        "untrained": None,
        "records": (),
    }
    return Curve(**{**fields, **changes})


def simulated(
    shape: Shape,
    best: float,
    noise: float,
    seeds: int,
    rng: np.random.Generator,
    rates: Sequence[float] = GRID,
) -> Curve:
    """A curve with its optimum at `best`: noise of each cell and an offset of each seed, in the log loss."""
    means = shape(np.log(np.array(rates) / best))
    logs = rng.normal(0, noise, (len(rates), seeds)) + rng.normal(0, 0.2, (1, seeds))
    return bare(means[:, None] * np.exp(logs), rates)


def drawn(rng: np.random.Generator) -> float:
    """An optimum inside the grid."""
    return float(10 ** rng.uniform(-3.2, -2.3))


def _least_squares(points: int) -> Callable[[np.ndarray, np.ndarray], float]:
    """The vertex of the parabola that fits the `points` rates around the lowest best."""

    def estimate(x: np.ndarray, y: np.ndarray) -> float:
        lowest = int(y.argmin())
        first = int(np.clip(lowest - points // 2, 0, len(x) - points))
        near = slice(first, first + points)
        bend, slope, _ = np.polyfit(x[near] - x[lowest], y[near], 2)
        offset = -slope / (2 * bend) if bend > 0 else 0.0
        return float(np.clip(x[lowest] + offset, x[near][0], x[near][-1]))

    return estimate


def _process(x: np.ndarray, y: np.ndarray) -> float:
    lowest = x[y.argmin()]
    at = np.linspace(max(x[0], lowest - 1.5 * STEP), min(x[-1], lowest + 1.5 * STEP), 76)
    return float(at[gaussian(x, y, at)[0].argmin()])


ESTIMATORS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "lowest tried": lambda x, y: float(x[y.argmin()]),
    "parabola of 3": lambda x, y: float(vertices(x, np.log(y)[None])[0]),
    "same, of the loss": lambda x, y: float(vertices(x, y[None])[0]),
    "parabola of 5": lambda x, y: _least_squares(5)(x, np.log(y)),
    "same, 5, of the loss": _least_squares(5),
    "Gaussian process": lambda x, y: _process(x, np.log(y)),
}


def recovery(count: int, noises: Iterable[float], rng: np.random.Generator) -> Table:
    """How far each estimator is off with three seeds; a process only on a tenth of the curves."""
    table = Table("shape", "noise", *ESTIMATORS, title="off by, in grid steps (root mean square)")
    x = np.log10(GRID)
    for name, shape in SHAPES.items():
        for noise in noises:
            errors: dict[str, list[float]] = {estimator: [] for estimator in ESTIMATORS}
            for i in range(count):
                best = drawn(rng)
                y = simulated(shape, best, noise, 3, rng).means
                for estimator, estimate in ESTIMATORS.items():
                    if estimate is not ESTIMATORS["Gaussian process"] or i % 10 == 0:
                        errors[estimator].append((estimate(x, y) - np.log10(best)) / STEP)
            rms = [float(np.sqrt(np.mean(np.square(values)))) for values in errors.values()]
            table.add_row(name, f"{noise:g}", *[f"{value:.2f}" for value in rms])
    return table


def coverage(count: int, noises: Iterable[float], rng: np.random.Generator) -> Table:
    """How often the interval holds the optimum, and how wide it is (median, as a factor)."""
    table = Table("shape", "noise", "3 seeds", "wide", "5 seeds", "wide", title="95 % intervals")
    for name, shape in SHAPES.items():
        for noise in noises:
            row = []
            for seeds in (3, 5):
                inside, widths = [], []
                for _ in range(count):
                    best = drawn(rng)
                    found = optimum(simulated(shape, best, noise, seeds, rng))
                    assert found is not None and found.low is not None and found.high is not None
                    inside.append(found.low <= best <= found.high)
                    widths.append(found.high / found.low)
                row += [f"{100 * np.mean(inside):.1f} %", f"x{np.median(widths):.2f}"]
            table.add_row(name, f"{noise:g}", *row)
    return table


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--curves", type=int, default=1000, help="curves a line")
    count = parser.parse_args().curves
    console, rng = Console(width=140), np.random.default_rng(0)
    console.print(recovery(count, (0.1, 0.3), rng))
    console.print(coverage(count, (0.03, 0.1, 0.3), rng))


if __name__ == "__main__":
    main()
