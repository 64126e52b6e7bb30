"""Which runs would fill a low-regret map: commands as one would type them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from suite.regions import Family, Map, Point

LOWER = 4  # how much lower, smaller or larger the next point is to lie
VARIANTS = 6  # in one command


@dataclass(frozen=True)
class Experiment:
    """What would be known, and the command; `before` is a line to write first, '' where there is none."""

    asks: str
    command: str
    before: str = ""


def experiments(found: Map, task: str, families: Sequence[Family]) -> tuple[Experiment, ...]:
    """For one task: a lower rank, less and more training, a larger batch; each beside full fine-tuning."""
    chosen = [(family, max(family.points, key=lambda point: point.rank or 0)) for family in families]
    chosen = chosen[:VARIANTS]
    if not chosen:
        return ()
    whole = list(found.references) or ["fullft"]
    point = chosen[0][1]
    size = point.size
    track = size.track.partition("@")[0]
    shared = ["suite", "run", "--tune", "--track", track, "--tasks", task]
    data = [f"--{name}={count}" for name in ("examples", "tokens") if (count := getattr(size, name))]
    steps = ["--steps", str(size.steps)]
    here = [_typed(family, one, one.rank) for family, one in chosen]
    lower = [_typed(family, one, rank) for family, one in chosen for rank in _lower(family)]
    asked = []
    if lower:
        variants = ",".join([*lower, *whole])
        typed = [*shared, *steps, *data, "--variants", variants]
        asked.append(Experiment("Lower ranks", shlex.join(typed)))
    variants = ",".join([*here, *whole])
    for name, count in (("Less", size.steps // LOWER), ("More", size.steps * LOWER)):
        if count:
            more = ["--steps", str(count), *data, "--variants", variants]
            asked.append(Experiment(f"{name} training", shlex.join([*shared, *more])))
    own = ["suite", "run", "--tune", "--track", "large-batch.yaml", "--tasks", task]
    asked.append(
        Experiment(
            "A larger batch",
            shlex.join([*own, *steps, *data, "--variants", variants]),
            before=f"large-batch.yaml: the track with batch_size: {size.batch_size * 8} under recipe",
        )
    )
    return tuple(asked)


def _lower(family: Family) -> list[int]:
    """The next lower rank that has not been run, a quarter of the lowest."""
    ranks = [int(point.rank) for point in family.points if point.rank]
    return [max(1, min(ranks) // LOWER)] if ranks and min(ranks) > 1 else []


def _typed(family: Family, point: Point, rank: float | None) -> str:
    """A variant as --variants takes it; alpha is named so that it stays as it is."""
    settings = {name: value for name, value in (("rank", rank), ("alpha", point.alpha)) if value is not None}
    told = ",".join(f"{point.names.get(name, name)}={value:g}" for name, value in settings.items())
    colon = "," if ":" in family.variant else ":"
    return f"{family.variant}{colon}{told}" if told else family.variant
