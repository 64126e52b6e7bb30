"""How often the gate is wrong about the same code: A/A comparisons with different seeds.

    python -m benchmarks.gate_noise POOL --draws 200

POOL is a store of the ci track over many seeds (see `benchmarks.gate_pool`). Each comparison draws as many
seeds a side as the track has, none on both sides, and asks `suite.gate.judge`. Comparisons share cells: with
few seeds in the pool they are not independent, and the table says how many seeds there were.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from scipy import stats

from benchmarks.gate_pool import TRACK, Cells, read, side
from suite import track
from suite.gate import Report, judge

VERDICTS = ("fail", "inconclusive", "pass")


@dataclass(frozen=True)
class Noise:
    """What a number of A/A comparisons came to; `why` counts the rows that did not pass."""

    verdicts: Counter[str]
    why: Counter[tuple[str, str, str]]


def noise(cells: Cells, seeds: int, draws: int, seed: int = 0) -> Noise:
    """`draws` comparisons of `seeds` seeds a side."""
    rng = random.Random(seed)
    verdicts: Counter[str] = Counter()
    why: Counter[tuple[str, str, str]] = Counter()
    for _ in range(draws):
        both = rng.sample(sorted(cells), 2 * seeds)
        report = judge(side(cells, sorted(both[:seeds])), side(cells, sorted(both[seeds:])))
        verdicts[report.verdict] += 1
        why.update(unhappy(report))
    return Noise(verdicts, why)


def unhappy(report: Report) -> set[tuple[str, str, str]]:
    """(verdict, variant, metric) of the rows that failed or are inconclusive."""
    return {
        (row.verdict, row.variant or "base", row.metric)
        for row in report.with_verdict("fail", "inconclusive")
    }


def table(found: Noise, pool: int, seeds: int) -> Table:
    """Shares with exact 95 % intervals, as if the comparisons were independent."""
    draws = found.verdicts.total()
    title = f"{draws} A/A comparisons of {seeds} seeds a side, drawn from {pool} seeds"
    made = Table("verdict", "comparisons", "share", "95 % interval", title=title)
    for verdict in VERDICTS:
        count = found.verdicts[verdict]
        low, high = stats.binomtest(count, draws).proportion_ci()
        made.add_row(verdict, str(count), f"{count / draws:.1%}", f"{low:.1%} to {high:.1%}")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Print the shares, and which rows did not pass."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=len(track.load(TRACK).seeds), help="on each side")
    given = parser.parse_args(argv)
    cells = read(given.pool, 2 * given.seeds)
    found = noise(cells, given.seeds, given.draws)
    console = Console()
    console.print(table(found, len(cells), given.seeds))
    for (verdict, variant, metric), count in found.why.most_common():
        console.print(f"{verdict}: {metric} of {variant} in {count}")


if __name__ == "__main__":
    main()
