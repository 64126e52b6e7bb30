"""`suite export`: the kept weights of a record as a folder for others: peft, transformers, the hub, vLLM."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from suite import model as models
from suite import weights
from suite.card import card
from suite.errors import UserError
from suite.record import Record
from suite.serving import vllm
from suite.show import find

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def export(name: str, store: Path, to: Path, merged: bool = False, base: str | None = None) -> list[str]:
    """Write the folder of the record called `name` and say what it is, line by line.

    A PEFT folder where the cell's export is one, else (or with `merged`) plain weights with tokenizer; with a
    model card. `base` says where the base lies, if its name in the record does not. Raises UserError for a
    record without weights, another base than the record's, and a folder with something in it.
    """
    record = find(name, store)
    kept = kept_folder(record, store)
    _check_free(to)
    folder = base_folder(record, base)
    with _whole(to) as made:
        if merged and (kept / weights.ADAPTER).is_file():
            _merge(record, kept, folder, made)
        else:
            shutil.copytree(kept, made, dirs_exist_ok=True)
        own = weights.own_base(made)
        if own is not None:
            copy_tokenizer(folder, own)
        _name_base(made, record.cell.base.name, folder, to)
        notes = vllm(made)
        text = card(record, made, to.name, hub_id(record.cell.base.name), notes)
        (made / "README.md").write_text(text, encoding="utf-8")
    kind = "PEFT folder" if (to / weights.ADAPTER).is_file() else "plain weights"
    return [f"{kind} of record {record.id}: {to}", *notes]


def copy_tokenizer(base: Path, folder: Path) -> None:
    """Put the base's tokenizer beside weights that have none."""
    for pattern in models.TOKENIZER:
        for file in base.glob(pattern):
            if file.is_file() and not (folder / file.name).exists():
                shutil.copyfile(file, folder / file.name)


def hub_id(name: str) -> str | None:
    """The name of a base, if it is one on the hub."""
    return name if HUB_ID.fullmatch(name) else None


def kept_folder(record: Record, store: Path) -> Path:
    """The folder of a record's weights, which are still those of the record."""
    if record.source is not None:
        raise UserError(f"record {record.id} was not trained here, so there are no weights of it to export")
    if record.status != "ok":
        why = f" ({record.error})" if record.error else ""
        raise UserError(f"record {record.id} ended as {record.status}{why}; only finished cells are exported")
    again = f"delete {store}/records/{record.id}.json and run its command again"
    if record.weights is None:
        raise UserError(f"record {record.id} kept no weights; {again} without --no-weights")
    folder = store / weights.FOLDER / record.id
    if not folder.is_dir():
        raise UserError(
            f"no weights of record {record.id} in {str(folder)!r}; give their --store, or {again}"
        )
    if weights.digest(folder)[:16] != record.weights:
        raise UserError(
            f"the weights in {str(folder)!r} are not those of record {record.id} ({record.weights}); {again}"
        )
    return folder


def _check_free(to: Path) -> None:
    if to.exists() and not to.is_dir():
        raise UserError(f"--to {str(to)!r} is a file; give a folder that is empty or does not exist")
    if to.is_dir() and any(to.iterdir()):
        raise UserError(
            f"--to {str(to)!r} has something in it; give a folder that is empty or does not exist"
        )


def base_folder(record: Record, given: str | None) -> Path:
    """Where the record's base lies here; it is that very base."""
    name = record.cell.base.name
    try:
        folder = models.locate(given or name)
    except UserError as error:
        if given is not None:
            raise
        raise UserError(f"{error}; the record's base must be here, say where with --model FOLDER") from None
    if (digest := models.content_digest(folder)) != record.cell.base.digest:
        raise UserError(
            f"the base in {str(folder)!r} has content {digest}, and record {record.id} was trained on {name} "
            f"with {record.cell.base.digest}; say with --model where that one lies"
        )
    return folder


def _merge(record: Record, kept: Path, base: Path, made: Path) -> None:
    """Plain weights of an adapter and what it stands on, in the precision that it was scored in."""
    from suite.effect import reopened
    from variants.export import write_merged

    precision = record.cell.how.recipe.precision
    model = models.weights(base, precision, "cpu")
    with reopened(model, kept, precision) as (_, adapters):
        for adapter in adapters:
            write_merged(adapter, made)


def _name_base(made: Path, name: str, base: Path, to: Path) -> None:
    """Let the adapter's configuration say where its base is: on the hub, else in which folder here."""
    if (made / weights.BASE).is_dir():
        weights.name_base(made, str((to / weights.BASE).resolve()))
    else:
        weights.name_base(made, hub_id(name) or str(base.resolve()))


@contextmanager
def _whole(to: Path) -> Iterator[Path]:
    """A folder that becomes `to` when everything went well, and vanishes otherwise."""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=to.parent, prefix=f".{to.name}."))
    except OSError as error:
        raise UserError(f"--to {str(to)!r} cannot be written ({error.strerror or error})") from None
    try:
        made = place / "made"
        made.mkdir()
        yield made
        if to.is_dir():
            to.rmdir()
        made.rename(to)
    finally:
        shutil.rmtree(place, ignore_errors=True)
