"""How every picture looks, in the light and the dark theme: colours, shapes, fonts, lines.

The colours of variants are those of Okabe and Ito (Color Universal Design, 2008), darker on white and lighter
on black so that each has a contrast of 3 to 1 or more; a shape goes with each as a second sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VEGA_LITE = "6.4"
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
WIDTH = 720  # of an SVG; in a page a picture is as wide as its place
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
SHAPES = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "triangle-right",
    "triangle-left",
)
COLOURED = len(SHAPES)  # variants with a colour of their own; beyond them all are grey


@dataclass(frozen=True)
class Colours:
    """One theme. `series` is in the order of SHAPES; `better`, `worse`, `tie` fill the cells of a matrix."""

    card: str
    ink: str
    soft: str
    line: str
    grey: str
    series: tuple[str, ...]
    better: str
    worse: str
    tie: str
    wrong: str
    ramp: tuple[str, str, str]


LIGHT = Colours(
    card="#ffffff",
    ink="#1c2126",
    soft="#59626c",
    line="#e2e0da",
    grey="#8b8f94",
    series=("#0072b2", "#d55e00", "#007f5c", "#b5508a", "#9a7400", "#30363c", "#5b3fa0", "#2e93c9"),
    better="#cfe6f5",
    worse="#fbdcc5",
    tie="#f1f0ec",
    wrong="#b3261e",
    ramp=("#e8f1f8", "#6fa8d0", "#0b3c66"),
)
DARK = Colours(
    card="#171c22",
    ink="#e5e9ec",
    soft="#a3adb7",
    line="#2b333b",
    grey="#7c8690",
    series=("#4ba3e3", "#ff8442", "#2fc498", "#e58dbe", "#e6b422", "#d8dee4", "#a892f0", "#9bdcf7"),
    better="#123e5c",
    worse="#5a2f14",
    tie="#242b33",
    wrong="#ff8a80",
    ramp=("#1d2a36", "#2a5a80", "#c4e3f8"),
)


def config(dark: bool) -> dict[str, Any]:
    """The `config` of a picture. Specifications name no colour: they take ranges and styles from here."""
    colours = DARK if dark else LIGHT
    text = {"labelColor": colours.soft, "titleColor": colours.ink, "labelFontSize": 12, "titleFontSize": 12}
    return {
        "aria": False,  # the figure around a picture has its name and its sentence
        "background": None,
        "font": FONT,
        "autosize": {"type": "pad"},
        "view": {"stroke": None, "cursor": "default"},
        "range": {
            "category": [*colours.series, colours.grey],
            "ramp": list(colours.ramp),
            "heatmap": list(colours.ramp),
            "symbol": [*SHAPES, "circle"],
        },
        "axis": {
            **text,
            "titleFontWeight": 500,
            "domainColor": colours.grey,
            "tickColor": colours.grey,
            "gridColor": colours.line,
            "labelLimit": 150,
            "labelSeparation": 5,
            "titlePadding": 8,
        },
        "legend": {
            **text,
            "labelColor": colours.ink,
            "titleFontWeight": 500,
            "orient": "top",
            "symbolSize": 80,
            "symbolStrokeWidth": 2,
            "labelLimit": 170,
            "columns": 6,
            "columnPadding": 14,
        },
        "header": {**text, "labelColor": colours.ink, "titleFontWeight": 500, "labelLimit": 170},
        "mark": {"color": colours.ink},
        "text": {"color": colours.ink, "fontSize": 12},
        "rule": {"color": colours.grey},
        "line": {"color": colours.soft},
        "style": {
            "ink": {"color": colours.ink},
            "soft": {"color": colours.soft},
            "card": {"color": colours.card},
            "better": {"color": colours.better},
            "worse": {"color": colours.worse},
            "tie": {"color": colours.tie},
            "wrong": {"color": colours.wrong},
        },
    }


def themes() -> dict[str, Any]:
    """Both configurations, and the colours of the verdicts, for the page's script."""
    return {"light": config(dark=False), "dark": config(dark=True)}
