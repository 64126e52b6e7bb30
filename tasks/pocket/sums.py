"""Sums: bare arithmetic in the base's training text, and word problems to fine-tune on (GSM8K's shape).

    {"question": "Mara has 12 apples. Mara buys 7 more. Then Mara gives 5 apples to Tom. How many ...?",
     "answer": "12 + 7 = 19\\n19 - 5 = 14\\n#### 14"}

The base knows the arithmetic and has never met a word problem.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from tasks.pocket.draw import rng, split_of
from tasks.pocket.names import PEOPLE, PLURALS

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
LARGEST = 20


def apply(a: int, sign: str, b: int) -> int:
    """a sign b for sign in + - *."""
    return a + b if sign == "+" else a - b if sign == "-" else a * b


def line(random_: random.Random) -> str:
    """One true equation with a result between 0 and LARGEST."""
    while True:
        sign = random_.choice("++--*")
        a, b = random_.randrange(1, LARGEST + 1), random_.randrange(1, LARGEST + 1)
        if sign == "*":
            a, b = random_.randrange(2, 10), random_.randrange(2, 10)
        if 0 <= apply(a, sign, b) <= LARGEST:
            return f"{a} {sign} {b} = {apply(a, sign, b)}"


def document(random_: random.Random) -> str:
    """A training document: a few equations."""
    return "\n".join(line(random_) for _ in range(random_.randrange(3, 7)))


class Story(NamedTuple):
    """A word problem: the signs of its two steps and its sentences."""

    signs: str
    text: str


STORIES = (
    Story("+-", "{p} has {a} {n}. {p} buys {b} more. Then {p} gives {c} {n} to {q}."),
    Story("++", "{p} finds {a} {n} in the morning and {b} in the evening. Then {q} brings {c} {n} more."),
    Story("-+", "{p} has {a} {n}. {p} loses {b} of them. Later {q} gives {c} {n} to {p}."),
    Story("--", "There were {a} {n} in the bag of {p}. {q} took {b}. Then {p} sold {c}."),
    Story("*+", "{p} has {a} boxes with {b} {n} in each box. {q} adds {c} {n}."),
    Story("*-", "{p} fills {a} bags with {b} {n} each. Then {q} takes away {c} {n}."),
)


def problem(random_: random.Random, split: str) -> dict[str, str]:
    """One word problem whose (story, numbers) belongs to `split`, in GSM8K's columns."""
    while True:
        k = random_.randrange(len(STORIES))
        signs, text = STORIES[k]
        a, b, c = random_.randrange(2, 21), random_.randrange(2, 13), random_.randrange(2, 13)
        if signs[0] == "*":
            a, b = random_.randrange(2, 7), random_.randrange(2, 7)
        middle = apply(a, signs[0], b)
        last = apply(middle, signs[1], c)
        if not (0 <= middle <= LARGEST and 0 <= last <= LARGEST):
            continue
        if split_of(SHARES, "sum", k, a, b, c) == split:
            break
    p, q = random_.sample(PEOPLE, 2)
    noun = random_.choice(PLURALS)
    body = text.format(a=a, b=b, c=c, p=p, q=q, n=noun)
    steps = f"{a} {signs[0]} {b} = {middle}\n{middle} {signs[1]} {c} = {last}"
    return {"question": f"{body} How many {noun} are there now?", "answer": f"{steps}\n#### {last}"}


def problems(split: str, count: int) -> list[dict[str, str]]:
    """`count` distinct problems of one split."""
    random_, seen = rng("sums", split), {}
    while len(seen) < count:
        row = problem(random_, split)
        seen.setdefault(row["question"], row)
    return list(seen.values())
