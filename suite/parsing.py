"""Records from JSON, quicker where many share their scores before training, as the cells of one task do.

Those scores are half of a record. Their text is cut out, looked up among the texts that were read already,
and what remains is read by the schema with a mark in their place. The outcome is that of the schema alone, or
the schema alone is asked:

- the text before the cut and a closing brace are valid JSON, so the cut is at the record's own level;
- what follows the cut's comma is `"before":`, which is no part of a string: in valid JSON a quote within one
  has a backslash before it, and a quote that ends one is not followed by a letter;
- the text that is cut out is valid JSON, of the schema's own type, so a value stands for a value;
- the record that is read holds the mark, so no later `before` replaced it.
"""

from __future__ import annotations

import re

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from suite.record import Record, Scores

KEPT = 64  # texts of scores that are remembered: one a base and task
_BEFORE = re.compile(r',\s*"before"\s*:\s*(?=\{)')
_AFTER = re.compile(r'\}\s*,\s*"after"\s*:')
_NAME = "the scores are elsewhere"
_MARK = f'{{"target":{{}},"general":{{}},"log_loss":{{"{_NAME}":0}},"bits_per_byte":null}}'
_SCORES = TypeAdapter(Scores)


class Parser:
    """Reads records, and remembers the scores before training that it met last."""

    def __init__(self) -> None:
        self._known: dict[str, Scores] = {}

    def record(self, text: str) -> Record:
        """What `Record.model_validate_json` makes of this text; its ValidationError where it is no record."""
        return self._shorter(text) or Record.model_validate_json(text)

    def _shorter(self, text: str) -> Record | None:
        """The record, where its scores before training can be cut out; None where that is not sure."""
        begin = _BEFORE.search(text)
        end = begin and _AFTER.search(text, begin.end())
        if begin is None or end is None:
            return None
        try:
            from_json(text[: begin.start()] + "}")
            before = self._scores(text[begin.end() : end.start() + 1])
            rest = text[: begin.end()] + _MARK + text[end.start() + 1 :]
            record = Record.model_validate_json(rest)
        except (ValidationError, ValueError):
            return None
        if record.before is None or list(record.before.log_loss) != [_NAME]:
            return None
        return record.model_copy(update={"before": before})

    def _scores(self, text: str) -> Scores:
        if (found := self._known.get(text)) is None:
            found = _SCORES.validate_json(text)
            if len(self._known) >= KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[text] = found
        return found
