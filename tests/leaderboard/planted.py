"""Boards whose answer is known: made-up records with as many right items as a test asks for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from leaderboard.site import BoardView, Site, site
from suite.reading import Kept, Reading, Rejected
from suite.record import Item, Record, Score, Search, TaskRef, VariantRef
from tests.example_records.make import cell, record

ITEMS = 100
TOTAL = 1_000_000
RATES = [1e-3, 1.8e-3, 3.2e-3]


def outcome(evaluation: str, right: float, key: str) -> Score:
    """About `right` of 100 items right: which ones depends on `key` alone."""
    order = list(range(ITEMS))
    random.Random(key).shuffle(order)
    items = [Item(id=str(i), correct=float(order[i] < right)) for i in range(ITEMS)]
    value = sum(item.correct or 0.0 for item in items) / ITEMS
    return Score(
        evaluation=evaluation, metric="acc", value=value, n=ITEMS, metrics={"acc,none": value}, items=items
    )


def method(
    name: str,
    right: Sequence[float],
    tasks: Sequence[str] = ("sums",),
    trainable: int = 4096,
    forgets: float = 10,
    rate: float | None = None,
    default: float | None = None,
    items: bool = True,
    settings: dict[str, Any] | None = None,
    **changes: Any,
) -> list[Record]:
    """Cells of one method: `right` of 100 items by seed on each task, `forgets` of 100 of each skill.

    With a `rate` it is the winner of a search, `default` being the documented rate.
    """
    variant = VariantRef(name=name, settings=settings or {}, revision=1)
    found = []
    for task in tasks:
        for seed, count in enumerate(right):
            where: dict[str, Any] = {
                "task": TaskRef(name=task, source="pocket", revision=1, digest="fedcba9876543210"),
                "recipe": cell(variant, "sums", seed).recipe,
            }
            made = record(cell(variant, "sums", seed, learning_rate=rate or 1e-3, **where))
            assert made.before is not None and made.after is not None
            target = made.cell.evaluation.target[0]
            key = f"{task} {seed} {name}"
            before, after = outcome(target, 0, "base"), outcome(target, count, key)
            skills = made.cell.evaluation.general
            general = {skill: outcome(skill, 80, skill) for skill in skills}
            lost = {skill: outcome(skill, 80 - forgets, skill) for skill in skills}
            if not items:
                before, after = (one.model_copy(update={"items": []}) for one in (before, after))
            search = None
            if rate is not None:
                search = Search(method="grid", rates=RATES, default=default or rate, role="trial")
            found.append(
                made.model_copy(
                    update={
                        "before": made.before.model_copy(
                            update={"target": {target: before}, "general": general}
                        ),
                        "after": made.after.model_copy(update={"target": {target: after}, "general": lost}),
                        "search": search,
                        "trainable_parameters": trainable,
                        "total_parameters": TOTAL,
                        **changes,
                    }
                )
            )
    return found


def site_of(records: Sequence[Record], badge: str | None = None, rejected: Sequence[Rejected] = ()) -> Site:
    """The site of these records."""
    kept = tuple(Kept(one, "planted", badge, ()) for one in sorted(records, key=lambda one: one.id))
    return site(Reading(kept, (), tuple(rejected)))


def board_of(*methods: Sequence[Record]) -> BoardView:
    """The only board of these methods."""
    (board,) = site_of([one for every in methods for one in every]).boards
    return board
