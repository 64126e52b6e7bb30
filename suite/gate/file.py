"""Baseline files: what the gate reads of a store, in one file that can be kept beside the code.

What many cells share is written once and named by its place. The same records give the same bytes. A file may
come from anywhere: it is read as data of a fixed schema, and of a bounded size.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from suite.errors import UserError
from suite.gate.facts import Facts, facts
from suite.gate.words import shortened
from suite.origin import Fact
from suite.record import Record
from suite.store import Store, reason, write_whole

FORMAT = "lora-suite baseline"
SHARED = ("cell", "schedule", "modules", "shown", "before", "items", "made")
MOST_BYTES = 64 << 20
MOST_EXPANDED = 512 << 20  # bytes, with everything that is shared written out


class Envelope(Fact):
    """A baseline file as it lies on the disk."""

    format: Literal["lora-suite baseline"]
    version: Literal[1]
    shared: dict[str, list[Any]] = Field(
        description="what cells share, by field: a cell names it by its place"
    )
    cells: list[dict[str, Any]]


def write(records: Sequence[Record], file: Path) -> int:
    """Write the baseline of these records; returns how many cells it holds. Raises UserError, StoreError."""
    cells = sorted(facts(records), key=lambda one: one.cell.id)
    if not cells:
        raise UserError(f"nothing to write to {file}: the store holds no records")
    write_whole(file, _text(cells))
    return len(cells)


def _text(cells: Sequence[Facts]) -> str:
    """The file: what is shared, then one cell a line."""
    tables: dict[str, dict[str, int]] = {name: {} for name in SHARED}
    lines = []
    for one in cells:
        content = one.model_dump(mode="json")
        content["seed"] = content["cell"].pop("seed")
        for name in SHARED:
            table = tables[name]
            content[name] = table.setdefault(_json(content[name]), len(table))
        lines.append(_json(content))
    shared = ",\n".join(f'"{name}": [\n{_joined(table)}\n]' for name, table in tables.items())
    head = f'"format": "{FORMAT}", "version": 1'
    return f'{{{head}, "shared": {{\n{shared}\n}}, "cells": [\n{_joined(lines)}\n]}}\n'


def _joined(lines: Iterable[str]) -> str:
    return ",\n".join(lines)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read(file: Path) -> list[Facts]:
    """The cells of a baseline file. Raises UserError with the first fault."""
    again = "write it again with `suite baseline`"
    try:
        if file.stat().st_size > MOST_BYTES:
            raise UserError(f"{file}: larger than {MOST_BYTES >> 20} MiB, which no baseline is; {again}")
        envelope = Envelope.model_validate_json(file.read_bytes())
        return _cells(envelope, file)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error})") from None
    except ValidationError as error:
        told = shortened(reason(error))
        raise UserError(f"{file}: not a baseline of this version ({told}); {again}") from None


def _cells(envelope: Envelope, file: Path) -> list[Facts]:
    try:
        sizes = {name: [len(_json(value)) for value in envelope.shared.get(name, [])] for name in SHARED}
    except ValueError as error:  # NaN, infinity, a number of thousands of digits
        told = " ".join(str(error).split())[:100]
        raise UserError(f"{file}: 'shared' holds a number that is none ({told}); was it edited?") from None
    found: dict[str, Facts] = {}
    expanded = 0
    for number, cell in enumerate(envelope.cells):
        content = dict(cell)
        for name in SHARED:
            place, table = content.get(name), envelope.shared.get(name, [])
            if type(place) is not int or not 0 <= place < len(table):
                raise UserError(f"{file}: cell {number} names no {name} of the file; was it edited?")
            content[name] = table[place]
            expanded += sizes[name][place]
        if expanded > MOST_EXPANDED:
            raise UserError(
                f"{file}: its cells are larger than {MOST_EXPANDED >> 20} MiB, which no baseline is"
            )
        if isinstance(content["cell"], dict):
            content["cell"] = {**content["cell"], "seed": content.pop("seed", None)}
        one = Facts.model_validate(content)
        if one.cell.id in found:
            raise UserError(f"{file}: holds the cell {one.cell.id} twice; was it edited?")
        found[one.cell.id] = one
    return list(found.values())


def side(path: Path) -> list[Record] | list[Facts]:
    """One side of a comparison: the records of a store's folder, or the cells of a baseline file."""
    if path.is_file():
        return read(path)
    if not path.is_dir():
        raise UserError(f"{path}: nothing is there; give a store's folder or a baseline file")
    if not (path / "records").is_dir():
        raise UserError(f"{path}: a folder without records; give a store that `suite run` has written")
    return Store(path).records()
