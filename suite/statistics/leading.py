"""Which of many cannot be told from the best of them, where the best is found by looking.

So a pair counts as told apart only if its test holds for any pair that might have been looked at: its p times
the number of pairs (Bonferroni) is below 5 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from suite.errors import UserError
from suite.statistics.intervals import LEVEL, compare_over_tasks
from suite.statistics.many import Many
from suite.statistics.sample import Sample

Samples = Mapping[str, Mapping[str, Sample]]  # name -> task -> sample


@dataclass(frozen=True)
class Beside:
    """The best and those that cannot be told from it, by name."""

    best: str
    near: frozenset[str]


def beside_best(samples: Samples, lower: bool = False) -> Beside | None:
    """Compare all with the best by mean over tasks, the lowest if `lower`; None with fewer than two."""
    if len(samples) < 2:
        return None
    many = Many(samples)
    means = {
        label: sum(sample.mean for sample in by_task.values()) / len(by_task)
        for label, by_task in samples.items()
    }
    best = min(means, key=lambda label: (means[label] if lower else -means[label], label))
    others = [label for label in samples if label != best]
    alike = [label for label in others if samples[label].keys() == samples[best].keys()]
    alike = [label for label in alike if many.alike(label, best, list(samples[best]))]
    told = many.compare([(label, best) for label in alike])
    ps = {label: found.p for label, found in zip(alike, told, strict=True)}
    for label in others:
        if label not in ps:
            try:
                ps[label] = compare_over_tasks(samples[label], samples[best]).p
            except UserError:  # no item in common, or other tasks: nothing tells them apart
                ps[label] = 1.0
    pairs = len(samples) * (len(samples) - 1) / 2
    return Beside(best, frozenset(label for label, p in ps.items() if p * pairs >= LEVEL))
