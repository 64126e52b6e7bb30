"""Results of others: one page for all boards of imported records, with what their scores can tell apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from leaderboard import charts
from leaderboard.charts import shares
from leaderboard.files import Files
from leaderboard.navigation import frame
from leaderboard.pages import render
from leaderboard.site import BoardView, Site, cell_link
from suite.outside_scores import Reported, Run, reported, title_of
from suite.record import Record
from suite.words import numbered, plural

PAGE = "external.html"
SHOWN = 200  # rows of a table; the picture's data and data.json have them all
PICTURES = 12


@dataclass(frozen=True)
class Row:
    """One run as the page shows it; None where its source does not say. Scores are points, 0 to 100."""

    name: str
    href: str
    variant: str
    run: Run
    rate: float | None
    seed: int | None
    trainable: int | None
    memory: int | None
    seconds: float | None
    status: str
    error: str | None
    source: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """The runs of one task of one board, and the picture of them."""

    board: BoardView
    found: Reported
    rows: tuple[Row, ...]
    left_out: int
    sentence: str
    devices: tuple[str, ...]
    memory: tuple[str, ...]
    origins: tuple[str, ...]
    rates: int
    picture: charts.ChartRef | None


def write(files: Files, site: Site) -> None:
    """Write external.html and its pictures; nothing where no record was imported."""
    boards = [board for board in site.boards if board.external]
    if not boards:
        return
    tables: list[Table] = []
    for board in boards:
        for at, found in enumerate(reported([entry.record for row in board.rows for entry in row.entries])):
            name = f"shares-{board.id}-{at}" if len(tables) < PICTURES else None
            tables.append(_table(files, board, found, name))
    files.text(PAGE, render("external.html", **frame(site, PAGE), tables=tables))


def _table(files: Files, board: BoardView, found: Reported, name: str | None) -> Table:
    """The table of one task; `name` is that of its picture, None for none."""
    records = [run.record for run in found.runs]
    rows = tuple(_row(run) for run in found.runs)
    told = sentence(found)
    picture, ref = shares.picture(found), None
    if name and picture is not None and picture.chart is not None:
        ref = charts.put(files, name, picture.chart, picture.rows, picture.title, told, picture.kind)
    return Table(
        board=board,
        found=found,
        rows=rows[:SHOWN],
        left_out=len(rows) - len(rows[:SHOWN]),
        sentence=told,
        devices=_different(record.provenance.device for record in records),
        memory=_different(record.cost.memory_method for record in records if record.cost),
        origins=_different(record.source.origin for record in records if record.source),
        rates=len({row.rate for row in rows if row.rate is not None}),
        picture=ref,
    )


def sentence(found: Reported) -> str:
    """What these scores can tell apart, in one or two sentences."""
    ranking = found.ranking
    if ranking is None:
        return (
            f"{found.scored} scores, and it is not known over how many items: they are not ranked, and how "
            "far they would have to lie apart cannot be said."
        )
    names = {run.record.id: title_of(run.record) for run in found.runs}
    best, count = next(iter(ranking.shares)), len(ranking.shares)
    if count == 1:
        return f"One score, of {names[best]}: there is nothing to tell it from."
    pairs = ranking.pairs.values()
    apart = sum(pair.verdict != "cannot tell" for pair in pairs)
    tied = len(ranking.tied_with_first)
    neighbours = f"{count - 1} neighbouring {plural('pair', count - 1)}"
    every = f"all {numbered(len(pairs), 'pair')}"
    return (
        f"Of {neighbours} {ranking.neighbours_apart} can be told apart; of {every}, {apart:,}. "
        f"{tied or 'No'} {plural('run', tied)} cannot be told from the first, {names[best]}."
    )


def _row(run: Run) -> Row:
    record = run.record
    return Row(
        name=title_of(record),
        href=cell_link(record.id),
        variant=record.cell.variant.name,
        run=run,
        rate=record.cell.learning_rate,
        seed=record.cell.seed,
        trainable=record.trainable_parameters,
        memory=record.cost.peak_memory_bytes if record.cost else None,
        seconds=record.cost.train_wall_s if record.cost else None,
        status=record.status,
        error=record.error,
        source=_source(record),
    )


def _source(record: Record) -> tuple[tuple[str, str], ...]:
    """(what it is, its text) of what the source says of where it lies: the file, and the code's commit."""
    source = record.source
    told = {"file": source.file, "commit": source.commit and source.commit[:12]} if source else {}
    return tuple((name, text) for name, text in told.items() if text)


def _different(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))
