"""Which points no other one beats in both of two things that are better when higher."""

from __future__ import annotations

import random

from suite.statistics.fronts import undominated


def test_the_front_is_named_from_high_to_low() -> None:
    points = {"a": (3.0, 1.0), "b": (2.0, 2.0), "beaten": (1.0, 1.5), "c": (1.0, 3.0), "short": (3.0, 0.5)}
    assert undominated(points) == ["a", "b", "c"]
    assert undominated({}) == []


def test_twins_stand_together_and_a_tie_in_one_loses() -> None:
    assert undominated({"one": (1.0, 1.0), "two": (1.0, 1.0)}) == ["one", "two"]
    assert undominated({"one": (1.0, 1.0), "less": (1.0, 0.0)}) == ["one"]
    assert undominated({"one": (1.0, 1.0), "less": (0.0, 1.0)}) == ["one"]


def test_it_is_what_the_definition_says() -> None:
    generator = random.Random(0)
    for _ in range(200):
        points = {
            str(i): (generator.randrange(4), generator.randrange(4)) for i in range(generator.randrange(1, 9))
        }
        front = {
            name
            for name, (x, y) in points.items()
            if not any(u >= x and v >= y and (u, v) != (x, y) for u, v in points.values())
        }
        assert set(undominated(points)) == front
