"""What the commands share: the application, one-line errors, the store, the end of a run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from suite.plan import Plan
    from suite.run import Outcome, Runner
    from suite.store import Store

app = typer.Typer(
    help="Which way of fine-tuning gains most, forgets least, and costs least.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

MISTAKES = {
    "suite.errors": "UserError",
    "suite.store": "StoreError",
    "variants.interface": "VariantError",
    "tasks.interface": "TaskError",
}
INTERRUPTED = 130

StoreOption = Annotated[Path, typer.Option(help="Folder of records.")]
ModelOption = Annotated[str | None, typer.Option(help="pocket, a model folder, or a hub id (owner/name).")]
TrackOption = Annotated[str | None, typer.Option(help="A track by name, or a yaml file.")]
TasksOption = Annotated[str | None, typer.Option(help="Such as math,code:magicoder,own.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
WorkersOption = Annotated[str | None, typer.Option(help="Worker processes (CPU: 2 of one thread each).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """A user's mistake is one line on stderr and exit code 2; a mistake of ours is a traceback."""
    try:
        yield
    except ValueError as error:
        known = [getattr(sys.modules[m], name) for m, name in MISTAKES.items() if m in sys.modules]
        if not isinstance(error, tuple(known)):
            raise
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from None


@contextmanager
def stoppable(store: Path) -> Iterator[None]:
    """Ctrl-C says how to go on; the exit code is the shell's for it."""
    try:
        yield
    except KeyboardInterrupt:
        told = f"stopped; finished cells are kept in {store}; resume with: {command_line()}"
        typer.echo(told, err=True)
        raise typer.Exit(INTERRUPTED) from None


def writable(store: Path) -> Store:
    """The store, which can be read and written."""
    from suite.store import Store

    place = Store(store)
    place.check_writable()
    place.records()
    return place


def execute(runner: Runner, plan: Plan, workers: int, title: str = "run", later: int = 0) -> Outcome:
    """Run what is not finished, and show how it goes on stderr; `later` cells are scored after it."""
    from rich.console import Console

    from suite.progress import display

    threads = None if plan.setup.device.startswith("cuda") else 1
    shown = display(Console(stderr=True), runner.jobs, len(runner.cells), workers, title, later)
    with shown:
        return runner.run(shown, workers, threads)


def finish(outcome: Outcome, store: Store, console: Console) -> None:
    """The table, what went wrong, and where the page lies. Exit code 1 if a cell failed."""
    from leaderboard.build import build
    from suite.standings import standings
    from suite.standings_table import tables
    from suite.table import table

    if any(record.search for record in outcome.records):
        console.print(tables(standings(outcome.records)))
    elif outcome.records:
        console.print(table(outcome.records))
    if outcome.skipped:
        typer.echo(f"{outcome.skipped} cells were finished before and are not run again")
    if outcome.lost:
        typer.echo(f"{len(outcome.lost)} cells have no record; the same command tries them again", err=True)
    if outcome.records:
        typer.echo(f"leaderboard: {build(store.path, store.path / 'site').page}")
    if outcome.failed:
        raise typer.Exit(1)


def broken_plugins() -> list[str]:
    """A line for each plugin that cannot be loaded."""
    from variants import registry

    return registry.broken()


def command_line() -> str:
    """The command as typed, for provenance and for resuming."""
    return shlex.join(["suite", *sys.argv[1:]])
