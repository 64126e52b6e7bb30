"""`suite table` and `suite publish`: what a store's records come to, and a copy of them for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.app import JsonOption, StoreOption, app, one_line_errors


@app.command()
def table(
    store: StoreOption = Path("results"),
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rank the variants of a store, with intervals, ties and what the numbers cannot tell."""
    with one_line_errors():
        from suite.errors import UserError
        from suite.standings import standings
        from suite.standings_table import markdown, plain, tables
        from suite.store import Store

        if as_markdown and as_json:
            raise UserError("--markdown and --json: give one of them")
        records = Store(store).records()
        if not records:
            raise UserError(f"no records in store {str(store)!r}; make some with: suite run --store {store}")
        found = standings(records)
        if as_json:
            import json

            typer.echo(json.dumps(plain(found), indent=1))
        elif as_markdown:
            typer.echo(markdown(found))
        else:
            from rich.console import Console

            Console().print(tables(found))


@app.command()
def publish(
    to: Annotated[Path, typer.Option(help="Folder for the copy, such as leaderboard/published/pocket.")],
    store: StoreOption = Path("results"),
) -> None:
    """Copy a store's records, packed small; one record a file, the same bytes for the same records.

    The prompts go with them, but for those made from data sets of others.
    """
    with one_line_errors():
        from suite import prompts
        from suite.errors import UserError
        from suite.store import Store

        records = Store(store).records()
        if not records:
            raise UserError(f"no records in store {str(store)!r}; make some with: suite run --store {store}")
        place = Store(to)
        place.check_writable()
        size = sum(place.write(record, packed=True).stat().st_size for record in records)
        others = len(place.records()) - len(records)
        kept = f"; {others} records of other cells were there before" if others else ""
        typer.echo(f"{len(records)} records, {size / 2**20:.1f} MiB, in {to}{kept}")
        copied, left = prompts.publish(store, to, records)
        why = f"; {left} not copied, made from data sets that are not ours" if left else ""
        if copied or left:
            typer.echo(f"prompts of {copied} evaluations{why}")
