"""The learning rate that wins on validation, for every variant of a sweep's store.

    suite run --variants lora --lr 2e-3,5e-3,1e-2 --limit 1 --store sweep
    python -m benchmarks.rates sweep

Prints the validation log loss (nats per response token) by variant, task and rate, and names the rate with
the lowest geometric mean over the tasks. Test scores are not looked at.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from suite.store import Store


def losses(store: Path) -> dict[str, dict[float, dict[str, float]]]:
    """variant -> rate -> task -> validation log loss, mean over seeds; infinite where a cell diverged.

    Records without a rate or without that loss (imported ones) are left out.
    """
    found: dict[tuple[str, float, str], list[float]] = defaultdict(list)
    for record in Store(store).records():
        cell, loss = record.cell, record.after.log_loss.get("validation") if record.after else math.inf
        if record.source is None and cell.learning_rate is not None and loss is not None:
            found[cell.variant.name, cell.learning_rate, cell.task.name].append(loss)
    table: dict[str, dict[float, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for (variant, rate, task), values in sorted(found.items()):
        table[variant][rate][task] = sum(values) / len(values)
    return table


def geometric_mean(values: list[float]) -> float:
    """exp of the mean log."""
    return math.exp(sum(map(math.log, values)) / len(values))


def main() -> None:
    """Print the table and the winners."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("store", type=Path)
    found = losses(parser.parse_args().store)
    tasks = sorted({task for rates in found.values() for row in rates.values() for task in row})
    table = Table("variant", "rate", *tasks, "geometric mean", "")
    for variant, rates in found.items():
        means = {rate: geometric_mean([row.get(t, math.inf) for t in tasks]) for rate, row in rates.items()}
        best = min(means, key=means.__getitem__)
        for rate, row in rates.items():
            cells = [f"{row.get(task, math.nan):.4f}" for task in tasks]
            table.add_row(variant, f"{rate:g}", *cells, f"{means[rate]:.4f}", "best" if rate == best else "")
    Console().print(table)


if __name__ == "__main__":
    main()
