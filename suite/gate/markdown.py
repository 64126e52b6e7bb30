"""The gate's answer as a comment on a pull request. Names and errors may come from anywhere: all escaped."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence

from suite.gate.report import Report, Row
from suite.gate.words import effect, headline, plain, told, value

MARK = "<!-- lora-suite gate -->"  # a workflow finds its own comment by it and replaces it
MOST_ROWS = 25
MOST_CHARACTERS = 60_000  # of a comment on GitHub, 65,536
SAFE = set(string.ascii_letters + string.digits + " .,;%+-=()")
COLUMNS = ("verdict", "variant", "task", "what", "baseline", "candidate", "change (95 %)", "why")
HEAD = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def markdown(report: Report) -> str:
    """The verdict, a table of what is not as it was, and everything else folded away."""
    shown = told(report)
    parts = [MARK, f"### Fine-tuning gate: **{report.verdict}**", "", f"{text(headline(report))}.", ""]
    if shown:
        parts += _table(shown[:MOST_ROWS])
        if len(shown) > MOST_ROWS:
            parts += ["", f"and {len(shown) - MOST_ROWS} more, in the details."]
        parts.append("")
    parts += _notes(report.notes)
    return _with_details("\n".join(parts), report.rows)


def _with_details(head: str, rows: Sequence[Row]) -> str:
    """All rows in a fold, as many as a comment may hold."""
    opening = f"\n<details><summary>All {len(rows)} checks</summary>\n\n{HEAD}\n"
    closing = "\n</details>\n"
    room = MOST_CHARACTERS - len(head) - len(opening) - len(closing) - 80
    lines: list[str] = []
    for row in rows:
        line = _line(row)
        room -= len(line) + 1
        if room < 0:
            lines.append(
                f"\nand {len(rows) - len(lines)} more, which a comment has no room for; see the JSON"
            )
            break
        lines.append(line)
    return head + opening + "\n".join(lines) + "\n" + closing


def _table(rows: Iterable[Row]) -> list[str]:
    return [HEAD, *(_line(row) for row in rows)]


def _line(row: Row) -> str:
    """One row. Names are code, where nobody is mentioned and nothing is linked."""
    cells = [
        f"**{row.verdict}**" if row.verdict in ("fail", "inconclusive") else row.verdict,
        code(row.variant) if row.variant else "untouched base",
        code(row.task) if row.task else "all tasks",
        text(row.metric),
        text(value(row, row.baseline)),
        text(value(row, row.candidate)),
        text(effect(row)),
        text(row.reason),
    ]
    return "| " + " | ".join(cells) + " |"


def _notes(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    body = [f"- {text(note)}" for note in notes[:MOST_ROWS]]
    return [f"<details><summary>{len(notes)} notes</summary>", "", *body, "", "</details>", ""]


def text(anything: object, most: int = 300) -> str:
    """Text that markdown and HTML leave as it is: nothing is a tag, a link, a mention or a cell's end."""
    line = plain(anything)
    line = line if len(line) <= most else line[: most - 3] + "..."
    return "".join(c if c in SAFE else f"&#{ord(c)};" + ("\u200b" if c in "@#:" else "") for c in line)


def code(name: object) -> str:
    """A name in code type."""
    return f"<code>{text(name, 100)}</code>"
