"""Instructions whose obedience a program can verify (IFEval's shape).

    {"key": 17, "prompt": "Write the word lamp 3 times. Put commas between the words. Finish with Oslo.",
     "instruction_id_list": ["content:words", "format:separator", "format:finish"],
     "kwargs": [{"words": ["lamp", "lamp", "lamp", "oslo"]},
                {"separator": ", ", "words": ["lamp", "lamp", "lamp"]}, {"word": "Oslo"}],
     "response": "lamp, lamp, lamp Oslo"}

Each prompt asks for some words, for what stands between them, and often for a word or mark at an end.
The base has met words in lists and words said again, and never an instruction.
"""

from __future__ import annotations

import random
import re
from typing import Any

from tasks.pocket.draw import rng, split_of
from tasks.pocket.names import NOUNS, PLACES

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
SEPARATORS = {", ": "commas", " and ": "the word and", " or ": "the word or"}
EXTRAS = ("none", "start", "finish", "mark")


def follows(instruction_id: str, kwargs: dict[str, Any], response: str) -> bool:
    """Whether a response obeys one instruction, strictly; white space around the response does not count.

    content:words (words): these words in this order and no others beside "and" and "or", in any case;
    format:separator (separator, words): the words stand with exactly this between them;
    format:start, format:finish (word), format:mark (mark): the first word, the last word, the last character.
    Raises KeyError for an unknown instruction id.
    """
    text = response.strip()
    return _CHECKS[instruction_id](text, **kwargs)


_CHECKS = {
    "content:words": lambda text, words: (
        [w for w in re.findall(r"\w+", text.lower()) if w not in ("and", "or")] == words
    ),
    "format:separator": lambda text, separator, words: separator.join(words) in text.lower(),
    "format:start": lambda text, word: text.split(" ")[0] == word,
    "format:finish": lambda text, word: text.split(" ")[-1] == word,
    "format:mark": lambda text, mark: text.endswith(mark),
}


def _content(random_: random.Random) -> tuple[str, list[str]]:
    """A sentence that asks for words, and the words in the order asked for."""
    kind = random_.randrange(3)
    if kind == 0:
        word, count = random_.choice(NOUNS), random_.randrange(2, 5)
        return f"Write the word {word} {count} times.", [word] * count
    if kind == 1:
        words: list[str] = random_.sample(NOUNS, random_.randrange(2, 5))
        return f"Repeat these words: {' '.join(words)}.", words
    words = random_.sample(NOUNS, 2)
    return f"Write these words in reverse order: {' '.join(words)}.", words[::-1]


def prompt(random_: random.Random, split: str) -> dict[str, Any]:
    """One instruction whose words and form belong to `split`, with a right response."""
    while True:
        sentence, words = _content(random_)
        separator, extra = random_.choice(tuple(SEPARATORS)), random_.choice(EXTRAS)
        if split_of(SHARES, "instruction", sentence, separator, extra) == split:
            break
    place = random_.choice(PLACES)
    text = separator.join(words)
    asks = [sentence, f"Put {SEPARATORS[separator]} between the words."]
    checks: dict[str, dict[str, Any]] = {
        "content:words": {"words": words},
        "format:separator": {"separator": separator, "words": words},
    }
    if extra == "start":
        text, said = f"{place} {text}", [place.lower(), *words]
        asks.append(f"Start with {place}.")
        checks |= {"content:words": {"words": said}, "format:start": {"word": place}}
    elif extra == "finish":
        text, said = f"{text} {place}", [*words, place.lower()]
        asks.append(f"Finish with {place}.")
        checks |= {"content:words": {"words": said}, "format:finish": {"word": place}}
    elif extra == "mark":
        text += "!"
        asks.append("End with an exclamation mark.")
        checks["format:mark"] = {"mark": "!"}
    return {
        "prompt": " ".join(asks),
        "instruction_id_list": list(checks),
        "kwargs": list(checks.values()),
        "response": text,
    }


def problems(split: str, count: int) -> list[dict[str, Any]]:
    """`count` distinct instructions of one split, in IFEval's columns."""
    random_, seen = rng("instruct", split), {}
    while len(seen) < count:
        row = prompt(random_, split)
        seen.setdefault(row["prompt"], {"key": len(seen), **row})
    return list(seen.values())
