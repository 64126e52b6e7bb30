"""Commands that prepare a run: fetch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.app import INTERRUPTED, ModelOption, TasksOption, TrackOption, app, one_line_errors


@app.command()
def fetch(
    to: Annotated[Path, typer.Option(help="Folder to write; what it has already is kept.")],
    track: TrackOption = "open",
    model: ModelOption = None,
    tasks: TasksOption = None,
    examples: Annotated[str | None, typer.Option(help="Examples of each large training set.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Tokens of each large training set.")] = None,
) -> None:
    """Make a folder with everything that a track needs, for machines without a network."""
    try:
        with one_line_errors():
            from suite.hub.fetch import command
            from suite.request import Request

            command(Request(track=track, model=model, tasks=tasks, examples=examples, tokens=tokens), to)
    except KeyboardInterrupt:
        typer.echo(f"stopped; what came is kept in {to}; the same command goes on", err=True)
        raise typer.Exit(INTERRUPTED) from None
