"""`suite submit`: is a submission fit to be sent? Nothing is sent from here: see CONTRIBUTING.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.app import app, one_line_errors

LONGEST = 500  # characters of a line


@app.command()
def submit(
    files: Annotated[
        list[Path], typer.Argument(help="Files of leaderboard/submissions, or stores of records.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Say what would keep each from being taken.")
    ] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Also train the variant for a few steps; well under a minute.")
    ] = False,
    packages: Annotated[
        bool, typer.Option("--packages", help="Print only what the files name for pip, one a line.")
    ] = False,
) -> None:
    """Check a submission, one line a fault. Exit code 0 fit, 1 not fit, 2 a mistake of usage."""
    with one_line_errors():
        from suite.errors import UserError

        if check == packages or (smoke and packages):
            raise UserError("give --check or --packages; files are sent by pull request, see CONTRIBUTING.md")
        if missing := [str(file) for file in files if not file.exists()]:
            raise UserError(f"no file or folder {missing[0]!r}; expected leaderboard/submissions/<name>.yaml")
        if packages:
            _packages(files)
        elif not all([_fit(file, files, smoke) for file in files]):
            raise typer.Exit(1)


def _packages(files: list[Path]) -> None:
    """Every package once; a file that cannot be read names none, which --check tells."""
    from suite.submission import SubmissionFault, read

    found = set()
    for file in files:
        try:
            found.add(read(file).package)
        except SubmissionFault as fault:
            _say(str(fault), err=True)
    for package in sorted(one for one in found if one):
        typer.echo(package)


def _fit(file: Path, others: list[Path], smoke: bool) -> bool:
    """Tell what is wrong with one file or folder, or that nothing is."""
    from suite.submission import check
    from suite.submitted_records import faults

    if file.is_dir():
        found, notes = faults(file)
    else:
        found, notes = check(file, others, smoke)
    for line in found:
        _say(line, err=True)
    for line in notes:
        _say(line)
    return not found


def _say(line: str, err: bool = False) -> None:
    """Files, names and reasons come from strangers: nothing of them steers a terminal."""
    from suite.facts import printable

    typer.echo(printable(line, LONGEST), err=err)
