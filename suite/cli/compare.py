"""`suite compare`: two variants of a store against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.app import JsonOption, StoreOption, app, one_line_errors


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A variant, as the table names it.")],
    b: Annotated[str, typer.Argument(help="The variant that is set against it.")],
    store: StoreOption = Path("results"),
    task: Annotated[str | None, typer.Option(help="One task; all of them if not given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether two variants can be told apart in gain, forgetting and loss, paired by item and seed."""
    with one_line_errors():
        from suite.compare import versus
        from suite.compare_table import plain, view
        from suite.errors import UserError
        from suite.store import Store

        records = Store(store).records()
        if not records:
            raise UserError(f"no records in store {str(store)!r}; make some with: suite run --store {store}")
        found = versus(records, a, b, task)
        if as_json:
            import json

            typer.echo(json.dumps(plain(found), indent=1))
        else:
            from rich.console import Console

            Console().print(view(found))
