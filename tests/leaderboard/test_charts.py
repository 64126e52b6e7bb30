"""Pictures as files: valid, the same every time, nothing of the data ever a name, an expression or markup."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import altair as alt
import pytest

from leaderboard import charts
from leaderboard.charts import bundle
from leaderboard.files import Files
from leaderboard.site import Site, site
from suite.reading import read, stores
from suite.record import DeltaRank, Record
from tests.example_records.make import EFFECT, examples_of_others
from tests.leaderboard.planted import RATES, method, site_of
from tests.leaderboard.site_files import value
from tests.suite.curves import trial

ROOT = Path(__file__).parents[2]
EVIL = (
    "<img src=x onerror=alert(1)>",
    "a.b[0]",
    "</text><script>alert(1)</script>",
    "\u202eevil\x00\u2028&amp;",
    "' + datum['x'] + '",
    "=cmd|' /C calc'!A0",
)
ALIKE = ("skills", "memory", "time")  # made by the same code as others that are validated
POINT = {"mark": "point", "encoding": {"x": {"field": "x", "type": "quantitative"}}}


def _hostile() -> Site:
    """A board whose variants have hostile names, with everything that a picture is made of."""
    records: list[Record] = []
    for at, name in enumerate(EVIL):
        cells = method(name, [60 - 9 * at, 50 - 9 * at], rate=RATES[1], trainable=4096 + at)
        ranks = {f"model.{name}.0.q_proj": DeltaRank(numeric=8, stable=2.0, ninety=5, full=64)}
        effect = EFFECT.model_copy(
            update={"ranks": {**ranks, "layers.1.up": ranks[f"model.{name}.0.q_proj"]}}
        )
        records += [one.model_copy(update={"effect": effect}) for one in cells]
        records += _trials(cells[0])
    return site_of(records)


def _trials(one: Record) -> list[Record]:
    """Two more rates of the same search, one of which diverged."""
    found = []
    for rate, loss in ((RATES[0], 0.9), (RATES[2], math.inf)):
        made = trial(one.cell.variant, rate, 0, loss, task=one.cell.task, recipe=one.cell.recipe)
        found.append(made.model_copy(update={"search": one.search}))
    return found


@pytest.fixture(scope="module")
def published() -> Site:
    return site(read(stores(ROOT / "leaderboard" / "published")))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Path]:
    out = tmp_path_factory.mktemp("hostile")
    found = _hostile()
    charts.write(Files(out), found)
    return found, out


def _draw(whole: Site, out: Path) -> None:
    """All pictures, without the bundle, which takes seconds."""
    (out / "static").mkdir(parents=True, exist_ok=True)
    body = b"window.vegaEmbed = null;\n"
    (out / bundle.PATH).write_bytes(bundle.head(body).encode() + body)
    charts.write(Files(out), whole)


def _specs(out: Path) -> dict[str, dict[str, Any]]:
    return {file.stem: json.loads(file.read_text()) for file in sorted((out / "charts").glob("*.json"))}


def _validate(spec: dict[str, Any]) -> None:
    """Against Vega-Lite's schema, as Altair has it; one row stands for all, which are looked at elsewhere."""
    first = {**spec["data"], "values": spec["data"]["values"][:1]}
    alt.Chart.from_dict({**spec, "data": first}, validate=True)


def _nodes(spec: Any) -> Iterator[tuple[str, Any]]:
    """Every (key, value) of a specification but of its data."""
    if isinstance(spec, dict):
        for key, inner in spec.items():
            yield key, inner
            if key != "data":
                yield from _nodes(inner)
    elif isinstance(spec, list):
        for inner in spec:
            yield from _nodes(inner)


def test_every_picture_of_the_published_board_is_drawn_and_valid(published: Site, tmp_path: Path) -> None:
    _draw(published, tmp_path)
    refs = charts.of_board(published.boards[0], published)
    kinds = [ref.kind for ref in refs if ref.drawn]
    assert kinds == [
        "plane",
        "pairs",
        "gains",
        "skills",
        "parameters",
        "memory",
        "time",
        "rates",
        "curves",
        "ranks",
    ]
    specs = _specs(tmp_path)
    assert list(specs) == sorted(ref.name for ref in refs)
    for name, spec in specs.items():
        if name.partition("-")[0] not in ALIKE:
            _validate(spec)
        assert spec["data"]["values"], name
        assert value(tmp_path, f"charts/{name}") == spec
        for suffix in ("csv", "svg"):
            assert (tmp_path / "charts" / f"{name}.{suffix}").stat().st_size < 400_000
    assert max(len(spec["data"]["values"]) for spec in specs.values()) < 5_000


def test_the_schema_can_refuse(tmp_path: Path) -> None:
    wrong = {**POINT, "data": {"name": "rows", "values": []}, "mark": "no such mark"}
    with pytest.raises(Exception, match="no such mark"):
        _validate(wrong)


def test_two_processes_write_the_same_bytes(hostile: tuple[Site, Path], tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from leaderboard import charts; "
        "from leaderboard.files import Files; from tests.leaderboard.test_charts import _hostile; "
        "charts.write(Files(Path(sys.argv[1])), _hostile())"
    )
    seed = str(1 + len(os.environ.get("PYTHONHASHSEED", "")))
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, env=environment, check=True)
    here, there = _digests(hostile[1]), _digests(tmp_path)
    assert "static/vega.js" in here
    assert sum(name.endswith(".svg") for name in here) == 9
    assert here == there


def _digests(out: Path) -> dict[str, str]:
    files = sorted(file for file in out.rglob("*") if file.is_file())
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_names_stay_data(hostile: tuple[Site, Path]) -> None:
    _, out = hostile
    specs = _specs(out)
    assert len(specs) == 9
    allowed = {field for spec in specs.values() for row in spec["data"]["values"] for field in row}
    assert all(field.isidentifier() for field in allowed)
    for spec in specs.values():
        for key, inner in _nodes(spec):
            assert key not in ("expr", "calculate", "signal", "href", "url", "params")
            if key == "field":
                assert inner in allowed
            if key == "filter":
                assert set(inner) == {"field", "oneOf"}
    assert any(
        row["series"] == EVIL[0]
        for spec in specs.values()
        for row in spec["data"]["values"]
        if "series" in row
    )


def test_an_svg_holds_names_as_text_alone(hostile: tuple[Site, Path]) -> None:
    _, out = hostile
    texts = set()
    for file in sorted((out / "charts").glob("*.svg")):
        root = ElementTree.fromstring(file.read_text(encoding="utf-8"))
        for element in root.iter():
            assert element.tag.rpartition("}")[2] in (
                "svg",
                "g",
                "path",
                "text",
                "rect",
                "line",
                "defs",
                "clipPath",
                "linearGradient",
                "stop",
                "tspan",
                "title",
            )
            assert not [name for name in element.attrib if name.lower().startswith("on") or "href" in name]
            texts.add(element.text or "")
    assert EVIL[0] in texts and EVIL[1] in texts
    assert not any(hidden in text for text in texts for hidden in "\u202e\x00\u2028")


def test_the_figure_escapes_its_sentence(hostile: tuple[Site, Path]) -> None:
    from leaderboard.pages import _environment

    whole, _ = hostile
    source = '{% from "chart.html" import chart %}{% for one in refs %}{{ chart(one) }}{% endfor %}'
    text = _environment().from_string(source).render(refs=charts.of_board(whole.boards[0], whole))
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "<img src=x" not in text and "<script" not in text
    assert text.count("<figure") == text.count("data-chart=") == 9


@pytest.mark.parametrize("records", [[], examples_of_others()])
def test_boards_without_numbers_have_no_pictures(records: list[Record], tmp_path: Path) -> None:
    whole = site_of(records)
    _draw(whole, tmp_path)
    assert [
        ref for board in whole.boards for ref in charts.of_board(board, whole) if ref.kind != "curves"
    ] == []


def test_the_number_of_pictures_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [one for track in "abc" for one in method("m", [40, 60], track=track)]
    records = [one.model_copy(update={"cell": (cell := one.cell), "id": cell.id}) for one in records]
    monkeypatch.setattr(charts, "BOARDS", 2)
    whole = site_of(records)
    assert [bool(charts.of_board(board, whole)) for board in whole.boards] == [True, True, False][
        : len(whole.boards)
    ]
