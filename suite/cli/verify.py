"""`suite verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.app import (
    INTERRUPTED,
    DeviceOption,
    JsonOption,
    StoreOption,
    app,
    command_line,
    execute,
    one_line_errors,
)

if TYPE_CHECKING:
    from suite.verify import Verdict

MOST = 20  # differences that are listed
NOT_REPEATED = "nothing was trained: curve, effect, parameters, start loss and costs were not repeated"


@app.command()
def verify(
    record: Annotated[str, typer.Argument(help="A record file, or the beginning of an id in --store.")],
    store: StoreOption = Path("results"),
    evaluation_only: Annotated[
        bool, typer.Option("--evaluation-only", help="Score the kept weights; do not train again.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Where the base lies, if its name in the record does not tell.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="Folder with the data, or file of your own, that it read.")
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Run a record's cell again and say whether it reproduces. Exit code 1 if it does not."""
    try:
        with one_line_errors():
            from suite.show import find
            from suite.verify import verify as repeat

            verdict = repeat(
                find(record, store),
                store,
                lambda runner, plan: execute(runner, plan, 1, "verify"),
                command_line(),
                evaluation_only=evaluation_only,
                model=model,
                data=tuple(data or ()),
                device=device,
            )
    except KeyboardInterrupt:
        typer.echo("stopped; nothing was written", err=True)
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(json.dumps(verdict.json(), indent=1) if as_json else "\n".join(_lines(verdict)))
    if not verdict.reproduces:
        raise typer.Exit(1)


def _lines(verdict: Verdict) -> list[str]:
    """The verdict, what it rests on, and every fact that came out otherwise."""
    lines = [f"here: {one}" for one in verdict.elsewhere]
    within = [one for one in verdict.differences if one not in verdict.telling]
    lines += [f"within the limits: {one}" for one in within[:MOST]]
    lines += [f"differs: {one}" for one in verdict.telling[:MOST]]
    if (left := max(0, len(within) - MOST) + max(0, len(verdict.telling) - MOST)) > 0:
        lines.append(f"and {left} more; --json lists them all")
    return [*lines, _verdict(verdict)]


def _verdict(verdict: Verdict) -> str:
    name, place = verdict.record.id, _place(verdict)
    if not verdict.reproduces:
        why = ", most likely for the code" if verdict.code and not verdict.machine else ""
        return f"record {name} does not reproduce: {len(verdict.telling)} facts differ{why} ({place})"
    saved = all(one.fact == "scored" for one in verdict.machine)
    limits = f"within the limits of {'weights that were saved' if saved else 'another machine'}"
    how = limits if verdict.differences else "bit for bit"
    if verdict.scores_only:
        return f"the scores of record {name} reproduce {how} ({place}); {NOT_REPEATED}"
    return f"record {name} reproduces {how} ({place})"


def _place(verdict: Verdict) -> str:
    """What of machine, versions and code is another, and what is as it was."""
    if verdict.elsewhere:
        other = f"{', '.join(one.fact for one in verdict.elsewhere)} differ"
        return other if verdict.machine else f"{other}; machine and versions are those of the record"
    if verdict.record.provenance.dirty:
        return "machine, versions and commit are those of the record, whose checkout had changes as this has"
    return "machine, versions and code are those of the record"
