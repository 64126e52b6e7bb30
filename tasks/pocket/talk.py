"""Talk: everyday sentences, so that the base knows the words it will later be asked with.

Words alone: nothing is counted, computed or obeyed here, so no task can be learned from it.
"""

from __future__ import annotations

import random

from tasks.pocket.names import NOUNS, PEOPLE, PLURALS

SENTENCES = (
    "{p} has some {n}.",
    "{p} buys more {n} and gives them to {q}.",
    "{p} gives the {w} to {q}.",
    "{p} finds {n} in the morning, {q} finds {n} in the evening.",
    "Then {q} brings {n}.",
    "{p} loses the {n}, later {q} sold them.",
    "There were {n} in the bag of {p}.",
    "{q} took one of them, then {p} took the {w}.",
    "{p} has boxes with {n} in each box.",
    "{q} adds {n} and takes away the {w}.",
    "{p} fills bags with {n}.",
    "How many {n} are there now?",
    "{p} lives at house # 7.",
    "Write the word {w} a few times, says {p}.",
    "{p} gave an Instruction, the Response of {q} was late.",
    "Repeat these words, says {q}, in reverse order.",
    "{p} likes to put commas between the words.",
    "{q} puts hyphens between the words.",
    "Put the word and between the words, says {p}.",
    "Use double quotes around the answer, says {q}.",
    "Use round brackets, not square brackets.",
    "End with an exclamation mark!",
    "Use capital letters only, says {p}.",
    "{p} wants to solve it: add a number, then subtract another.",
    "Increase by a little, then decrease by more.",
    "Multiply by it, or take it several times.",
    "Take the remainder, or reduce it modulo something.",
    "Raise to at least this, limit to at most that.",
    "Use it if smaller, use it if larger.",
    "Drop the sign, flip the sign, make it positive, negate it.",
    "Find the maximum of xs, then the minimum of xs.",
    "Take the largest of xs, take the smallest of xs.",
    "Add up xs, take the total of xs, count xs.",
    "Take the length of xs, the first of xs, the last of xs.",
    "Take the larger of a and b, then the smaller of a and b.",
    "Multiply a and b, add a and b, subtract b from a.",
)


def document(random_: random.Random) -> str:
    """A training document: a few unconnected sentences."""
    lines = []
    for sentence in random_.sample(SENTENCES, random_.randrange(2, 6)):
        p, q = random_.sample(PEOPLE, 2)
        lines.append(sentence.format(p=p, q=q, n=random_.choice(PLURALS), w=random_.choice(NOUNS)))
    return " ".join(lines)
