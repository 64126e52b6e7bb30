"""The gate's answer on a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from suite.gate.report import Report
from suite.gate.words import headline, plain, told

MOST_ROWS = 40
STYLES = {"fail": "bold red", "inconclusive": "yellow", "pass": "green"}


def table(report: Report) -> Group:
    """What is not as it was, then the verdict; nothing of a row is read as markup."""
    parts: list[Table | Text] = []
    shown = told(report)
    if shown:
        found = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name in ("verdict", "variant and task", "what", "why"):
            found.add_column(name, overflow="fold", ratio=4 if name == "why" else None)
        for row in shown[:MOST_ROWS]:
            found.add_row(
                Text(row.verdict, style=STYLES.get(row.verdict, "")),
                *(Text(plain(cell)) for cell in (row.place, row.metric, row.reason)),
            )
        parts.append(found)
        if len(shown) > MOST_ROWS:
            parts.append(Text(f"and {len(shown) - MOST_ROWS} more; see --json"))
    parts += [Text(f"note: {plain(note)}") for note in report.notes[:MOST_ROWS]]
    line = Text("gate: ")
    line.append(report.verdict, style=STYLES[report.verdict])
    line.append(f", {headline(report)}")
    return Group(*parts, line)
