"""What `suite lr` is asked: the curves of a store, its bases, how its variants train, and their curvature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suite import model as models
from suite import rules
from suite.errors import UserError, nearest
from suite.rates import Curve, curves
from suite.rates_report import Row, rows
from suite.record import BaseRef
from suite.store import Store

if TYPE_CHECKING:
    from suite.curvature import Curvature
    from suite.workshop import Workshop


def found(
    store: Path,
    variants: str | None = None,
    model: str | None = None,
    track: str | None = None,
    data: str | None = None,
    device: str = "auto",
    curvature: bool = False,
) -> list[Row]:
    """A row for each curve of the store, those of `variants` if given. Raises UserError if there is none."""
    every = curves(Store(store).records())
    if not every:
        raise UserError(
            f"store {str(store)!r} has no records that were trained here; make a search with suite run --tune"
        )
    shown = _named(every, variants)
    bases = {one.digest: _model(one, model) for one in _bases(every)}
    ways = {curve.id: rules.way(curve.variant) for curve in every}
    tops: dict[str, Curvature] | None = None
    if curvature:
        groups = {curve.group for curve in shown}
        starts = [c for c in every if c.group in groups and (c in shown or ways[c.id].alpha is not None)]
        tops = _curvatures(store, starts, model, track, data, device)
    return [row for row in rows(every, bases, ways, tops) if row.curve in shown]


def target(name: str) -> rules.Model:
    """A model that was not swept, from its configuration alone."""
    return rules.model(name, models.locate(name, weights=False))


def _named(every: Sequence[Curve], variants: str | None) -> list[Curve]:
    if variants is None:
        return list(every)
    there = dict.fromkeys(curve.variant.name for curve in every)
    wanted = [name.strip() for name in variants.split(",") if name.strip()]
    for name in wanted or [variants]:
        if name not in there:
            raise UserError(
                f"--variants: no record of {name!r}; did you mean {nearest(name, there)!r}? "
                f"(of {', '.join(there)})"
            )
    return [curve for curve in every if curve.variant.name in wanted]


def _bases(every: Sequence[Curve]) -> list[BaseRef]:
    known = {(base := curve.records[0].cell.base).digest: base for curve in every}
    return list(known.values())


def _folder(base: BaseRef, given: str | None) -> Path | None:
    """Where a base lies: as given, or by its name where that ships or is a folder here; None if not here."""
    names = [given] if given else [base.name]
    for name in names:
        if given or name in models.SHIPPED or Path(name).is_dir():
            folder = models.locate(name)
            if models.content_digest(folder) == base.digest:
                return folder
    return None


def _model(base: BaseRef, given: str | None) -> rules.Model:
    """The base as the rules want it; where it is not here, nothing is known of it but its name."""
    folder = _folder(base, given)
    if folder is None:
        return rules.Model(base.name, "a base that is not here (say where with --model)", None)
    return rules.model(base.name, folder)


def _curvatures(
    store: Path,
    starts: Sequence[Curve],
    model: str | None,
    track: str | None,
    data: str | None,
    device: str,
) -> dict[str, Curvature]:
    """The curvature of each curve's variant, at the start of its first seed."""
    from suite.curvature import kept

    shops: dict[str, Workshop] = {}
    tops: dict[str, Curvature] = {}
    for curve in starts:
        cell = min(curve.records, key=lambda record: record.cell.how.seed).cell
        if curve.group not in shops:
            shops[curve.group] = _shop(curve, model, track, data, device)
        tops[curve.id] = kept(store, shops[curve.group], cell)
    return tops


def _shop(curve: Curve, model: str | None, track: str | None, data: str | None, device: str) -> Workshop:
    """A workshop in which the cells of a curve could be trained: on their base, with their rows."""
    from suite import track as tracks
    from suite.plan import setup_of
    from suite.request import Request
    from suite.workshop import Workshop

    cell = curve.records[0].cell
    folder = _folder(cell.base, model)
    if folder is None:
        raise UserError(
            f"the base {cell.base.name} ({cell.base.digest}) is not {model or 'here'}; say with --model "
            "where it lies"
        )
    request = Request(
        tasks=_task(cell.task.name, cell.task.source),
        track=track or cell.track.partition("@")[0],
        model=str(folder),
        data=() if data is None else (data,),
        device=device,
    )
    setup, _, _ = setup_of(request, tracks.load(request.track or ""))
    shop = Workshop(setup, 1 if setup.device == "cpu" else None)
    task = shop.task(cell, cell.how.recipe)
    if task.digest != cell.task.digest:
        raise UserError(
            f"the rows of {cell.task.label} here are {task.digest}, and the records were trained on "
            f"{cell.task.digest}; give their data with --data"
        )
    return shop


def _task(name: str, source: str) -> str:
    return name if source == "pocket" else f"{name}:{source}"
