"""What a row forgot of each skill: the mean over tasks of what its records say, or nothing."""

from __future__ import annotations

import pytest

from suite.record import Record
from suite.skills import by_skill
from tests.example_records.make import LORA, PISSA, SKILLS, cell, record, stopped

TASKS = ("sums", "words")


def _row(*skills: tuple[str, int, tuple[int, int, int]]) -> list[Record]:
    return [record(cell(LORA, task, seed), skills=right) for task, seed, right in skills]


def test_the_tasks_weigh_the_same_and_each_skill_stands_alone() -> None:
    row = _row(
        ("sums", 0, (1, 3, 2)), ("sums", 1, (1, 3, 2)), ("words", 0, (3, 1, 4)), ("words", 1, (3, 1, 4))
    )
    found = by_skill({"row": row}, SKILLS, TASKS)["row"]
    # before: 3, 3 and 2 of 4 right; lost on sums 2, 0, 0 and on words 0, 2, -2
    assert [found[skill].value for skill in SKILLS] == pytest.approx([25.0, 25.0, -25.0])
    for skill, one in found.items():
        assert one.low < one.value < one.high, skill
        assert one.seeds == 2


def test_a_row_without_every_task_or_without_items_has_no_interval() -> None:
    whole = _row(("sums", 0, (1, 3, 2)), ("sums", 1, (1, 2, 2)))
    assert by_skill({"row": whole}, SKILLS, TASKS) == {}
    assert by_skill({"row": whole}, SKILLS, ()) == {}
    failed = [whole[0], stopped(cell(PISSA, "words", 0), "oom", "made up")]
    assert by_skill({"row": failed}, SKILLS, TASKS) == {}
    bare = [
        one.model_copy(
            update={
                "before": one.before.model_copy(
                    update={
                        "general": {
                            name: score.model_copy(update={"items": []})
                            for name, score in one.before.general.items()
                        }
                    }
                )
            }
        )
        for one in whole
        if one.before
    ]
    assert by_skill({"row": bare}, SKILLS, ("sums",)) == {"row": {}}
    assert set(by_skill({"row": whole}, ["no such skill", SKILLS[0]], ("sums",))["row"]) == {SKILLS[0]}
