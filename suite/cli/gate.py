"""Commands that hold a store against an earlier one: gate, baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.app import StoreOption, app, one_line_errors

if TYPE_CHECKING:
    from suite.gate.report import Report

EXIT = {"pass": 0, "fail": 1, "inconclusive": 3}
Output = Annotated[str | None, typer.Option(help="File to write, - for standard output.")]


@app.command()
def gate(
    baseline: Annotated[Path, typer.Argument(help="A store's folder, or a file of `suite baseline`.")],
    candidate: Annotated[Path, typer.Argument(help="The same of what is to be judged.")],
    json: Output = None,
    markdown: Output = None,
    junit: Annotated[Path | None, typer.Option(help="File to write as JUnit XML.")] = None,
    settings: Annotated[
        Path | None, typer.Option(help="A yaml file: alpha, power, metrics: {gain: {floor: 2, limit: 20}}.")
    ] = None,
    allow_improvement: Annotated[
        bool, typer.Option("--allow-improvement", help="What got better passes, and is still told.")
    ] = False,
) -> None:
    """Say whether a candidate is worse than a baseline. Exit code 0 pass, 1 fail, 3 inconclusive."""
    with one_line_errors():
        from suite.gate import judge
        from suite.gate.file import side
        from suite.gate.settings import Settings, load

        strict = load(settings) if settings else Settings()
        if allow_improvement:
            strict = strict.model_copy(update={"allow_improvement": True})
        report = judge(side(baseline), side(candidate), strict)
        _write(report, json, markdown, junit)
        raise typer.Exit(EXIT[report.verdict])


@app.command()
def baseline(
    to: Annotated[Path, typer.Option(help="File to write, such as baseline.json.")],
    store: StoreOption = Path("results"),
) -> None:
    """Write what the gate needs of a store into one file, to be kept beside the code."""
    with one_line_errors():
        from suite.gate.file import side, write
        from suite.record import Record

        records = [one for one in side(store) if isinstance(one, Record)]
        typer.echo(f"{to}: {write(records, to)} cells")


def _write(report: Report, json: str | None, markdown: str | None, junit: Path | None) -> None:
    """Every form that was asked for; the table too, unless standard output is taken."""
    from json import dumps

    from rich.console import Console

    from suite.gate.junit import junit as as_junit
    from suite.gate.markdown import markdown as as_markdown
    from suite.gate.table import table
    from suite.store import write_whole

    if "-" not in (json, markdown):
        Console().print(table(report))
    content = dumps(report.content(), indent=1, ensure_ascii=True, allow_nan=False) + "\n"
    for place, text in ((json, content), (markdown, as_markdown(report)), (junit, as_junit(report))):
        if place == "-":
            typer.echo(text, nl=False)
        elif place is not None:
            write_whole(Path(place), text)
