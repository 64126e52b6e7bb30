"""Commands about records that there are: export, export-results, show, import-peft."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.app import StoreOption, app, command_line, one_line_errors


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
    with one_line_errors():
        from suite.export import export

        for line in export(record, store, to, merged, model):
            typer.echo(line)


@app.command("export-results")
def export_results(
    to: Annotated[Path, typer.Option(help="Folder to write, empty or not there yet.")],
    form: Annotated[str, typer.Option("--format", help="eee, model-index or hub.")],
    store: StoreOption = Path("results"),
    benchmark: Annotated[
        list[str] | None,
        typer.Option(help="Of hub: EVALUATION=OWNER/DATASET:TASK, a benchmark there; may be repeated."),
    ] = None,
) -> None:
    """Write what finished cells scored on test, for Every Eval Ever, model cards or the hub."""
    with one_line_errors():
        from suite.exports import write

        typer.echo(f"{to}: {write(store, to, form, benchmark or [])} files")


@app.command()
def show(
    record: Annotated[str, typer.Argument(help="A record file, or the beginning of an id in --store.")],
    store: StoreOption = Path("results"),
) -> None:
    """Show one record."""
    with one_line_errors():
        from rich.console import Console

        from suite.show import find, view

        Console().print(view(find(record, store)))


@app.command("import-peft")
def import_peft(
    folder: Annotated[Path, typer.Argument(help="Result files of peft's method_comparison/MetaMathQA.")],
    store: StoreOption = Path("results"),
) -> None:
    """Take results of huggingface/peft's MetaMathQA comparison over, as records of a track of their own."""
    with one_line_errors():
        from suite.importing import command

        if not command(folder, store, command_line()):
            raise typer.Exit(1)
