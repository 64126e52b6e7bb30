"""`suite site`: the pages of one store or several, and a look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.app import app, one_line_errors

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

    from rich.progress import TaskID

LAST_PORT = 65535
LONGEST = 500  # characters of a line about a file


@app.command()
def site(
    store: Annotated[
        list[Path] | None, typer.Option(help="Folder of records, or of stores; may be repeated. [results]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pages; <first store>/site if not given.")
    ] = None,
    workers: Annotated[str | None, typer.Option(help="Processes that read records; one a core.")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Show it on 127.0.0.1 until Ctrl-C.")] = False,
    port: Annotated[str | None, typer.Option(help="Of --serve; 0 takes any that is free. [8000]")] = None,
) -> None:
    """Write the leaderboard's pages. They open from disk and from any web server."""
    with one_line_errors():
        from suite.errors import UserError
        from suite.request import counted, read, whole

        if port is not None and not serve:
            raise UserError(f"--port {port} belongs to --serve; give both")
        wanted = None if port is None else read("--port", port, whole(0), f"a port, 0 to {LAST_PORT}")
        if wanted is not None and wanted > LAST_PORT:
            raise UserError(f"--port {port!r}: expected a port, 0 to {LAST_PORT}")
        stores = store or [Path("results")]
        folder = out or stores[0] / "site"
        make = partial(_make, stores, folder, counted("--workers", workers))
        if not serve:
            return make()
        from leaderboard.serve import PORT, server

        with server(folder, PORT if wanted is None else wanted) as running:
            make()
            _answer(running)


def _make(stores: list[Path], folder: Path, workers: int | None) -> None:
    """Build, and say where the page lies and which files were no records."""
    from leaderboard.build import build
    from suite.facts import printable

    with _shown() as on_progress:
        built = build(stores, folder, workers, on_progress)
    for one in built.rejected:
        typer.echo(printable(f"not shown: {one.file}: {one.reason}", LONGEST), err=True)
    typer.echo(str(built.page))


@contextmanager
def _shown() -> Iterator[Callable[[str, int, int], None]]:
    """How far a build is, on stderr, with what is left of its stage; it goes when the build is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        stages: dict[str, TaskID] = {}

        def on_progress(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = progress.add_task(stage, total=total)
            progress.update(stages[stage], completed=done, total=total)

        yield on_progress


def _answer(running: ThreadingHTTPServer) -> None:
    """Answer until Ctrl-C, which is how this ends and no mistake."""
    from leaderboard.serve import url

    typer.echo(f"{url(running)} (Ctrl-C ends)")
    try:
        running.serve_forever()
    except KeyboardInterrupt:
        typer.echo("", err=True)
