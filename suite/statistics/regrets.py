"""Regret: how far a variant at its best learning rate stays behind a reference at its best."""

from __future__ import annotations

from collections.abc import Mapping

from suite.errors import UserError
from suite.statistics.intervals import Comparison, compare_over_tasks
from suite.statistics.sample import Sample


def regret(tuned: Mapping[str, Mapping[str, Sample]], reference: str) -> dict[str, Comparison]:
    """reference - variant of the tuned cells (variant -> task -> sample of a gain), for every other variant.

    Paired by item and seed, mean over tasks; positive: it stays behind. UserError without `reference`.
    """
    if reference not in tuned:
        raise UserError(f"no reference {reference!r} among {', '.join(sorted(tuned))}")
    best = tuned[reference]
    return {name: compare_over_tasks(samples, best) for name, samples in tuned.items() if name != reference}
