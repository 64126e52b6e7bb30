"""The low-regret map: where each variant stays within noise of full fine-tuning, and what would tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard import charts
from leaderboard.charts import region_map
from leaderboard.charts.words import listed
from leaderboard.experiments import Experiment, experiments
from leaderboard.files import Files
from leaderboard.navigation import frame
from leaderboard.pages import minus, render
from leaderboard.site import Site, variant_page
from suite.best_rate import Best
from suite.regions import GAIN_MARGIN, LOSS_MARGIN, Family, Map, Point, Quantity, Regret, Size, regions
from suite.words import numbered

PAGE = "map.html"
PICTURES = 16
ROWS = 120  # of a table
WORDS = {
    "within noise": "within",
    "behind": "behind",
    "ahead": "ahead",
    "cannot tell": "unknown",
    "no full fine-tuning there": "none",
}


@dataclass(frozen=True)
class Part:
    """One quantity at one point, in words: 'loss', 'behind', '+0.020 [+0.010, +0.030] nats', what to mind."""

    quantity: str
    verdict: str
    css: str
    shown: str
    minds: str


@dataclass(frozen=True)
class Row:
    """A variant at one rank: its parts by size, None where it was not run."""

    label: str
    href: str
    rank: str
    cells: tuple[tuple[Part, ...] | None, ...]


@dataclass(frozen=True)
class Grid:
    """One task of a map: a column a size, a row a variant and rank."""

    task: str
    sizes: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: int
    sentence: str
    picture: charts.ChartRef | None
    experiments: tuple[Experiment, ...]


@dataclass(frozen=True)
class View:
    """A map with its tables, and how much of a map it is."""

    map: Map
    grids: tuple[Grid, ...]
    sentences: tuple[str, ...]


def write(files: Files, site: Site) -> None:
    """Write map.html and its pictures."""
    left = PICTURES
    views = []
    for found in regions(entry.record for entry in site.entries):
        views.append(_view(files, found, left))
        left -= sum(grid.picture is not None for grid in views[-1].grids)
    margins = {"points": f"{GAIN_MARGIN:g}", "percent": f"{100 * LOSS_MARGIN:g}"}
    files.text(PAGE, render("map.html", **frame(site, PAGE), views=views, margins=margins))


def _view(files: Files, found: Map, left: int) -> View:
    by_task: dict[str, list[Family]] = {}
    for family in found.families:
        by_task.setdefault(family.task, []).append(family)
    grids = []
    for at, (task, families) in enumerate(by_task.items()):
        name = f"region-{found.id}-{at}" if at < left else None
        grids.append(_grid(files, found, task, families, name))
    return View(found, tuple(grids), (extent(found), *(counted(found, each) for each in ("loss", "gain"))))


def extent(found: Map) -> str:
    """How much of a map the records are: how many points a variant has."""
    points = [len(family.points) for family in found.families]
    variants = numbered(len({family.label for family in found.families}), "variant")
    if max(points) == 1:
        return (
            f"{variants}, at one rank, one amount of data and one batch size on each task: single points, no "
            "region. Nothing here says what happens at another rank or size."
        )
    span = (
        numbered(max(points), "point") if len(set(points)) == 1 else f"{min(points)} to {max(points)} points"
    )
    return (
        f"{variants}, {span} on each task. A verdict is of its point alone: nothing is claimed between "
        "points or beyond them."
    )


def counted(found: Map, quantity: Quantity) -> str:
    """How many points have which verdict: 'In held-out loss, of 4 points: 3 behind it and ...'."""
    counts = found.counts(quantity)
    told = {
        "within noise": "within noise of full fine-tuning",
        "behind": "behind it",
        "ahead": "ahead of it",
        "cannot tell": "where these records cannot tell",
        "no full fine-tuning there": "without full fine-tuning of that size",
    }
    parts = [f"{counts[word]} {text}" for word, text in told.items() if counts.get(word)]
    if "within noise" not in counts:
        parts.insert(0, f"none {told['within noise']}")
    name = "held-out loss" if quantity == "loss" else "gain"
    return f"In {name}, of {numbered(sum(counts.values()), 'point')}: {listed(parts)}."


def _grid(files: Files, found: Map, task: str, families: Sequence[Family], name: str | None) -> Grid:
    sizes = sorted({point.size for family in families for point in family.points}, key=_order)
    texts = region_map.size_texts(sizes)
    rows = [row for family in families for row in _rows(family, sizes)]
    picture, ref = region_map.picture(task, families), None
    if name and picture.chart is not None:
        ref = charts.put(
            files, name, picture.chart, picture.rows, picture.title, picture.sentence, picture.kind
        )
    return Grid(
        task=task,
        sizes=tuple(texts[size] for size in sizes),
        rows=tuple(rows[:ROWS]),
        left_out=len(rows) - len(rows[:ROWS]),
        sentence=picture.sentence,
        picture=ref,
        experiments=experiments(found, task, families),
    )


def _order(size: Size) -> tuple[int, int, int, int, str]:
    return size.examples or 0, size.tokens or 0, size.steps, size.batch_size, size.track


def _rows(family: Family, sizes: Sequence[Size]) -> list[Row]:
    ranks: dict[tuple[float | None, float | None], dict[Size, Point]] = {}
    for point in family.points:
        ranks.setdefault((point.rank, point.alpha), {})[point.size] = point
    return [
        Row(
            label=family.label,
            href=variant_page(family.variant),
            rank=region_map.rank_text(rank, alpha),
            cells=tuple(_parts(points[size]) if size in points else None for size in sizes),
        )
        for (rank, alpha), points in ranks.items()
    ]


def _parts(point: Point) -> tuple[Part, ...]:
    minds = _minds(point)
    return tuple(_part(point.regrets[quantity], minds) for quantity in ("loss", "gain"))


def _part(regret: Regret, minds: str) -> Part:
    shown, told = "", [regret.why, minds]
    if regret.comparison is not None:
        found = regret.comparison.interval
        form, unit = ("+.3f", "nats") if regret.quantity == "loss" else ("+.1f", "points")
        value, low, high = (minus(format(one, form)) for one in (found.value, found.low, found.high))
        shown = f"{value} [{low}, {high}] {unit}"
        if found.seeds == 1:
            told.append("one seed, so the interval is over items alone")
    name = "loss" if regret.quantity == "loss" else "gain"
    return Part(name, regret.verdict, WORDS[regret.verdict], shown, "; ".join(filter(None, told)))


def _minds(point: Point) -> str:
    """What a reader should mind of the rates: that there was but one, or that the best lies at the edge."""
    told = []
    for name, best in (("it", point.best), ("full fine-tuning", point.reference)):
        if best is not None and (mind := _mind(best)):
            told.append(f"{name}: {mind}")
    return ", ".join(told)


def _mind(best: Best) -> str:
    told = "one rate tried" if best.tried == 1 else f"best rate at the {best.edge} edge" if best.edge else ""
    lost = f"{numbered(best.lost, 'cell')} did not finish" if best.lost else ""
    return " and ".join(filter(None, (told, lost)))
