"""What the model was asked: the prompts of an evaluation, kept once beside the records that name them.

    <store>/prompts/<digest>.json       one Prompts, or <digest>.json.gz where it is published

`Score.prompts` of a record is the digest. It follows from the prompts alone, so that a file which was
changed, or which belongs to other records, is found out; targets and choices are for reading, and nothing
covers them.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from suite.record import Fact, Record
from suite.seeds import digest
from suite.store import Store, StoreError, reason, text_of, write_whole

FOLDER = "prompts"
DIGEST = re.compile(r"[0-9a-f]{16}")
PLAIN, PACKED = ".json", ".json.gz"
LARGEST = 1 << 28  # bytes of an unpacked file; 14,000 items with five examples shown have 60 million


class Prompts(Fact):
    """Every prompt of one evaluation as rendered, with shots and chat template, by item id in item order.

    Of an item with choices the prompt is what stands before each of them. Where each has a prompt of its own,
    it is the first one's, and `choices` have theirs in front.
    """

    evaluation: str
    digest: str = Field(description="of the prompts: `Score.prompts` of the records")
    prompts: dict[str, str]
    choices: dict[str, list[str]] = Field(
        default_factory=dict, description="what each prompt could go on with; of evaluations with choices"
    )
    targets: dict[str, str] = Field(default_factory=dict, description="the right answer as lm-eval has it")

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if (found := digest_of(self.prompts.values())) != self.digest:
            raise ValueError(f"its prompts have digest {found}, not {self.digest}; was it edited or renamed?")
        if strange := sorted((self.choices.keys() | self.targets.keys()) - self.prompts.keys()):
            raise ValueError(f"choices or targets of items without a prompt, such as {strange[0]!r}")
        return self

    def of(self, evaluation: str) -> Prompts:
        """These as another evaluation's, which has the same prompts and may have other right answers."""
        if evaluation == self.evaluation:
            return self
        return self.model_copy(update={"evaluation": evaluation, "choices": {}, "targets": {}})


def digest_of(prompts: Iterable[str]) -> str:
    """16 hex digits over the SHA-256 of each prompt in item order, which lm-eval calls its prompt_hash."""
    return digest([hashlib.sha256(prompt.encode()).hexdigest() for prompt in prompts])


def read(store: Path | Store, name: str, evaluation: str | None = None) -> Prompts | None:
    """The prompts of digest `name`; None if they were not kept, or if it can name none.

    For an `evaluation` whose prompts another one's file holds, they come without choices and targets.
    Raises StoreError, in one line, for a file that is damaged or holds other prompts than its name says.
    """
    file = _file(store, name)
    if file is None:
        return None
    try:
        found = Prompts.model_validate_json(text_of(file, LARGEST))
    except ValidationError as error:
        raise StoreError(f"{file}: {reason(error)}") from None
    if found.digest != name:
        raise StoreError(f"{file}: holds the prompts {found.digest}; was it renamed?")
    return found if evaluation is None else found.of(evaluation)


def write(store: Path | Store, prompts: Prompts, packed: bool = False) -> Path:
    """Keep these prompts if they are not kept yet; returns their file, which appears whole or not at all."""
    if (kept := _file(store, prompts.digest)) is not None:
        return kept
    file = _folder(store) / f"{prompts.digest}{PACKED if packed else PLAIN}"
    text = prompts.model_dump_json(indent=None if packed else 1) + "\n"
    write_whole(file, gzip.compress(text.encode(), mtime=0) if packed else text)
    return file


def named(record: Record) -> Iterator[tuple[str, str]]:
    """(evaluation, digest of its prompts) of everything that a record has scores of, if it says so."""
    for scores in (record.before, record.after):
        for score in (*scores.target.values(), *scores.general.values()) if scores else ():
            if score.prompts is not None:
                yield score.evaluation, score.prompts


def publish(store: Path | Store, to: Path | Store, records: Iterable[Record]) -> tuple[int, int]:
    """Copy the prompts of these records, packed: (how many files, how many were left out).

    Left out are those of records that read a data folder: such sets are others', and not ours to publish.
    """
    ours: dict[str, bool] = {}
    for record in records:
        for _, name in named(record):
            ours[name] = ours.get(name, False) or not record.data
    there = [name for name in ours if kept(store, name)]
    found = [read(store, name) for name in there if ours[name]]
    for one in found:
        if one is not None:
            write(to, one, packed=True)
    return len(found), len(there) - len(found)


def kept(store: Path | Store, name: str) -> bool:
    """Whether prompts of this digest are kept, without reading them."""
    return _file(store, name) is not None


def _folder(store: Path | Store) -> Path:
    return (store.path if isinstance(store, Store) else store) / FOLDER


def _file(store: Path | Store, name: str) -> Path | None:
    """The file of a digest, if there is one; a name from a record is never a path."""
    if not DIGEST.fullmatch(name):
        return None
    files = (_folder(store) / f"{name}{ending}" for ending in (PLAIN, PACKED))
    return next((file for file in files if file.is_file()), None)
