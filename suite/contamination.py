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
FACTOR = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64
SIEVE = 22  # bits of a hash by which most places are passed over

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


class _Length:
    """The runs of one length: their hashes sorted, which of them have been met, and a sieve before them."""

    def __init__(self, runs: Sequence[Run], hashes: np.ndarray) -> None:
        order = np.argsort(hashes, kind="stable")
        self.runs = [runs[i] for i in order]
        self.wanted = hashes[order]
        self.met = np.zeros(len(runs), dtype=bool)
        self.sieve = np.zeros(1 << SIEVE, dtype=bool)
        self.sieve[self.wanted >> (64 - SIEVE)] = True

    def look(self, hashes: np.ndarray) -> None:
        """Mark those that are among `hashes`."""
        some = np.unique(hashes[self.sieve[hashes >> (64 - SIEVE)]])
        at = np.searchsorted(self.wanted, some)
        at[at == len(self.wanted)] = 0
        self.met[at[self.wanted[at] == some]] = True


class _Search:
    """Runs that are looked for, by length, as 64-bit hashes: a polynomial in random values of the words.

    Two of a million runs and a hundred million places share a hash by chance once in 10**5 searches.
    """

    def __init__(self, lengths: Iterable[int], words: _Words) -> None:
        self.words, self.values = words, words.values
        self._runs: dict[int, dict[Run, None]] = {length: {} for length in sorted(lengths)}
        self._met: set[Run] = set()
        self._powers = np.ones((2, 0), dtype=np.uint64)

    def want(self, runs: Iterable[Run]) -> None:
        """Look for these too."""
        for run in runs:
            self._runs[len(run)][run] = None

    def has(self, run: Run) -> bool:
        """Whether a run was met."""
        return run in self._met

    def through(self, texts: Iterable[str]) -> None:
        """Read all texts once."""
        looked = {length: _Length(list(runs), self._of(runs)) for length, runs in self._runs.items()}
        for block in self._blocks(texts):
            up, down = self._to(len(block))
            sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(self.values[block] * up)])
            known = np.concatenate([[0], np.cumsum(block > 0)])
            for length, one in looked.items():
                whole = np.flatnonzero(known[length:] - known[:-length] == length)
                one.look((sums[whole + length] - sums[whole]) * down[whole])
        for one in looked.values():
            self._met |= {run for run, met in zip(one.runs, one.met, strict=True) if met}

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
        yield np.array([*block, *[0] * LONGEST])

    def _of(self, runs: Iterable[Run]) -> np.ndarray:
        """[runs] uint64: the hashes of runs of one length, the sum of value * FACTOR ** place."""
        values = self.values[np.array(list(runs))]
        return (values * self._to(values.shape[1])[0]).sum(axis=1, dtype=np.uint64)

    def _to(self, count: int) -> np.ndarray:
        """[2, count] uint64: the powers of FACTOR from 0 on, and their inverses modulo 2**64."""
        if self._powers.shape[1] < count:
            factors = np.array([[FACTOR], [pow(FACTOR, -1, 1 << 64)]], dtype=np.uint64)
            rest = np.broadcast_to(factors, (2, count - 1))
            self._powers = np.cumprod(np.concatenate([np.ones((2, 1), np.uint64), rest], axis=1), axis=1)
        return self._powers[:, :count]
