"""`suite import-peft`: result files -> records in a store. A bad file is named, and the rest is taken."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from suite.errors import UserError, one_line
from suite.facts import printable
from suite.peft_results import ResultError, record_of
from suite.record import Record
from suite.store import Store, reason
from suite.table import table

LARGEST = 16 * 2**20  # bytes; a real result file has some 15 thousand


@dataclass
class Imported:
    """What an import came to. `refused`: file name -> why. `written`: how many records are new or changed."""

    records: dict[str, Record] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)
    twins: int = 0
    written: int = 0

    @property
    def line(self) -> str:
        """It in one line, such as '48 imported (48 new), 0 refused'."""
        twins = f", {self.twins} the same as another file" if self.twins else ""
        return f"{len(self.records)} imported ({self.written} new){twins}, {len(self.refused)} refused"


def command(folder: Path, store: Path, typed: str) -> bool:
    """Import, and print what came of it: refusals on stderr, then the table. Whether every file was taken.

    UserError if none could be; StoreError if the store cannot be written.
    """
    place = Store(store)
    place.check_writable()
    found = import_peft(folder, place, typed)
    for name, why in found.refused:
        Console(stderr=True).print(Text(f"refused {name}: {why}"), soft_wrap=True)
    if not found.records:
        raise UserError(f"none of the {len(found.refused)} files of {str(folder)!r} could be imported")
    console = Console()
    console.print(table(found.records.values()))
    told = f"{found.line}, in {store}; the page: suite site --store {shlex.quote(str(store))}"
    console.print(Text(told), soft_wrap=True)
    return not found.refused


def import_peft(place: Path, store: Store, command: str) -> Imported:
    """Read every result file at `place` (a folder, or one file) and keep its record.

    What is in the store already stays as it is. UserError if there is nothing to read.
    """
    found = Imported()
    for file in _files(place):
        try:
            record = read(file, command)
        except ResultError as error:
            found.refused.append((printable(file.name, 200), str(error)))
            continue
        if record.id in found.records:
            found.twins += 1
            continue
        found.records[record.id] = record
        if not _is_kept(record, store):
            store.write(record)
            found.written += 1
    return found


def read(file: Path, command: str) -> Record:
    """The record of one result file; ResultError with the reason if it is none."""
    try:
        if not file.is_file():
            raise ResultError("not a file")
        if (size := file.stat().st_size) > LARGEST:
            raise ResultError(f"{size} bytes are too many; a result file has at most {LARGEST}")
        data = file.read_bytes()
        content = json.loads(data.decode("utf-8-sig"))
        record = record_of(content, file.name, hashlib.sha256(data).hexdigest(), command)
        return _through_json(record)
    except OSError as error:
        raise ResultError(f"cannot be read ({error.strerror or type(error).__name__})") from None
    except UnicodeDecodeError as error:
        raise ResultError(f"not UTF-8 text (byte {error.start})") from None
    except ValidationError as error:
        raise ResultError(printable(reason(error), 300)) from None
    except RecursionError:
        raise ResultError("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ResultError(f"not JSON ({error})") from None
    except ResultError:
        raise
    except ValueError as error:  # a number of thousands of digits, text that is no Unicode
        raise ResultError(printable(one_line(error), 300)) from None


def _through_json(record: Record) -> Record:
    """The record as it will be read again: what does not survive is refused now."""
    again = Record.model_validate_json(record.model_dump_json())
    if again.model_dump_json() != record.model_dump_json() or again.id != again.cell.id:
        raise ResultError("it does not survive being written and read again")
    return again


def _files(place: Path) -> list[Path]:
    try:
        if place.is_dir():
            files = sorted(one for one in place.iterdir() if one.suffix == ".json")
        else:
            files = [place] if place.exists() else []
    except OSError as error:
        raise UserError(f"{place}: cannot be read ({error.strerror or error})") from None
    if not files:
        raise UserError(
            f"no result files at {str(place)!r}; expected a folder of .json files, such as "
            "method_comparison/MetaMathQA/results of huggingface/peft"
        )
    return files


def _is_kept(record: Record, store: Store) -> bool:
    """Whether the store holds this record, wherever and under whatever name its file was read before."""
    if not store.has(record.id):
        return False
    old = store.read(record.id)
    source, made = old.source, old.provenance.model_copy(update={"command": record.provenance.command})
    if source and record.source:
        source = source.model_copy(update={"file": record.source.file, "label": record.source.label})
    again = old.model_copy(update={"provenance": made, "source": source})
    return again.model_dump_json() == record.model_dump_json()
