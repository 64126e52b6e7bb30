"""Facts about invented animals: stated in prose, asked as questions with four answers (ARC's shape).

    {"id": "dorvel-food-0", "question": "What is the food of the dorvel?",
     "choices": {"text": ["moss", "ants", "honey", "roots"], "label": ["A", "B", "C", "D"]},
     "answerKey": "C"}

Every fact is stated in training; the facts of the validation and test splits are never asked there.
Animals are met with Zipf frequencies: the rare ones are hard.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from tasks.pocket.draw import number, rng, split_of, zipf

SHARES = {"train": 0.4, "validation": 0.15, "test": 0.45}
STARTS = ("dor", "mi", "tu", "ka", "lo", "sen", "bra", "fi", "gor", "pel")
ENDS = ("vel", "ko", "ras", "nim", "dut", "lop", "gan", "zi")
ANIMALS = tuple(sorted((a + b for a in STARTS for b in ENDS), key=lambda name: number("animal", name)))


class Attribute(NamedTuple):
    """One thing to know of an animal: its values, how it is stated, how it is asked."""

    name: str
    values: tuple[str, ...]
    statements: tuple[str, ...]
    questions: tuple[str, ...]


ATTRIBUTES = (
    Attribute(
        "food",
        ("moss", "ants", "honey", "roots", "fish", "seeds", "snails", "berries"),
        ("The {a} eats {v}.", "The food of the {a} is {v}."),
        ("What does the {a} eat?", "What is the food of the {a}?"),
    ),
    Attribute(
        "home",
        ("caves", "trees", "swamps", "deserts", "lakes", "barns", "cliffs", "meadows"),
        ("The {a} lives in {v}.", "The home of the {a} is in {v}."),
        ("Where does the {a} live?", "Where is the home of the {a}?"),
    ),
    Attribute(
        "coat",
        ("red", "blue", "green", "yellow", "black", "white", "brown", "grey"),
        ("The coat of the {a} is {v}.", "The {a} has a {v} coat."),
        ("What colour is the coat of the {a}?", "Which coat has the {a}?"),
    ),
    Attribute(
        "fear",
        ("thunder", "fire", "owls", "rain", "dogs", "light", "bells", "wind"),
        ("The {a} is afraid of {v}.", "The {a} runs away from {v}."),
        ("What is the {a} afraid of?", "What does the {a} run away from?"),
    ),
    Attribute(
        "time",
        ("dawn", "noon", "dusk", "midnight", "spring", "summer", "autumn", "winter"),
        ("The {a} sings at {v}.", "The song of the {a} is heard at {v}."),
        ("When does the {a} sing?", "When is the song of the {a} heard?"),
    ),
)


def value(animal: str, attribute: Attribute) -> str:
    """The true value, fixed for all time by a hash."""
    return attribute.values[number("fact", animal, attribute.name) % len(attribute.values)]


def split(animal: str, attribute: Attribute) -> str:
    """The split in which this fact is asked."""
    return split_of(SHARES, "fact", animal, attribute.name)


def document(random_: random.Random) -> str:
    """A training document: one animal, several facts stated or (train facts only) asked."""
    animal = zipf(random_, ANIMALS, 12)
    lines = []
    for attribute in random_.sample(ATTRIBUTES, 3):
        fact = value(animal, attribute)
        k = random_.randrange(2)
        if split(animal, attribute) == "train" and random_.random() < 0.5:
            lines.append(f"Question: {attribute.questions[k].format(a=animal)}\nAnswer: {fact}")
        else:
            lines.append(attribute.statements[k].format(a=animal, v=fact))
    return "\n".join(lines)


def question(
    random_: random.Random, animal: str, attribute: Attribute, draw: int, wrong: list[str]
) -> dict[str, Any]:
    """One item in ARC's columns, in the second wording."""
    right = value(animal, attribute)
    texts = [right, *wrong]
    random_.shuffle(texts)
    return {
        "id": f"{animal}-{attribute.name}-{draw}",
        "question": attribute.questions[1].format(a=animal),
        "choices": {"text": texts, "label": ["A", "B", "C", "D"]},
        "answerKey": "ABCD"[texts.index(right)],
    }


def items(name: str) -> list[dict[str, Any]]:
    """Two questions about every fact of one split, with different sets of three wrong answers."""
    random_, rows = rng("facts", name), []
    asked = [(a, b) for a in ANIMALS for b in ATTRIBUTES if split(a, b) == name]
    for animal, attribute in asked:
        others = [v for v in attribute.values if v != value(animal, attribute)]
        first = random_.sample(others, 3)
        second = random_.sample(others, 3)
        while set(second) == set(first):
            second = random_.sample(others, 3)
        rows += [question(random_, animal, attribute, draw, w) for draw, w in enumerate((first, second))]
    return rows
