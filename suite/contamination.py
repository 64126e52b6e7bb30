"""How much of each evaluation a training set holds, word for word.

Texts are compared as runs of n words, whatever their case and punctuation, as for GPT-3 (Brown et al. 2020,
appendix C): n is the 5th percentile of the items' lengths in words, not below 8, where runs meet by chance,
and not above 13. An item that is shorter than n words is looked for as a whole. Runs that a tenth of an
evaluation's items share are its template and say nothing about an item; they are left out. An item of which
70 % of the runs are found is counted apart (PaLM, Chowdhery et al. 2022, section 8): its text is most likely
in the training set, where one shared run may be a phrase.

Only what stands there word for word is found: no paraphrase, no translation, and nothing that the base
itself was pretrained on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from suite.record import Overlap
from tasks.interface import Evaluation, Example, Task
from tasks.lm_eval import rows_of

SHORTEST, LONGEST = 8, 13
PERCENTILE = 0.05
TEMPLATE, LEAST_ITEMS = 0.1, 20  # share of the items; below so many items nothing can be called a template
MOSTLY = 0.7
EXAMPLES = 3
BLOCK = 200_000  # words that are looked through at once
WORD = re.compile(r"\w+")
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no power of it is 0 modulo 2**64

Texts = Sequence[str]  # of one item: its question, its answer, each on its own


def overlaps(
    task: Task,
    general: Sequence[Evaluation],
    examples: Iterable[Example],
    limit: int | None,
    held_out: Sequence[str] = ("validation", "test"),
) -> list[Overlap]:
    """Of the task's evaluations, the general ones and the held-out splits, the first `limit` items of each.

    `examples` is what is trained on, read once.
    """
    sets: dict[str, list[Texts]] = {}
    for evaluation in (*task.evaluations, *general):
        sets[evaluation.name] = [list(_texts(row)) for row in rows_of(evaluation.config)[:limit]]
    for split in held_out:
        rows = task.examples(split)[:limit]
        asked = [[text for _, text in row.turns] or [row.prompt] for row in rows]
        sets[f"{split} split"] = [[*texts, row.response] for texts, row in zip(asked, rows, strict=True)]
    return compare(sets, (f"{example.prompt} {example.response}" for example in examples))


def compare(sets: Mapping[str, Sequence[Texts]], training: Iterable[str]) -> list[Overlap]:
    """What of the items of each set stands in the training texts, which are read once."""
    words = _Words()
    wanted = [_Wanted(name, items, words) for name, items in sets.items()]
    search = _Search({length for one in wanted for length in one.lengths}, words)
    for one in wanted:
        for runs in one.runs:
            search.want(runs)
    search.through(training)
    return [one.found(search) for one in wanted]


def _texts(value: Any) -> Iterator[str]:
    """Every text of a row, however deep; a row holds only what its evaluation reads."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, Sequence):
        for part in value:
            yield from _texts(part)


def _split(text: str) -> list[str]:
    return WORD.findall(text.lower())


class _Words:
    """The words of the evaluations: their numbers from 1 on, 0 for any other, and a random value for each."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self._values: list[int] = [0]

    def learn(self, text: str) -> list[int]:
        """The numbers of a text's words, new ones included."""
        found = []
        for word in _split(text):
            number = self.numbers.get(word)
            if number is None:
                number = self.numbers[word] = len(self._values)
                self._values.append(int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big"))
            found.append(number)
        return found

    @property
    def values(self) -> np.ndarray:
        """[words] uint64."""
        return np.array(self._values, dtype=np.uint64)


Run = tuple[int, ...]  # word numbers


class _Wanted:
    """One evaluation's items as runs of words; `runs` has a set for each item that has any."""

    def __init__(self, name: str, items: Sequence[Texts], words: _Words) -> None:
        self.name = name
        parts = [[words.learn(text) for text in texts] for texts in items]
        longest = [max(map(len, one), default=0) for one in parts]
        middle = sorted(longest)[int(PERCENTILE * len(longest))] if longest else LONGEST
        self.n = min(LONGEST, max(SHORTEST, middle))
        found = {str(i): _runs(one, self.n) for i, one in enumerate(parts)}
        shared = Counter(run for runs in found.values() for run in runs)
        most = TEMPLATE * len(found) if len(found) >= LEAST_ITEMS else len(found)
        own = {i: {run for run in runs if shared[run] <= most} for i, runs in found.items()}
        self.by_item = {i: runs for i, runs in own.items() if runs}
        self.short = sum(0 < longest[int(i)] < self.n for i in self.by_item)

    @property
    def runs(self) -> Iterator[set[Run]]:
        """Of each item."""
        yield from self.by_item.values()

    @property
    def lengths(self) -> set[int]:
        """How long its runs are."""
        return {len(run) for runs in self.by_item.values() for run in runs}

    def found(self, search: _Search) -> Overlap:
        """What the search came to."""
        shares = {i: sum(map(search.has, runs)) / len(runs) for i, runs in self.by_item.items()}
        every = set().union(*self.by_item.values()) if self.by_item else set()
        hit = sorted((i for i in shares if shares[i]), key=lambda i: (-shares[i], int(i)))
        return Overlap(
            evaluation=self.name,
            n=self.n,
            items=len(self.by_item),
            short=self.short,
            found=len(hit),
            mostly=sum(share >= MOSTLY for share in shares.values()),
            grams=len(every),
            grams_found=sum(map(search.has, every)),
            examples=hit[:EXAMPLES],
        )


def _runs(parts: Sequence[Sequence[int]], n: int) -> set[Run]:
    """The runs of n words of an item's texts; its longest text where none has so many."""
    found = {tuple(part[i : i + n]) for part in parts for i in range(len(part) - n + 1)}
    if found:
        return found
    longest = max(parts, key=len, default=())
    return {tuple(longest)} if longest else set()


@dataclass
class _Length:
    """The runs of one length: their hashes sorted, and which of them have been met."""

    wanted: np.ndarray
    met: np.ndarray


class _Search:
    """Runs that are looked for, by length, as 64-bit hashes: a polynomial in random values of the words.

    Two of a million runs and a hundred million places share a hash by chance once in 10**5 searches.
    """

    def __init__(self, lengths: Iterable[int], words: _Words) -> None:
        self.words, self.values = words, words.values
        self._runs: dict[int, list[Run]] = {length: [] for length in sorted(lengths)}
        self._met: set[Run] = set()

    def want(self, runs: Iterable[Run]) -> None:
        """Look for these too."""
        for run in runs:
            self._runs[len(run)].append(run)

    def has(self, run: Run) -> bool:
        """Whether a run was met."""
        return run in self._met

    def through(self, texts: Iterable[str]) -> None:
        """Read all texts once."""
        runs = {length: list(dict.fromkeys(runs)) for length, runs in self._runs.items()}
        looked: dict[int, tuple[list[Run], np.ndarray, _Length]] = {}
        for length, some in runs.items():
            hashes = self._hashes(np.array(some).ravel(), length)[::length]
            order = np.argsort(hashes, kind="stable")
            looked[length] = (some, order, _Length(hashes[order], np.zeros(len(some), dtype=bool)))
        for block in self._blocks(texts):
            for length, (_, _, one) in looked.items():
                self._look(block, length, one)
        for some, order, one in looked.values():
            self._met |= {some[i] for i in order[one.met]}

    def _blocks(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        """Word numbers of many texts, a 0 after each: a run that holds one is none."""
        block: list[int] = []
        number = self.words.numbers.get
        for text in texts:
            block += [number(word, 0) for word in _split(text)]
            block.append(0)
            if len(block) >= BLOCK:
                yield np.array(block)
                block = []
        if block:
            yield np.array(block)

    def _hashes(self, numbers: np.ndarray, length: int) -> np.ndarray:
        """[places - length + 1] uint64: the hash of the run that begins at each place."""
        values, places = self.values[numbers], len(numbers) - length + 1
        total = np.zeros(max(0, places), dtype=np.uint64)
        for i in range(length if places > 0 else 0):
            total = total * FACTOR + values[i : i + places]
        return total

    def _look(self, block: np.ndarray, length: int, one: _Length) -> None:
        """Mark what is met in a block."""
        if len(block) < length:
            return
        known = np.concatenate([[0], np.cumsum(block > 0)])
        whole = known[length:] - known[:-length] == length
        hashes = np.unique(self._hashes(block, length)[whole])
        at = np.searchsorted(one.wanted, hashes)
        at[at == len(one.wanted)] = 0
        one.met[at[one.wanted[at] == hashes]] = True
