"""The command line. What is heavy is imported inside the commands: `suite --help` answers at once."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.errors import UserError, nearest

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


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """A user's mistake is one line on stderr and exit code 2; a mistake of ours is a traceback."""
    try:
        yield
    except ValueError as error:
        known = [getattr(sys.modules[m], name) for m, name in MISTAKES.items() if m in sys.modules]
        if not isinstance(error, tuple(known)):
            raise
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from None


StoreOption = Annotated[Path, typer.Option(help="Folder of records.")]


@app.command()
def run(
    variants: Annotated[str | None, typer.Option(help="Such as lora:rank=8,alpha=16,pissa,lori.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Such as math,code.")] = None,
    track: Annotated[str | None, typer.Option(help="A track by name, or a yaml file.")] = None,
    model: Annotated[str | None, typer.Option(help="pocket, a model folder, or a hub id.")] = None,
    data: Annotated[str | None, typer.Option(help="Folder with real data in hub columns.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2.")] = None,
    lr: Annotated[
        str | None, typer.Option(help="Learning rates in place of the track's, such as 1e-3,5e-3.")
    ] = None,
    steps: Annotated[str | None, typer.Option(help="Training steps in place of the track's.")] = None,
    limit: Annotated[str | None, typer.Option(help="Score only the first items of each evaluation.")] = None,
    store: StoreOption = Path("results"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[str | None, typer.Option(help="Worker processes (CPU: 2 of one thread each).")] = None,
    weights: Annotated[
        bool, typer.Option("--weights/--no-weights", help="Keep trained weights in the store, for export.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells and their cost; write nothing.")
    ] = False,
) -> None:
    """Fine-tune, score before and after, keep one record per cell, write the leaderboard page."""
    from rich.console import Console

    console = Console()
    try:
        with _one_line_errors():
            from suite.engines.local import default_workers
            from suite.plan import Request, at_least_one, resolve
            from suite.run import Runner

            place = _writable(store)
            count = at_least_one("--workers", workers)
            request = Request(variants, tasks, track, model, data, seeds, lr, steps, limit, device)
            plan = resolve(request)
            for line in _broken_plugins():
                typer.echo(f"broken plugin: {line}", err=True)
            runner = Runner(plan, place, _command(), weights=weights)
            count = count or default_workers(plan.device)
            if dry_run:
                _show_plan(plan, runner, place, count, console)
            else:
                _finish(_execute(runner, plan, count), place, console)
    except KeyboardInterrupt:
        _stopped(store)


@app.command("eval")
def eval_(
    folder: Annotated[str, typer.Argument(help="A PEFT folder or a plain model folder, safetensors only.")],
    model: Annotated[
        str | None, typer.Option(help="The base; the track's for an adapter if not given.")
    ] = None,
    tasks: Annotated[str | None, typer.Option(help="Such as math,code.")] = None,
    track: Annotated[str | None, typer.Option(help="A track by name, or a yaml file.")] = None,
    data: Annotated[str | None, typer.Option(help="Folder with real data in hub columns.")] = None,
    limit: Annotated[str | None, typer.Option(help="Score only the first items of each evaluation.")] = None,
    store: StoreOption = Path("results"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[str | None, typer.Option(help="Worker processes (CPU: 2 of one thread each).")] = None,
) -> None:
    """Score a folder that was not trained here, and keep one record per task."""
    from rich.console import Console

    try:
        with _one_line_errors():
            from suite.engines.local import default_workers
            from suite.outside import Given, resolve
            from suite.plan import at_least_one
            from suite.run import Runner

            place = _writable(store)
            count = at_least_one("--workers", workers)
            found = resolve(Given(folder, model, tasks, track, data, limit, device))
            runner = Runner(found.plan, place, _command(), found.make)
            count = count or default_workers(found.plan.device)
            _finish(_execute(runner, found.plan, count), place, Console())
    except KeyboardInterrupt:
        _stopped(store)


@app.command()
def export(
    record: Annotated[str, typer.Argument(help="A record file, or the beginning of an id in --store.")],
    to: Annotated[Path, typer.Option(help="Folder to write, empty or not there yet.")],
    store: StoreOption = Path("results"),
    merged: Annotated[
        bool, typer.Option("--merged", help="Plain weights with tokenizer, in place of an adapter.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Where the base lies, if its name in the record does not tell.")
    ] = None,
) -> None:
    """Write what a cell learned as a PEFT folder (or plain weights) with a model card."""
    with _one_line_errors():
        from suite.export import export

        for line in export(record, store, to, merged, model):
            typer.echo(line)


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help="variants, tasks or tracks")]) -> None:
    """Say what there is: variants, tasks or tracks, with a line about each."""
    with _one_line_errors():
        for name, line in _described(what):
            typer.echo(f"{name:<11} {line}")
        if what == "variants":
            for line in _broken_plugins():
                typer.echo(f"broken: {line}")


@app.command("check-variant")
def check_variant(
    name: Annotated[str | None, typer.Argument(help="A variant, such as lora or lora:rank=8.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every variant that `list variants` shows.")] = False,
    model: Annotated[str | None, typer.Option(help="pocket or a model folder, not a tiny model.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
) -> None:
    """Check that a variant is what its interface says. Exit code 1 if a check fails."""
    with _one_line_errors():
        from suite.checking import command

        if not command(name, every, model, as_json):
            raise typer.Exit(1)


@app.command()
def show(
    record: Annotated[str, typer.Argument(help="A record file, or the beginning of an id in --store.")],
    store: StoreOption = Path("results"),
) -> None:
    """Show one record."""
    with _one_line_errors():
        from rich.console import Console

        from suite.show import find, view

        Console().print(view(find(record, store)))


@app.command("import-peft")
def import_peft(
    folder: Annotated[Path, typer.Argument(help="Result files of peft's method_comparison/MetaMathQA.")],
    store: StoreOption = Path("results"),
) -> None:
    """Take results of huggingface/peft's MetaMathQA comparison over, as records of a track of their own."""
    with _one_line_errors():
        from suite.importing import command

        if not command(folder, store, _command()):
            raise typer.Exit(1)


@app.command()
def site(
    store: StoreOption = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Folder for the page; <store>/site if not given.")] = None,
) -> None:
    """Write the leaderboard page of a store."""
    with _one_line_errors():
        from leaderboard.build import build

        typer.echo(str(build(store, out or store / "site")))


def _writable(store: Path) -> Store:
    """The store, which can be read and written."""
    from suite.store import Store

    place = Store(store)
    place.check_writable()
    place.records()
    return place


def _stopped(store: Path) -> None:
    typer.echo(f"stopped; finished cells are kept in {store}; resume with: {_command()}", err=True)
    raise typer.Exit(INTERRUPTED) from None


def _execute(runner: Runner, plan: Plan, workers: int) -> Outcome:
    """Run what is not finished, and show how it goes on stderr."""
    from rich.console import Console

    from suite.progress import display

    threads = None if plan.device.startswith("cuda") else 1
    shown = display(Console(stderr=True), runner.jobs, len(runner.cells), workers)
    with shown:
        return runner.run(shown, workers, threads)


def _finish(outcome: Outcome, store: Store, console: Console) -> None:
    """The table, what went wrong, and where the page lies. Exit code 1 if a cell failed."""
    from leaderboard.build import build
    from suite.table import table

    if outcome.records:
        console.print(table(outcome.records))
    if outcome.skipped:
        typer.echo(f"{outcome.skipped} cells were finished before and are not run again")
    if outcome.lost:
        typer.echo(f"{len(outcome.lost)} cells have no record; the same command tries them again", err=True)
    if outcome.records:
        typer.echo(f"leaderboard: {build(store.path, store.path / 'site')}")
    if outcome.failed:
        raise typer.Exit(1)


def _show_plan(plan: Plan, runner: Runner, store: Store, workers: int, console: Console) -> None:
    from suite.estimate import estimates, table

    console.print(table(estimates(plan, store, runner.cells), workers))


def _broken_plugins() -> list[str]:
    from variants import registry

    return registry.broken()


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


def _command() -> str:
    """The command as typed, for provenance and for resuming."""
    return shlex.join(["suite", *sys.argv[1:]])


def main() -> None:
    """Entry point of `suite`."""
    app()


if __name__ == "__main__":
    main()
