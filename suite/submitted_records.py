"""A store of records that is offered for publication, and what keeps it from being published.

Whoever reads a board must be able to look behind every number: records without the outcome of each item, of a
working copy with changes, or with a test split that was read more often than the protocol reads it, are told.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from suite import badge, prompts
from suite import track as tracks
from suite.comparable import check as check_comparable
from suite.errors import UserError
from suite.record import Item, Record, Score, Scores
from suite.seeds import digest
from suite.store import Store, StoreError
from suite.tuning import choose, searches
from suite.words import rate

COMMIT = re.compile(r"[0-9a-f]{40}")
_NEAR = 1e-6  # of a score and the mean of its items


def faults(folder: Path) -> tuple[list[str], list[str]]:
    """(faults, notes) of a store's folder, each a line that begins with the file it is about."""
    found = list(_of_badge(folder))
    records: dict[Path, Record] = {}
    try:
        files = _files(folder)
    except StoreError as error:
        return [*found, str(error)], []
    for file in files:
        try:
            records[file] = _read(folder, file)
        except StoreError as error:
            found.append(str(error))
    found += _of_prompts(folder)
    ours = {file: record for file, record in records.items() if record.source is None}
    if len(ours) < len(records) and not _vouched(folder):
        found.append(f"{folder}: holds results of others; maintainers import those (suite import-peft)")
    for file, record in ours.items():
        found += [f"{file}: {told}" for told in _of_record(record)]
    whole = list(ours.values())
    found += [f"{folder}: {told}" for told in (*_of_boards(whole), *_of_searches(whole))]
    read = sum(record.read for record in records.values())
    return found, [] if found else [f"{folder}: fit; {len(records)} records, {read} of them read on test"]


def _of_badge(folder: Path) -> Iterator[str]:
    try:
        if badge.read(folder) is None:
            yield f"{folder / badge.FILE}: is missing; write `badge: community` and `by: NAME` into it"
    except StoreError as error:
        yield str(error)


def _of_prompts(folder: Path) -> Iterator[str]:
    """Faults of the prompts that lie beside the records: what was shown has to be what was asked."""
    for file in sorted((folder / prompts.FOLDER).glob("*")):
        name = file.name.removesuffix(prompts.PACKED).removesuffix(prompts.PLAIN)
        try:
            if file.is_symlink() or prompts.read(folder, name) is None:
                yield f"{file}: holds no prompts; expected <digest>.json.gz, as `suite publish` writes them"
        except StoreError as error:
            yield str(error)


def _vouched(folder: Path) -> bool:
    """Whether maintainers stand behind the store."""
    try:
        found = badge.read(folder)
    except StoreError:
        return False
    return found is not None and found.badge == "verified"


def _files(folder: Path) -> list[Path]:
    """Every file of records, by name. StoreError where there is none, or something else beside them."""
    inner = folder / "records"
    try:
        names = sorted(os.listdir(inner))
    except OSError as error:
        raise StoreError(f"{inner}: cannot be listed ({error.strerror or error})") from None
    for name in names:
        file = inner / name
        if not name.endswith((".json", ".json.gz")) or file.is_symlink() or not file.is_file():
            raise StoreError(
                f"{file}: is no record; expected <cell id>.json.gz, as `suite publish` writes them"
            )
    if not names:
        raise StoreError(f"{inner}: holds no record")
    return [inner / name for name in names]


def _read(folder: Path, file: Path) -> Record:
    name = file.name.removesuffix(".gz").removesuffix(".json")
    record = Store(folder).read(name)
    if (file.parent / f"{name}.json").exists() and file.suffix == ".gz":
        raise StoreError(f"{file}: lies there unpacked too; keep one of them")
    return record


def _of_record(record: Record) -> Iterator[str]:
    made = record.provenance
    if record.cell.recipe is None:
        yield "says nothing of its training; expected what `suite run` writes"
        return
    if made.dirty is not False:
        yield "was not made by clean code (provenance.dirty is not false); commit, then run it again"
    if not COMMIT.fullmatch(made.commit or ""):
        yield f"names no commit of the suite ({made.commit!r}); run it from a git checkout"
    if record.status == "failed":
        yield f"ended as failed ({record.error}), which is no result; run it again"
    if record.status == "ok" and (record.before is None or record.after is None):
        yield "ended ok without scores before and after training"
    for when, scores in (("before", record.before), ("after", record.after)):
        if scores is None:
            continue
        if record.read:
            for name, score in {**scores.target, **scores.general}.items():
                yield from (f"{when} training, {name}: {told}" for told in _of_score(score))
        elif told := _read_of_test(scores):
            yield f"is a trial, and {when} training {told}: a trial reads validation alone"


def _of_score(score: Score) -> Iterator[str]:
    """Whether the outcome of each item is there, and comes to the score."""
    items = score.items
    if not items or len(items) != score.n:
        yield f"{len(items)} outcomes of {score.n} items; the outcome of every item is needed"
        return
    if len({item.id for item in items}) < len(items):
        yield "names an item twice"
    known = [item.correct for item in items if item.correct is not None]
    if len(known) < len(items):
        yield f"{len(items) - len(known)} items have no outcome"
    elif not abs(math.fsum(known) / len(known) - score.value) <= _NEAR:
        yield f"its {score.metric} of {score.value} is no mean of its items' outcomes"
    if _some(items):
        yield "some items have their answer and some have none"


def _some(items: Sequence[Item]) -> bool:
    return 0 < sum(item.response is not None for item in items) < len(items)


def _read_of_test(scores: Scores) -> str | None:
    """What of the test split is in the scores of a trial."""
    if names := [*scores.target, *scores.general]:
        return f"{names[0]} was scored"
    if {*scores.log_loss, *scores.held_out} - {"validation"}:
        return "a loss beside validation's was measured"
    return None


def _of_boards(records: Sequence[Record]) -> Iterator[str]:
    """One recipe, one evaluation, the same rows and prompts for all that stand on one board."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        where = [record.cell.track, record.cell.base.model_dump(mode="json")]
        groups.setdefault(digest(where), []).append(record)
    for members in groups.values():
        try:
            check_comparable(members)
        except UserError as error:
            yield str(error)


def _of_searches(records: Sequence[Record]) -> Iterator[str]:
    """Every trial is there, and the test split was read for the winner and the documented rate alone."""
    for members in searches(records).values():
        choice, name = choose(members), _name(members[0])
        seeds = {one.cell.how.seed for one in members}
        if missed := sorted(_promised(members[0]) - seeds):
            yield f"{name}: the track's protocol has seed {missed[0]}, and no record of it is there"
        tried = {each for one in members if one.search for each in one.search.rates}
        have = {(one.cell.how.learning_rate, one.cell.how.seed) for one in members}
        read = {(one.cell.how.learning_rate, one.cell.how.seed) for one in members if one.read}
        if missing := sorted({(each, seed) for each in tried for seed in seeds} - have):
            yield f"{name}: {len(missing)} trials are missing, the first is {_trial(missing[0])}"
        elif choice.rate is not None and (unread := {(choice.rate, seed) for seed in seeds} - read):
            yield f"{name}: the winner was not read on test: {_trial(min(unread))}"
        for one in sorted(read):
            if one[0] not in (choice.rate, choice.default):
                yield f"{name}: test was read for {_trial(one)}; on validation {rate(choice.rate)} won"


def _promised(record: Record) -> set[int]:
    """The seeds that the protocol of a record's track asks for; none for a track that is not shipped."""
    name = record.cell.track.partition("@")[0]
    if name not in tracks.names():
        return set()
    track = tracks.load(name)
    return set(track.protocol.seeds) if track.label == record.cell.track else set()


def _name(record: Record) -> str:
    return f"{record.cell.variant.name} on {record.cell.task.label}"


def _trial(one: tuple[float, int]) -> str:
    return f"rate {rate(one[0])} with seed {one[1]}"
