"""`suite spectrum`: the ranks of weight changes for records made before there were any, from kept weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from suite import model as models
from suite import weights
from suite.effect import reopened
from suite.errors import UserError
from suite.export import base_folder, kept_folder
from suite.provenance import commit, dirty
from suite.record import DeltaRank, Effect, Record
from suite.spectrum import rank
from suite.store import Store

AGREE = 1e-4  # relative: of a norm in the record and that of the kept weights
NAMED = 5  # records without weights


@dataclass
class Filled:
    """What came of it, by record id. `refused`: (id, why) of kept weights that are not the record's."""

    written: list[str] = field(default_factory=list)
    had: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def fill(
    store: Store,
    kept: Path,
    model: str | None = None,
    device: str = "cpu",
    on_record: Callable[[int, int], None] = lambda done, total: None,
) -> Filled:
    """Give every record of `store` that has norms of deltas and no ranks its ranks, and write it back.

    `kept` is the store whose weights they are computed from, of which every record names its own by digest;
    `model` says where the base lies if the records do not. Each record is written as soon as it is known, so
    that the same call goes on where one was stopped. Raises UserError where a base is not here.
    """
    found, room = Filled(), _Bases(model, device)
    lacking: list[Record] = []
    for record in store.records():
        if record.effect is None or not record.effect.delta_norms or record.source is not None:
            continue
        if record.effect.ranks:
            found.had.append(record.id)
        elif record.weights is None or not (kept / weights.FOLDER / record.id).is_dir():
            found.without.append(record.id)
        else:
            lacking.append(record)
    for done, record in enumerate(lacking):
        on_record(done, len(lacking))
        base = room.of(record)
        try:
            effect = with_ranks(record, kept_folder(record, kept), base)
        except UserError as error:
            found.refused.append((record.id, str(error)))
            continue
        again = record.model_copy(update={"effect": effect, "notes": [*record.notes, note()]})
        store.write(again, packed=store.packed(record.id))
        found.written.append(record.id)
    return found


def note() -> str:
    """What a record says of ranks that came later."""
    where = commit()
    return "ranks computed from the kept weights" + (
        f" at commit {where}{' with changes' if dirty() else ''}" if where else ""
    )


class _Bases:
    """The pretrained model of one record after another, loaded again only where it is another."""

    def __init__(self, model: str | None, device: str) -> None:
        self.given, self.device = model, models.resolve_device(device)
        self._opened: tuple[str, str] | None = None
        self._model: Any = None

    def of(self, record: Record) -> Any:
        """The base of a record in its precision."""
        wanted = (record.cell.base.digest, record.cell.how.recipe.precision)
        if wanted != self._opened:
            self._model = self._opened = None
            self._model = models.weights(base_folder(record, self.given), wanted[1], self.device)
            self._opened = wanted
        return self._model


@torch.no_grad()
def with_ranks(record: Record, folder: Path, base: Any) -> Effect:
    """The record's effect with the ranks of the weights in `folder`, on the untouched model `base`.

    Raises UserError where a delta is not as large as the record has it.
    """
    assert record.effect is not None
    norms, ranks = record.effect.delta_norms, dict[str, DeltaRank]()
    with reopened(base, folder, record.cell.how.recipe.precision) as (again, adapters):
        there = set[str]()
        for name, delta in _deltas(base, again, adapters, list(norms)):
            there.add(name)
            norm, told = float(torch.linalg.vector_norm(delta)), norms.get(name)
            if told is None or not abs(norm - told) <= AGREE * told:
                raise UserError(f"the delta of {name} has norm {norm:.6g}, and the record has {told}")
            if (one := rank(delta)) is not None:
                ranks[name] = one
    if there != norms.keys():
        raise UserError(f"no delta of {sorted(norms.keys() - there)[0]} in the kept weights")
    return record.effect.model_copy(update={"ranks": {name: ranks[name] for name in norms if name in ranks}})


def _deltas(
    base: Any, again: Any, adapters: Sequence[Any], names: Sequence[str]
) -> Iterator[tuple[str, Tensor]]:
    """(weight name, kept weight - pretrained weight) in float32, of an adapter and of what it stands on."""

    def own(name: str) -> Tensor:
        return again.get_parameter(name).float() - base.get_parameter(name).float()

    if not adapters:
        yield from ((name, own(name)) for name in names)
    for adapter in adapters:
        for name, delta in adapter.deltas():
            yield name, delta if again is base else own(name) + delta


def command(store: Store, kept: Path, model: str | None, device: str) -> bool:
    """Fill in, show how it goes on stderr, and print what came of it; whether nothing was refused."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.text import Text

    seen = Console(stderr=True)
    with Progress(console=seen, transient=True, disable=not seen.is_terminal) as shown:
        bar = shown.add_task("ranks", total=None)
        found = fill(
            store, kept, model, device, lambda done, total: shown.update(bar, completed=done, total=total)
        )
    console = Console(soft_wrap=True)
    console.print(Text(f"{len(found.written)} records have ranks now, {len(found.had)} had them"))
    if found.without:
        where = kept / weights.FOLDER
        more = f" and {len(found.without) - NAMED} more" if len(found.without) > NAMED else ""
        named = ", ".join(found.without[:NAMED])
        told = f"{len(found.without)} records without weights in {where}: {named}{more}"
        console.print(Text(told))
    for name, why in found.refused:
        Console(stderr=True, soft_wrap=True).print(Text(f"refused {name}: {why}"))
    return not found.refused
