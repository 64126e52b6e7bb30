"""Learning against forgetting, and how often one variant beats another: draws over seeds and items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from suite.errors import UserError
from suite.seeds import seed_for
from suite.statistics.sample import Sample, Values
from suite.statistics.variance import pulls

DRAWS = 4_000
PART = 200
Board = Mapping[str, Mapping[str, Sample]]  # variant -> task -> sample


@dataclass(frozen=True)
class Improvement:
    """The probability that a run of b beats a run of a, mean over tasks, with its 95 % interval."""

    probability: float
    low: float
    high: float
    seeds: int
    tasks: int


def pareto(gain: Board, forgetting: Board, draws: int = DRAWS) -> dict[str, float]:
    """Per variant the probability that no other one gains at least as much and forgets no more.

    Mean over tasks of both. Each draw moves all variants together where they share items or seeds: every
    item and every seed gets a random weight, so what is hard for all of them separates none of them.
    UserError unless all variants have the same tasks.
    """
    names = list(gain)
    if not names or set(names) != set(forgetting):
        raise UserError("a front needs gain and forgetting of the same variants, one at least")
    learned = _drawn(gain, names, draws, "gain")
    lost = _drawn(forgetting, names, draws, "forgetting")
    found: dict[str, float] = {}
    for at, name in enumerate(names):
        no_worse = (learned >= learned[at]) & (lost <= lost[at])
        better = no_worse & ((learned > learned[at]) | (lost < lost[at]))
        found[name] = float(1 - better.any(axis=0).mean())
    return found


def undominated(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Names of points that no other one reaches in both and beats in one; by the first, falling."""
    order = sorted(points, key=lambda name: (-points[name][0], -points[name][1], name))
    found: list[str] = []
    for name in order:
        best = max((points[one][1] for one in found), default=-np.inf)
        twin = bool(found) and points[found[-1]] == points[name]
        if points[name][1] > best or twin:
            found.append(name)
    return found


def improvement(a: Mapping[str, Sample], b: Mapping[str, Sample], draws: int = DRAWS) -> Improvement:
    """P(b > a) of two runs, mean over tasks, a tie half: probability of improvement (Agarwal et al. 2021).

    The interval resamples the seeds of each variant and the items of each task. UserError unless both have
    the same tasks.
    """
    if not a or a.keys() != b.keys():
        raise UserError(f"tasks {sorted(a)} against {sorted(b)}; expected the same ones, one at least")
    generator = np.random.default_rng(seed_for(0, "probability of improvement"))
    total, drawn = 0.0, np.zeros(draws)
    for task in a:
        total += float(_beats(a[task].by_seed[None], b[task].by_seed[None])[0])
        drawn += _beats(*_resampled(a[task], b[task], draws, generator))
    low, high = np.quantile(drawn / len(a), [0.025, 0.975])
    seeds = min(len(sample.seeds) for samples in (a, b) for sample in samples.values())
    value = total / len(a)
    return Improvement(value, min(float(low), value), max(float(high), value), seeds, len(a))


def _drawn(board: Board, names: list[str], draws: int, quantity: str) -> Values:
    """[variant, draw]: the mean over tasks of each variant, moved by random weights of items and seeds.

    An item's weight moves the quantity by its pull. The seeds move it by a t with S - 1 degrees of freedom:
    three seeds say little about how far seeds lie apart.
    """
    tasks = list(board[names[0]])
    if any(set(samples) != set(tasks) for samples in board.values()) or not tasks:
        raise UserError("a front needs the same tasks, one at least, of every variant")
    found = np.zeros((len(names), draws))
    pulled: dict[
        tuple[object, ...], Values
    ] = {}  # items -> [variant, item]: summed over tasks of these items
    by_seed: dict[tuple[str, int], Values] = {}
    for task in tasks:
        for at, name in enumerate(names):
            sample = board[name][task]
            means, pull, _ = pulls(sample)
            rows = pulled.setdefault((sample.items, sample.groups), np.zeros((len(names), pull.shape[1])))
            rows[at] += pull.mean(axis=0) / len(tasks)
            moved = np.full(draws, means.mean())
            count = len(sample.seeds)
            if count > 1:
                for seed in sample.seeds:
                    if (task, seed) not in by_seed:
                        by_seed[task, seed] = _normal((draws,), "seed", task, seed)
                spread = np.sqrt((count - 1) / _chi_square(draws, count - 1, task))
                lot = np.stack([by_seed[task, seed] for seed in sample.seeds])
                moved += spread * ((means - means.mean()) @ lot) / np.sqrt(count * (count - 1))
            found[at] += moved / len(tasks)
    for items, rows in pulled.items():
        weights = _normal((draws, rows.shape[1]), "items", *items)
        for part in range(0, draws, PART):  # few draws at a time stay in the processor's cache
            inner = weights[part : part + PART]
            for at in np.flatnonzero(rows.any(axis=1)):
                found[at, part : part + PART] += inner @ rows[at]
    return found


def _normal(shape: tuple[int, ...], *purpose: object) -> Values:
    return np.random.default_rng(seed_for(0, "front", *purpose)).standard_normal(shape)


def _chi_square(draws: int, df: int, task: str) -> Values:
    return np.random.default_rng(seed_for(0, "front", "spread", df, task)).chisquare(df, draws)


def _resampled(a: Sample, b: Sample, draws: int, generator: np.random.Generator) -> tuple[Values, Values]:
    """[draw, seed] of both: the means of resampled seeds over resampled items, the same items for both."""
    known = set(b.items)
    items = [item for item in a.items if item in known]
    if not items:
        raise UserError("no item in common: they cannot be paired")
    a, b = a.of(a.seeds, items), b.of(b.seeds, items)
    counts = generator.multinomial(len(items), np.full(len(items), 1 / len(items)), draws) - 1.0
    moved = []
    for sample in (a, b):
        weighted = (sample.values - sample.by_seed[:, None]) * sample.weights
        means = sample.by_seed + counts @ weighted.T
        chosen = generator.integers(0, len(sample.seeds), (draws, len(sample.seeds)))
        moved.append(np.take_along_axis(means, chosen, axis=1))
    return moved[0], moved[1]


def _beats(a: Values, b: Values) -> Values:
    """[draw]: the share of pairs (a run of a, a run of b) in which b is higher; a tie is half a win."""
    over = b[:, :, None] - a[:, None, :]
    return ((over > 0) + 0.5 * (over == 0)).mean(axis=(1, 2))
