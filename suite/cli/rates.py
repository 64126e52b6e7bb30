"""suite lr: loss against learning rate, and what the published rules say of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from suite.cli.app import DeviceOption, JsonOption, StoreOption, TrackOption, app, one_line_errors


@app.command()
def lr(
    store: StoreOption = Path("results"),
    variants: Annotated[str | None, typer.Option(help="Only these, such as lora,pissa.")] = None,
    predict: Annotated[
        str | None, typer.Option(help="A model that was not swept: a folder or hub id; its config is enough.")
    ] = None,
    curvature: Annotated[
        bool,
        typer.Option("--curvature", help="Compute the Hessian's largest eigenvalues, kept in the store."),
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Where the base lies, if its name in the records does not tell.")
    ] = None,
    track: TrackOption = None,
    data: Annotated[
        str | None, typer.Option(help="For --curvature: the data the records were made on.")
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Show loss by learning rate, the optimum of each variant, and what the published rules predict."""
    with one_line_errors():
        from rich.console import Console

        from suite.learning_rates import found, target

        rows = found(store, variants, model, track, data, device, curvature)
        wanted = None if predict is None else target(predict)
        if as_json:
            from suite.rates_report import plain, predicted

            shown = [{**plain(row), **({} if wanted is None else predicted(row, wanted))} for row in rows]
            typer.echo(json.dumps(shown, indent=1, ensure_ascii=False))
            return
        from suite.rates_table import tables

        Console().print(tables(rows, wanted))
