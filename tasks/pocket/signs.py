"""Words in lists, on signs, in quotes, and words said again: what the base knows of copying."""

from __future__ import annotations

import random

from tasks.pocket.names import NOUNS, PEOPLE, PLACES

LIST_MARKS = (", ", "-", " and ")
NOTE_MARKS = ('""', "()", "[]")


def document(random_: random.Random) -> str:
    """A training document: a few such lines, never an instruction."""
    lines = []
    for _ in range(random_.randrange(1, 4)):
        words = random_.sample(NOUNS, random_.randrange(1, 5))
        kind = random_.randrange(6)
        if kind == 0:
            lines.append(f"The sign read {' '.join(words).upper()}, and a {' '.join(words)} was there.")
        elif kind == 1:
            lines.append(f"On the list: {random_.choice(LIST_MARKS).join(words)}.")
        elif kind == 2:
            wrap = random_.choice(NOTE_MARKS)
            lines.append(f"A note said {wrap[0]}{', '.join(words)}{wrap[1]} in big letters.")
        else:
            lines.append(_said_again(random_))
    return "\n".join(lines)


def notes(random_: random.Random) -> str:
    """A training document: headings with a few words under each."""
    people = random_.sample(PEOPLE, random_.randrange(1, 4))
    return "\n".join(f"## {person}\n{' '.join(random_.sample(NOUNS, 3))}" for person in people)


def _said_again(random_: random.Random) -> str:
    """Two people say the same words, which can only be copied."""
    first, second = random_.sample(PEOPLE, 2)
    words = " ".join(random_.sample(NOUNS + PLACES, random_.randrange(3, 8)))
    return f"{first} says {words}. {second} says {words}."
