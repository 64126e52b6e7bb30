"""The pictures of the site: Altair builds each as a Vega-Lite specification, vl-convert draws its SVG.

What other pages use:

    charts.of_board(board, site) -> list[ChartRef]      the pictures of a board, in the order to show them;
                                                        may be asked before or after `write`
    charts.put(files, name, chart, rows, title, sentence, kind="") -> ChartRef      a picture of your own
    {% from "chart.html" import chart %} {{ chart(ref) }}                            the figure
    {% block styles %}<link rel="stylesheet" href="static/charts.css">{% endblock %}
    {% block scripts %}<script src="static/charts.js"></script>{% endblock %}        after core.js

`ChartRef.kind` of a board's pictures: plane, gains, skills, rates, pairs, curves, parameters, memory, time,
ranks.

Pictures are drawn for the first BOARDS boards of a site, so that their number is bounded; others have none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from leaderboard.charts import bundle, costs, forest, pairs, plane, ranks, rates, theme, training
from leaderboard.charts.drawing import ChartRef, Picture, put
from leaderboard.charts.searched import Curves
from leaderboard.charts.series import series
from leaderboard.files import Files
from leaderboard.site import BoardView, Site

__all__ = ["BOARDS", "ChartRef", "of_board", "put", "write"]

BOARDS = 6  # as many as have a link at the top of every page


def write(files: Files, site: Site) -> None:
    """Write the script that draws, the themes, and every picture of every board."""
    bundle.write(files)
    files.data("charts/theme", theme.themes())
    for board in site.boards:
        for picture in _pictures(board, site):
            if picture.chart is not None:
                put(
                    files, _name(board, picture), picture.chart, picture.rows, picture.title, picture.sentence
                )


def of_board(board: BoardView, site: Site) -> list[ChartRef]:
    """The pictures of a board that `write` makes, whether or not it has."""
    return [picture.ref(_name(board, picture)) for picture in _pictures(board, site)]


def _name(board: BoardView, picture: Picture) -> str:
    return f"{picture.kind}-{board.id}"


@dataclass
class _Made:
    """What was made of one site: pages ask for the pictures that were just drawn."""

    site: Site
    curves: Curves
    pictures: dict[str, list[Picture]] = field(default_factory=dict)


_last: _Made | None = None


def _pictures(board: BoardView, site: Site) -> list[Picture]:
    global _last
    if _last is None or _last.site is not site:
        _last = _Made(site, Curves(site))
    if board.id not in _last.pictures:
        drawn = any(board.id == one.id for one in site.boards[:BOARDS])
        _last.pictures[board.id] = _make(board, _last.curves) if drawn else []
    return _last.pictures[board.id]


def _make(board: BoardView, curves: Curves) -> list[Picture]:
    """The pictures of one board, in the order to show them."""
    shared = series(board)
    found = [
        plane.picture(board, shared),
        pairs.picture(board, shared),
        forest.gains(board, shared),
        forest.skills(board, shared),
        *costs.pictures(board, shared),
        rates.picture(curves.of(board, shared), shared),
        training.picture(board, shared),
        None if board.external else ranks.picture(board, shared),
    ]
    return [picture for picture in found if picture is not None]
