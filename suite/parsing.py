"""Records from JSON, quicker where many share their scores before training, as the cells of one task do.

Those scores are half of a record. Their text is cut out, looked up among the texts that were read already,
and what remains is read by the schema with a mark in their place. The outcome is that of the schema alone, or
the schema alone is asked:

- the text before the cut and a closing brace are valid JSON, so the cut is at the record's own level;
- what follows the cut's comma is `"before":`, which is no part of a string: in valid JSON a quote within one
  has a backslash before it, and a quote that ends one is not followed by a letter;
- the text that is cut out is valid JSON, of the schema's own type, so a value stands for a value;
- the record that is read holds the mark, so no later `before` replaced it.

Each list of items in what remains is cut out in the same way, as many lists differ in their outcomes alone
(`suite.marked`). Its mark holds a number that was drawn for this process, which no text can know;
each has to be found once, as the only item of a score after training.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from operator import itemgetter

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from suite.marked import Table, fit
from suite.record import Item, Record, Scores

KEPT = 64  # texts of scores that are remembered: one a base and task
TABLES = 256  # lists of items: one an evaluation
_BEFORE = re.compile(r',\s*"before"\s*:\s*(?=\{)')
_AFTER = re.compile(r'\}\s*,\s*"after"\s*:')
_NAME = "the scores are elsewhere"
_MARK = f'{{"target":{{}},"general":{{}},"log_loss":{{"{_NAME}":0}},"bits_per_byte":null}}'
_SCORES = TypeAdapter(Scores)
_ITEMS = TypeAdapter(list[Item])
_OPEN, _CLOSE = ',"items":[{', '}],"prompts":'  # as a record is written; a quote in a string has a backslash
_SAID, _OUTCOME = '"response":"', '"correct":'
_WRONG, _RIGHT = f"{_OUTCOME}0.0", f"{_OUTCOME}1.0"
_DRAWN = f"items {secrets.token_hex(16)} "


class Parser:
    """Reads records, and remembers the scores before training that it met last, and lists of items."""

    def __init__(self) -> None:
        self._known: dict[str, Scores] = {}
        self._tables: dict[str, _Outcomes | None] = {}
        self._good: dict[int, Scores] = {}

    def record(self, text: str) -> Record:
        """What `Record.model_validate_json` makes of this text; its ValidationError where it is no record."""
        return self._shorter(text) or Record.model_validate_json(text)

    def looked_at(self, scores: Scores | None) -> Scores | None:
        """These scores if `good` was told of them before, else None."""
        return self._good.get(id(scores))

    def good(self, scores: Scores | None) -> None:
        """Nothing is wrong with these scores (`suite.sound`): they need not be looked at again."""
        if scores is not None and id(scores) not in self._good:
            if len(self._good) >= KEPT:
                self._good.clear()
            self._good[id(scores)] = scores

    def _shorter(self, text: str) -> Record | None:
        """The record, where its scores before training can be cut out; None where that is not sure."""
        begin = _BEFORE.search(text)
        end = begin and _AFTER.search(text, begin.end())
        if begin is None or end is None:
            return None
        try:
            from_json(text[: begin.start()] + "}")
            before = self._scores(text[begin.end() : end.start() + 1])
            after, lists = self._cut(text[end.start() + 1 :])
            record = Record.model_validate_json(text[: begin.end()] + _MARK + after)
        except (ValidationError, ValueError):
            return None
        if record.before is None or list(record.before.log_loss) != [_NAME]:
            return None
        if lists and not _filled(record.after, lists):
            return None
        return record.model_copy(update={"before": before})

    def _scores(self, text: str) -> Scores:
        if (found := self._known.get(text)) is None:
            found = _SCORES.validate_json(text)
            if len(self._known) >= KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[text] = found
        return found

    def _cut(self, text: str) -> tuple[str, list[list[Item]]]:
        """The text with a mark for each list of items, and the lists."""
        lists: list[list[Item]] = []
        parts, at = [], 0
        while (begin := text.find(_OPEN, at)) >= 0 and (end := text.find(_CLOSE, begin)) >= 0:
            parts.append(f'{text[at:begin]},"items":[{{"id":"{_DRAWN}{len(lists)}","correct":null}}]')
            lists.append(self._list(text[begin + len(_OPEN) : end]))
            at = end + 2
        return "".join([*parts, text[at:]]), lists

    def _list(self, text: str) -> list[Item]:
        """Items from what stands between '[{' and '}]'."""
        if _SAID in text:
            return _ITEMS.validate_json(f"[{{{text}}}]")
        wrong = text.replace(_RIGHT, _WRONG)
        if wrong not in self._tables:
            if len(self._tables) >= TABLES:
                self._tables.pop(next(iter(self._tables)))
            self._tables[wrong] = _outcomes(wrong)
        if (known := self._tables[wrong]) is None:
            return _ITEMS.validate_json(f"[{{{text}}}]")
        table, digits = known
        return table.items(bytes(digits(text.encode("ascii"))))


_Outcomes = tuple[Table, Callable[[bytes], tuple[int, ...]]]


def _outcomes(text: str) -> _Outcomes | None:
    """The items of a text in which all are wrong, and what finds the digits that would say right.

    None where it is not sure that each item has one such digit, and nothing else depends on it.
    """
    wrong, right = (_ITEMS.validate_json(f"[{{{one}}}]") for one in (text, text.replace(_WRONG, _RIGHT)))
    sure = (
        text.isascii()
        and text.count(_OUTCOME) == len(wrong) == len(right) > 1
        and {(one.correct, one.response) for one in wrong} == {(0.0, None)}
        and {(one.correct, one.response) for one in right} == {(1.0, None)}
        and fit([one.id for one in wrong])
        and [one.id for one in wrong] == [one.id for one in right]
    )
    if not sure:
        return None
    return Table(wrong, right), itemgetter(
        *[found.end() - 3 for found in re.finditer(re.escape(_WRONG), text)]
    )


def _filled(scores: Scores | None, lists: list[list[Item]]) -> bool:
    """Put the lists in place of their marks; False unless each mark was there once."""
    every = [*scores.target.values(), *scores.general.values()] if scores else []
    waiting = {f"{_DRAWN}{at}": items for at, items in enumerate(lists)}
    for score in every:
        if len(score.items) == 1 and (items := waiting.pop(score.items[0].id, None)) is not None:
            object.__setattr__(score, "items", items)  # a new object, which nobody else has yet
    return not waiting
