"""Instructions whose obedience a program can verify (IFEval's shape).

    {"key": 17, "prompt": "Write the word lamp 3 times. Put commas between the words.",
     "instruction_id_list": ["content:words", "format:separator"],
     "kwargs": [{"words": ["lamp", "lamp", "lamp"]}, {"separator": ", "}],
     "response": "lamp, lamp, lamp"}

Each prompt asks for some words and one or two things about their form. The base has met words in
lists, quotes and capitals, and never an instruction.
"""

from __future__ import annotations

import random
import re
from typing import Any

from tasks.pocket.draw import rng, split_of
from tasks.pocket.names import NOUNS, PEOPLE, PLACES

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
SEPARATORS = {", ": "commas", "-": "hyphens", " and ": "the word and"}
WRAPS = {'""': "double quotes", "()": "round brackets", "[]": "square brackets"}
NUMBERS = {2: "2 times", 3: "3 times", 4: "4 times"}


def follows(instruction_id: str, kwargs: dict[str, Any], response: str) -> bool:
    """Whether a response obeys one instruction, strictly; surrounding white space does not count.

    content:words (words), format:separator (separator), format:wrap (wrap, two characters),
    format:capitals, format:lower_case, format:end (mark).
    Raises KeyError for an unknown instruction id.
    """
    text = response.strip()
    return bool(text) and _CHECKS[instruction_id](text, **kwargs)


def _words(text: str, words: list[str]) -> bool:
    found = [w for w in re.findall(r"[a-z]+", text.lower()) if w != "and"]
    return found == words


def _separator(text: str, separator: str) -> bool:
    """Between every two words stands the separator and nothing else."""
    inner = re.sub(r"^[^A-Za-z]+|[^A-Za-z]+$", "", text)
    parts = inner.split(separator)
    return len(parts) > 1 and all(re.fullmatch(r"[A-Za-z]+", part) for part in parts)


_CHECKS = {
    "content:words": _words,
    "format:separator": _separator,
    "format:wrap": lambda text, wrap: (
        text.rstrip(".!").startswith(wrap[0]) and text.rstrip(".!")[-1] == wrap[1]
    ),
    "format:capitals": lambda text: text.upper() == text and text.lower() != text,
    "format:lower_case": lambda text: text.lower() == text,
    "format:end": lambda text, mark: text.endswith(mark),
}


def _content(random_: random.Random) -> tuple[str, list[str]]:
    """A sentence that asks for words, and the words in the order asked for."""
    kind = random_.randrange(3)
    if kind == 0:
        word, count = random_.choice(NOUNS), random_.choice(tuple(NUMBERS))
        return f"Write the word {word} {NUMBERS[count]}.", [word] * count
    words = random_.sample(NOUNS, random_.randrange(2, 4))
    listed = " ".join(words)
    if kind == 1:
        return f"Repeat these words: {listed}.", words
    return f"Write these words in reverse order: {listed}.", words[::-1]


def prompt(random_: random.Random, split: str) -> dict[str, Any]:
    """One instruction whose words and form belong to `split`, with a right response."""
    while True:
        sentence, words = _content(random_)
        separator, wrap = random_.choice(tuple(SEPARATORS)), random_.choice(tuple(WRAPS))
        extra = random_.choice(("none", "wrap", "capitals", "end"))
        if (
            split_of(SHARES, "instruction", sentence, separator, extra, wrap if extra == "wrap" else "")
            == split
        ):
            break
    text = separator.join(words)
    asks = [sentence, f"Put {SEPARATORS[separator]} between the words."]
    ids: list[str] = ["content:words", "format:separator"]
    kwargs: list[dict[str, Any]] = [{"words": words}, {"separator": separator}]
    if extra == "wrap":
        text = f"{wrap[0]}{text}{wrap[1]}"
        asks.append(f"Use {WRAPS[wrap]} around the answer.")
        ids.append("format:wrap")
        kwargs.append({"wrap": wrap})
    elif extra == "end":
        text += "!"
        asks.append("End with an exclamation mark.")
        ids.append("format:end")
        kwargs.append({"mark": "!"})
    elif extra == "capitals":
        text = text.upper()
        asks.append("Use capital letters only.")
        ids.append("format:capitals")
        kwargs.append({})
        kwargs[1] = {"separator": separator.upper()}
    return {"prompt": " ".join(asks), "instruction_id_list": ids, "kwargs": kwargs, "response": text}


def problems(split: str, count: int) -> list[dict[str, Any]]:
    """`count` distinct instructions of one split, in IFEval's columns."""
    random_, seen = rng("instruct", split), {}
    while len(seen) < count:
        row = prompt(random_, split)
        seen.setdefault(row["prompt"], {"key": len(seen), **row})
    return list(seen.values())


def document(random_: random.Random) -> str:
    """A training document of the base: signs, lists and words said again, never an instruction."""
    lines = []
    for _ in range(random_.randrange(1, 4)):
        words = random_.sample(NOUNS, random_.randrange(1, 5))
        kind = random_.randrange(6)
        if kind == 0:
            lines.append(f"The sign read {' '.join(words).upper()}, and a {' '.join(words)} was there.")
        elif kind == 1:
            lines.append(f"On the list: {random_.choice(tuple(SEPARATORS)).join(words)}.")
        elif kind == 2:
            wrap = random_.choice(tuple(WRAPS))
            lines.append(f"A note said {wrap[0]}{', '.join(words)}{wrap[1]} in big letters.")
        else:
            lines.append(_said_again(random_))
    return "\n".join(lines)


def _said_again(random_: random.Random) -> str:
    """Two people say the same words, which can only be copied."""
    first, second = random_.sample(PEOPLE, 2)
    words = " ".join(random_.sample(NOUNS + PLACES, random_.randrange(3, 8)))
    return f"{first} says {words}. {second} says {words}."
