"""Regret: how far a variant at its best learning rate stays behind a reference at its best."""

from __future__ import annotations

from collections.abc import Mapping

from suite.errors import UserError
from suite.statistics.intervals import Comparison
from suite.statistics.many import compare_many
from suite.statistics.sample import Sample


def regret(tuned: Mapping[str, Mapping[str, Sample]], reference: str) -> dict[str, Comparison]:
    """reference - variant of the tuned cells (variant -> task -> sample of a gain), for every other variant.

    Paired by item and seed, mean over tasks; positive: it stays behind. UserError without `reference`.
    """
    if reference not in tuned:
        raise UserError(f"no reference {reference!r} among {', '.join(sorted(tuned))}")
    others = [name for name in tuned if name != reference]
    return dict(zip(others, compare_many(tuned, [(name, reference) for name in others]), strict=True))
