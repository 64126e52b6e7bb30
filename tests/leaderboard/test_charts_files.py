"""The helper that writes a picture of anybody: its files, what it refuses, and what is drawn again."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from leaderboard import charts
from leaderboard.charts import bundle, drawing, svg, theme
from leaderboard.files import Files

POINT = {"mark": "point", "encoding": {"x": {"field": "x", "type": "quantitative"}}}


def test_a_picture_of_ones_own(tmp_path: Path) -> None:
    rows = [{"x": 1.23456789, "name": "=1+1", "loss": math.nan}, {"x": 2, "name": "b" * 200}]
    ref = charts.put(Files(tmp_path), "own-picture", POINT, rows, "Title", "It shows this.", kind="own")
    assert ref == charts.ChartRef("own-picture", "Title", "It shows this.", "own", True)
    spec = json.loads((tmp_path / "charts/own-picture.json").read_text())
    assert spec["data"]["values"] == [
        {"x": 1.23457, "name": "=1+1", "loss": None},
        {"x": 2, "name": "b" * 79 + "\N{HORIZONTAL ELLIPSIS}"},
    ]
    table = list(csv.reader(io.StringIO((tmp_path / "charts/own-picture.csv").read_text())))
    assert table[0] == ["x", "name", "loss"] and table[1] == ["1.23457", "'=1+1", ""]
    assert spec["description"] == "It shows this."


@pytest.mark.parametrize("name", ["../x", "a/b", "A", "a.b", "", "a--b"])
def test_a_name_that_is_no_file_of_ours_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no name of a picture"):
        charts.put(Files(tmp_path), name, POINT, [{"x": 1}], "t", "s")


@pytest.mark.parametrize("field", ["a.b", "a[0]", "datum['x']", "X", ""])
def test_a_field_that_could_be_a_path_is_refused(field: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no name of a field"):
        charts.put(Files(tmp_path), "own", POINT, [{field: 1}], "t", "s")


def test_a_layer_that_no_row_belongs_to_is_left_out(tmp_path: Path) -> None:
    layer = {
        "layer": [{**POINT, "transform": [{"filter": {"field": "kind", "oneOf": [kind]}}]} for kind in "ab"]
    }
    charts.put(Files(tmp_path), "own", layer, [{"x": 1, "kind": "b"}], "t", "s")
    (kept,) = json.loads((tmp_path / "charts/own.json").read_text())["layer"]
    assert kept["transform"][0]["filter"]["oneOf"] == ["b"]


def test_an_svg_is_drawn_again_when_anything_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    whole = svg.draw

    def counted(spec: dict[str, Any]) -> str:
        drawn.append("once")
        return whole(spec)

    monkeypatch.setattr(svg, "draw", counted)

    def put(x: float) -> bytes:
        charts.put(Files(tmp_path), "own", POINT, [{"x": x}], "t", "s")
        return (tmp_path / "charts/own.svg").read_bytes()

    first = put(1)
    assert put(1) == first and len(drawn) == 1
    second = put(2)
    assert len(drawn) == 2
    (tmp_path / "charts/own.svg").write_bytes(second.replace(b"<svg", b"<svg onload='x'", 1))
    assert put(2) == second and len(drawn) == 3
    monkeypatch.setattr(theme, "LIGHT", theme.DARK)
    assert put(2) != second and len(drawn) == 4


def test_an_svg_does_not_depend_on_what_was_drawn_before(tmp_path: Path) -> None:
    colour = {"field": "x", "type": "quantitative", "legend": {"type": "gradient"}}
    chart = {**POINT, "encoding": {**POINT["encoding"], "color": colour}}
    spec = svg.dressed({**chart, "data": {"values": [{"x": 1}, {"x": 2}]}})
    first = svg.draw(spec)
    assert "url(#gradient_0)" in first
    assert svg.draw(spec) == first


def test_only_ids_are_numbered_again() -> None:
    text = '<text>id="clip7" url(#gradient_9)</text>'
    drawn = f'<g id="clip7" clip-path="url(#clip7)">{text}<b id="gradient_9"/></g>'
    assert svg.numbered(drawn) == f'<g id="clip0" clip-path="url(#clip0)">{text}<b id="gradient_1"/></g>'


def test_a_bundle_that_is_not_ours_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vl_convert

    made: list[str] = []
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda *a, **k: made.append("once") or "var a = 1;")
    monkeypatch.setattr(bundle, "_script", bundle._script.__wrapped__)
    bundle.write(Files(tmp_path))
    bundle.write(Files(tmp_path))
    assert len(made) == 1
    file = tmp_path / bundle.PATH
    file.write_bytes(file.read_bytes() + b"evil()")
    bundle.write(Files(tmp_path))
    assert len(made) == 2 and b"evil" not in file.read_bytes()


def test_colours_can_be_told_from_the_page_in_both_themes() -> None:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(one: str, other: str) -> float:
        high, low = sorted((light(one), light(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for colours in (theme.LIGHT, theme.DARK):
        for colour in (*colours.series, colours.wrong):
            assert contrast(colour, colours.card) >= 3, colour  # WCAG 1.4.11, graphics
        for colour in (colours.ink, colours.soft):
            assert contrast(colour, colours.card) >= 4.5, colour  # 1.4.3, text
        for fill in (colours.better, colours.worse, colours.tie):
            assert contrast(colours.ink, fill) >= 4.5, fill
        assert len(set(colours.series)) == len(theme.SHAPES) == len(set(theme.SHAPES))


def test_what_a_picture_cannot_show_is_cut() -> None:
    assert drawing.clean("a\nb\x1b\u200f") == "a\ufffdb\ufffd\ufffd"
    assert drawing.clean("plain name") == "plain name"
