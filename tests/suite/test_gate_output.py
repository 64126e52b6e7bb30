"""The gate's answers as text: verdict first, exit codes, and nothing of a name is taken as markup."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console
from typer.testing import CliRunner

from suite.cli import app
from suite.gate import Report, Row, judge
from suite.gate import markdown as gate_markdown
from suite.gate.junit import junit
from suite.gate.markdown import markdown
from suite.gate.table import table
from suite.store import Store
from tests.example_records.make import PISSA
from tests.suite.gate_records import Shift, store

HOSTILE = "a|b`c</code><script>@user #1 [x](http://y) **z** \x1b[31m\x00\n## head ]]> \"q\" 'é' www.z \u202e"


def _printed(report: Report) -> str:
    console = Console(width=100, file=io.StringIO(), force_terminal=True)
    console.print(table(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _hostile() -> Report:
    row = Row(HOSTILE, HOSTILE, HOSTILE, "fail", HOSTILE, effect=1.0, moved=True)
    skipped = Row("b", "c", "d", "inconclusive", HOSTILE, effect=float("inf"), interval=(0.0, float("inf")))
    return Report((row, skipped, Row("b", "c", "e", "not judged", HOSTILE)), (HOSTILE,))


def test_markdown_takes_nothing_of_a_name_as_markup() -> None:
    text = markdown(_hostile())
    for bad in (
        "<script",
        "[x](",
        "**z",
        "`",
        "\x1b",
        "\x00",
        "\n## head",
        "@user",
        "http:",
        "\u202e",
        "]]>",
    ):
        assert bad not in text
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    assert lines and all(line.count("|") == 9 for line in lines)
    assert "@" not in text and "&#35;\u200b1" in text and "&#64;\u200buser" in text


def test_xml_is_valid_whatever_the_names_are() -> None:
    root = ElementTree.fromstring(junit(_hostile()))
    cases = root.findall(".//testcase")
    assert [len(case) for case in cases] == [1, 1, 1]
    assert [case[0].tag for case in cases] == ["failure", "skipped", "skipped"]
    assert root.attrib["failures"] == "1" and root.attrib["skipped"] == "2" and root.attrib["tests"] == "3"
    assert "<script>" in cases[0].attrib["name"] and "\x1b" not in cases[0].attrib["name"]


def test_a_terminal_takes_nothing_as_markup_either() -> None:
    text = _printed(_hostile())
    assert "\x1b[31m" not in text.replace("\x1b[1;31m", "") and "\x00" not in text and "\u202e" not in text
    assert "[x]" in text


def test_json_has_no_number_that_is_none() -> None:
    content = json.loads(json.dumps(_hostile().content(), allow_nan=False))
    assert content["verdict"] == "fail" and content["rows"][1]["interval"] == [0.0, None]
    real = judge(store([0]), store([1])).content()
    assert json.loads(json.dumps(real, allow_nan=False))["verdict"] == "inconclusive"


def test_a_comment_begins_with_the_verdict_and_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    report = judge(store(range(3)), store(range(3), lambda variant, task: {"gain": -30.0}))
    text = markdown(report)
    assert text.splitlines()[:2] == ["<!-- lora-suite gate -->", "### Fine-tuning gate: **fail**"]
    table, details = text.split("<details>", 1)
    assert table.count("**fail**") == 1 + 9 and "30 points lower" in table
    assert details.count("\n| ") == len(report.rows) + 1  # the head of the table
    monkeypatch.setattr(gate_markdown, "MOST_CHARACTERS", 6000)
    short = markdown(report)
    assert len(short) <= 6000 and "no room for" in short


def test_what_passes_is_not_listed() -> None:
    text = _printed(judge(store(range(3)), store(range(3))))
    assert "gate: " in text and "pass" in text and "held-out" not in text


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Stores 'same', 'worse' and 'better', and a baseline file."""
    shifts: dict[str, Shift] = {
        "same": lambda variant, task: {},
        "worse": lambda variant, task: {"loss": 0.3} if variant == PISSA.name else {},
        "better": lambda variant, task: {"gain": 30.0},
    }
    for name, shift in shifts.items():
        for record in store(range(2), shift):
            Store(tmp_path / name).write(record)
    done = CliRunner().invoke(app, ["baseline", "--store", f"{tmp_path}/same", "--to", f"{tmp_path}/b.json"])
    assert done.exit_code == 0 and "12 cells" in done.stdout
    return tmp_path


@pytest.mark.parametrize(
    ("candidate", "more", "code"),
    [
        ("same", (), 0),
        ("worse", (), 1),
        ("better", (), 3),
        ("better", ("--allow-improvement",), 0),
        ("nothing", (), 2),
        ("b.json", (), 0),
    ],
)
def test_the_exit_code_is_the_verdict(places: Path, candidate: str, more: tuple[str, ...], code: int) -> None:
    done = CliRunner().invoke(app, ["gate", f"{places}/b.json", f"{places}/{candidate}", *more])
    assert done.exit_code == code
    if code == 2:
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    else:
        assert "gate: " in done.stdout


def test_a_damaged_baseline_is_no_failed_gate(places: Path) -> None:
    text = (places / "b.json").read_text().replace('"learning_rate":0.005', '"learning_rate":NaN')
    (places / "damaged.json").write_text(text)
    for words in (("damaged.json", "same"), ("same", "damaged.json")):
        done = CliRunner().invoke(app, ["gate", *(f"{places}/{word}" for word in words)])
        assert done.exit_code == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_every_form_is_written(places: Path) -> None:
    out = {name: f"{places}/out.{name}" for name in ("json", "markdown", "junit")}
    flags = [part for name, file in out.items() for part in (f"--{name}", file)]
    done = CliRunner().invoke(app, ["gate", f"{places}/b.json", f"{places}/worse", *flags])
    assert done.exit_code == 1
    assert json.loads(Path(out["json"]).read_text())["verdict"] == "fail"
    assert "**fail**" in Path(out["markdown"]).read_text()
    assert ElementTree.parse(out["junit"]).getroot().attrib["failures"] == "3"
    alone = CliRunner().invoke(app, ["gate", f"{places}/b.json", f"{places}/worse", "--json", "-"])
    assert json.loads(alone.stdout)["counts"]["fail"] == 3


def test_settings_are_read(places: Path) -> None:
    file = places / "gate.yaml"
    file.write_text("metrics: {held-out loss: {floor: 0.5, limit: 0.6}}")
    words = ["gate", f"{places}/b.json", f"{places}/worse", "--settings", f"{file}"]
    assert CliRunner().invoke(app, words).exit_code == 0
    file.write_text("alpha: 7")
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2 and "alpha" in done.stderr
