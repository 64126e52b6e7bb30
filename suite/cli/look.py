"""Commands that look at what there is: list, check-variant, doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from suite.cli.app import (
    DeviceOption,
    JsonOption,
    ModelOption,
    TasksOption,
    TrackOption,
    app,
    broken_plugins,
    one_line_errors,
)
from suite.errors import UserError, nearest


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help="variants, tasks or tracks")]) -> None:
    """Say what there is: variants, tasks or tracks, with a line about each."""
    with one_line_errors():
        for name, line in _described(what):
            typer.echo(f"{name:<11} {line}")
        if what == "variants":
            for line in broken_plugins():
                typer.echo(f"broken: {line}")


@app.command("check-variant")
def check_variant(
    name: Annotated[str | None, typer.Argument(help="A variant, such as lora or lora:rank=8.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every variant that `list variants` shows.")] = False,
    model: Annotated[str | None, typer.Option(help="pocket or a model folder, not a tiny model.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that a variant is what its interface says. Exit code 1 if a check fails."""
    with one_line_errors():
        from suite.checking import command

        if not command(name, every, model, as_json):
            raise typer.Exit(1)


@app.command()
def doctor(
    model: ModelOption = None,
    variants: Annotated[str | None, typer.Option(help="Such as lora,fullft; the track's if none.")] = None,
    tasks: TasksOption = None,
    track: TrackOption = None,
    batch: Annotated[str | None, typer.Option(help="Examples of a step; the track's if not given.")] = None,
    length: Annotated[
        str | None, typer.Option(help="Tokens of a row, all full; the tasks' own rows if not given.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder with real data, or a .jsonl file.")] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Say what a model needs, before anything is downloaded or trained. Exit code 1 if it is not there."""
    with one_line_errors():
        from suite.doctor import command

        if not command(model, variants, track, batch, length, data, device, as_json, tasks):
            raise typer.Exit(1)


def _described(what: str) -> list[tuple[str, str]]:
    kinds = ("variants", "tasks", "tracks")
    if what not in kinds:
        raise UserError(
            f"cannot list {what!r}; did you mean {nearest(what, kinds)!r}? (of {', '.join(kinds)})"
        )
    if what == "tracks":
        from suite import track

        return track.describe()
    from importlib import import_module

    return import_module(f"{what}.registry").describe()
