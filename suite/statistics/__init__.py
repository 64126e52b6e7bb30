"""What the numbers can support: intervals, paired tests, ranks with ties, fronts. Pure; numpy and scipy.

Everything starts from a `Sample`: the values of one variant on one task, item by item, under each seed.
"""

from suite.statistics.fronts import Improvement, improvement, pareto
from suite.statistics.intervals import (
    LEVEL,
    Comparison,
    Interval,
    compare,
    compare_over_tasks,
    over_tasks,
)
from suite.statistics.intervals import interval as interval
from suite.statistics.pairs import flipped, holm, mcnemar, permutation
from suite.statistics.ranking import Pair, Ranking, Standing, ranks
from suite.statistics.records import forgetting, gain, log_loss, score, skill
from suite.statistics.regrets import regret
from suite.statistics.sample import Sample

__all__ = [
    "LEVEL",
    "Comparison",
    "Improvement",
    "Interval",
    "Pair",
    "Ranking",
    "Sample",
    "Standing",
    "compare",
    "compare_over_tasks",
    "flipped",
    "forgetting",
    "gain",
    "holm",
    "improvement",
    "interval",
    "log_loss",
    "mcnemar",
    "over_tasks",
    "pareto",
    "permutation",
    "ranks",
    "regret",
    "score",
    "skill",
]
