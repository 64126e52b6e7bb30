"""Commands that add to the records there are what was not kept when they were made: spectrum, prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.app import DeviceOption, StoreOption, app, one_line_errors, stoppable, writable

if TYPE_CHECKING:
    from suite.store import Store

BaseOption = Annotated[
    str | None, typer.Option("--model", help="Where the base lies, if its name in the records does not tell.")
]


@app.command()
def spectrum(
    store: StoreOption = Path("results"),
    kept: Annotated[
        Path | None, typer.Option(help="The store that has the weights, if that is another one.")
    ] = None,
    model: BaseOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Compute the rank of each weight change for records without it, from the kept weights."""
    with stoppable(store), one_line_errors():
        from suite.spectra import command

        if not command(_there(store), kept or store, model, device):
            raise typer.Exit(1)


@app.command()
def prompts(
    store: StoreOption = Path("results"),
    data: Annotated[
        list[str] | None, typer.Option(help="Folder with the data, or file of your own, that was read.")
    ] = None,
    model: BaseOption = None,
) -> None:
    """Render the prompts of records that came before they were kept, and keep those that agree."""
    with stoppable(store), one_line_errors():
        from suite.rendering import command

        if not command(_there(store), tuple(data or ()), model):
            raise typer.Exit(1)


def _there(path: Path) -> Store:
    """The store, which can be written and has records."""
    from suite.errors import UserError

    store = writable(path)
    if not store.records():
        raise UserError(f"no records in store {str(path)!r}; make some with: suite run --store {path}")
    return store
