"""One picture -> its files: specification, data, SVG, and the script that makes it interactive.

Rows are flat dictionaries whose keys are names of ours and whose values may be anybody's text: Vega shows
values as text, but reads a field's name as a path and an expression as code, so neither is ever made of data.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.charts import svg, theme
from leaderboard.files import Files
from leaderboard.text import HIDDEN, csv_line

Row = dict[str, Any]
_FIELD = re.compile(r"[a-z][a-z0-9_]*")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DIGITS = 6  # significant, of every number that is drawn
_LONGEST = 80  # characters of a text in a picture
_SHOWN = dict.fromkeys([*HIDDEN, *map(ord, "\n\t")], "\N{REPLACEMENT CHARACTER}")


@dataclass(frozen=True)
class ChartRef:
    """A picture of the site: the name of its files, its kind, and the sentence that says what it shows.

    `drawn` is False where there is nothing to draw: the sentence then says why, and there are no files.
    """

    name: str
    title: str
    sentence: str
    kind: str = ""
    drawn: bool = True


@dataclass(frozen=True)
class Picture:
    """A picture before it has files. `chart` is a Vega-Lite specification without data, None if not drawn."""

    kind: str
    title: str
    sentence: str
    chart: Mapping[str, Any] | None = None
    rows: Sequence[Row] = ()

    def ref(self, name: str) -> ChartRef:
        """What a page needs to show it."""
        return ChartRef(name, self.title, self.sentence, self.kind, self.chart is not None)


def put(
    files: Files,
    name: str,
    chart: Mapping[str, Any],
    rows: Sequence[Row],
    title: str,
    sentence: str,
    kind: str = "",
) -> ChartRef:
    """Write charts/<name>.json, .csv and .svg and data/charts/<name>.js; the picture is drawn from `rows`.

    `name` is lower-case letters and digits joined by '-'. `chart` is Vega-Lite as a dictionary (Altair's
    `to_dict(validate=False)`) without data: a layer of it takes its part of the rows by a filter on a field.
    Numbers are kept to six digits, NaN and infinity become null, texts lose control characters and what is
    beyond 80 characters.
    """
    assert _NAME.fullmatch(name), f"{name!r} is no name of a picture"
    kept = [{_field(key): _value(value) for key, value in row.items()} for row in rows]
    spec = {
        "$schema": theme.SCHEMA,
        "description": _text(sentence, 1000),
        **_fitting(chart, kept),
        "data": {"name": "rows", "values": kept},
    }
    files.text(f"charts/{name}.json", as_json(spec))
    files.text(f"charts/{name}.csv", as_csv(kept))
    svg.write(files, f"charts/{name}.svg", spec)
    files.data(f"charts/{name}", spec)
    return ChartRef(name, title, sentence, kind)


def as_json(spec: Mapping[str, Any]) -> str:
    """The specification as text that people can read too: a line a row."""
    rows = spec["data"]["values"]
    empty = {**spec, "data": {**spec["data"], "values": []}}
    before, at, after = json.dumps(empty, indent=1, allow_nan=False).rpartition("[]")
    lines = ",\n".join(f"   {json.dumps(row, allow_nan=False)}" for row in rows)
    return f"{before}[\n{lines}\n  ]{after}\n" if rows else f"{before}{at}{after}\n"


def as_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV, all fields of them; a text that a spreadsheet would take for a formula gets a '."""
    fields = list(dict.fromkeys(key for row in rows for key in row))
    lines = [fields, *([row.get(field) for field in fields] for row in rows)]
    return "".join(f"{csv_line(line)}\n" for line in lines)


def clean(text: str) -> str:
    """A text as a picture shows it: one line, without control characters, 80 characters at most."""
    return _text(text, _LONGEST)


def _fitting(chart: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """The specification alone, without layers that no row belongs to.

    Altair names data in every layer, and all of ours draw from the same rows. A layer without rows makes
    Vega warn of a scale without end.
    """
    kept = {
        key: value for key, value in chart.items() if key not in ("$schema", "config", "datasets", "data")
    }
    if "layer" in kept:
        kept["layer"] = [_fitting(layer, rows) for layer in kept["layer"] if _has_rows(layer, rows)]
    if "spec" in kept:
        kept["spec"] = _fitting(kept["spec"], rows)
    return kept


def _has_rows(layer: Mapping[str, Any], rows: Sequence[Row]) -> bool:
    filters = [one["filter"] for one in layer.get("transform", ()) if isinstance(one.get("filter"), dict)]
    wanted = [(one["field"], one["oneOf"]) for one in filters if "oneOf" in one]
    return any(all(row.get(field) in values for field, values in wanted) for row in rows)


def _field(key: str) -> str:
    assert _FIELD.fullmatch(key), f"{key!r} is no name of a field: it could be read as a path"
    return key


def _value(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        number = float(value)
        if not math.isfinite(number):
            return None
        return value if isinstance(value, int) and abs(value) < 2**53 else float(f"{number:.{_DIGITS}g}")
    return clean(str(value))


def _text(text: str, longest: int) -> str:
    plain = text.translate(_SHOWN)
    return plain if len(plain) <= longest else plain[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
