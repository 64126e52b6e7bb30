"""Which tasks are asked for, and where their rows and the base lie: folder, file, hub, or the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from suite import model as models
from suite.errors import UserError, nearest
from suite.request import Request, many
from suite.track import Track

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.interface import Places

OWN = "own"


class Spec(NamedTuple):
    """A task as asked for: what it is scored on, and its training set (None: the usual one)."""

    name: str
    source: str | None


def specs_of(request: Request, track: Track) -> list[Spec]:
    """The tasks asked for, all of them in the track."""
    from tasks import registry

    _, own = request.folders()
    if request.tasks is None:
        given = list(track.tasks) if own is None else [OWN]
    else:
        given = many("--tasks", request.tasks, str, f"some of {', '.join(registry.names())}")
    specs = [Spec(*registry.split_spec(text)) for text in given]
    for spec, text in zip(specs, given, strict=True):
        _check(spec, text, track, own)
    if own is not None and not any(OWN in spec for spec in specs):
        raise UserError(f"--data {str(own)!r} is read by no task; add {OWN} or <task>:{OWN} to --tasks")
    return specs


def _check(spec: Spec, text: str, track: Track, own: Path | None) -> None:
    from tasks import registry

    known = registry.names()
    if spec.name not in known:
        close = nearest(spec.name, known)
        raise UserError(f"unknown task {spec.name!r}; did you mean {close!r}? (of {', '.join(known)})")
    if track.part(*spec) is None:
        has = ", ".join([*track.tasks, *track.on_request])
        raise UserError(f"task {text!r} is not in track {track.name!r}, which has {has}")
    if OWN in spec and own is None:
        raise UserError(f"task {text!r} trains on rows of your own; give them with --data FILE.jsonl")
    if spec.source not in (None, OWN) and not track.needs_data:
        raise UserError(
            f"task {text!r} names a training set, and track {track.name!r} runs on the embedded world; "
            "use --track open"
        )


def places_of(request: Request, track: Track, specs: Sequence[Spec]) -> Places:
    """Where rows lie. Real data without a folder are fetched from the hub into the user's cache."""
    from tasks.interface import Places

    folder, own = request.folders()
    if folder is not None and not track.needs_data:
        raise UserError(
            f"track {track.name!r} runs on the embedded world and reads no data folder; leave it out, "
            "or use --track open"
        )
    if not track.needs_data:
        return Places(own=own)
    files = needed(track, specs)
    if folder is None:
        from suite.hub.fetch import cached_folder, extents

        folder = cached_folder(files, extents(track, specs, request))
    from suite.hub.manifest import verify

    verify(folder, files)
    return Places(data=folder, own=own)


def needed(track: Track, specs: Sequence[Spec]) -> tuple[str, ...]:
    """The files of a data folder that these tasks read, forgetting included."""
    from tasks import general, registry

    files = dict.fromkeys(general.files())
    for spec in specs:
        part = track.part(*spec)
        files |= dict.fromkeys(registry.files(*spec, part and part.evaluations))
    return tuple(files)


def base_of(request: Request, track: Track, places: Places, weights: bool = True) -> tuple[str, Path]:
    """The base as it is named and its folder: in the data folder if it was fetched with the data.

    Where no base is named, it is the track's, or the one that lies in the data folder in its stead. Without
    `weights` a model of the hub comes as its configuration and tokenizer alone.
    """
    name = track.base if request.model is None else request.model
    if places.data is None or name in models.SHIPPED or Path(name).expanduser().is_dir():
        return name, models.locate(name, weights)
    from suite.hub.manifest import model_folder, model_names

    there = model_names(places.data)
    if request.model is None and track.base not in there and len(there) == 1:
        (name,) = there
    fetched = model_folder(places.data, name)
    return name, models.locate(name, weights) if fetched is None else fetched
