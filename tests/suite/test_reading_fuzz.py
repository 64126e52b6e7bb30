"""Mutations of a real record: read as the schema alone reads it, or rejected in one line; nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from suite.parsing import _MARK, Parser
from suite.reading import read
from suite.record import CurvePoint, HeldOut, Record, Scores
from suite.slim import Pool, packed, slim, unpacked
from suite.store import StoreError, load
from tests.example_records.make import EFFECT, LORA, cell, record, scores

HELD = {"test": HeldOut(accuracy=0.5, nats=[1.0, 2.5], tokens=[3, 4])}
REAL = record(
    cell(LORA, "sums", 0),
    before=scores("sums_test", 1, (3, 3, 2), 1.5, 2.0).model_copy(update={"held_out": HELD}),
    effect=EFFECT,
    curve=[CurvePoint(phase=1, step=i, loss=2.5 - i, learning_rate=0.005) for i in range(3)],
    notes=["a note", '{"before": {}}, "after": null'],
)
TEXTS = (REAL.model_dump_json(), REAL.model_dump_json(indent=1))
PARSER = Parser()  # one for all, as in a process that reads: what it remembers must not matter
QUICK = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
STRANGE = st.sampled_from(
    [
        *(None, True, 0, -1, 1, 10**400, 2**63, 0.5, -0.0, 1e308, float("nan"), float("inf")),
        *("", "NaN", "0", "1.5", " ", "<script>", "\x00", "\u202e", "x" * 10**5, "../.."),
        *([], {}, [None], {"before": {}}, [[[[]]]]),
    ]
)


def _schema(text: str) -> Record | None:
    try:
        return Record.model_validate_json(text)
    except ValidationError:
        return None


def _same(text: str) -> None:
    """The parser finds what the schema finds, whatever else it remembers."""
    expected = _schema(text)
    try:
        found = PARSER.record(text)
    except ValidationError:
        assert expected is None
        return
    assert expected is not None
    assert repr(found) == repr(expected) and found.model_fields_set == expected.model_fields_set


def _read(folder: Path, content: bytes) -> None:
    """The store can be read: the file is kept as the schema reads it, or has one printable line of reason."""
    file = folder / "records" / f"{REAL.id}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    found = read([folder])
    assert len(found.kept) + len(found.rejected) == 1
    for one in found.rejected:
        assert (
            one.file == f"records/{REAL.id}.json" and one.reason.isprintable() and 0 < len(one.reason) <= 500
        )
    for kept in found.kept:
        expected = _schema(content.decode())
        assert expected is not None and kept.record.id == expected.cell.id
        again = unpacked(packed(slim(expected, Pool())[0]), Pool())
        assert repr(kept.record) == repr(again)


@QUICK
@given(st.sampled_from(TEXTS), st.data())
def test_bytes_that_changed(tmp_path: Path, text: str, data: st.DataObject) -> None:
    content = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        cut = data.draw(st.sampled_from([0, 1, 2, 200]))
        content[at : at + cut] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"}", b',"before":{}'])
        )
    _read(tmp_path, bytes(content))
    try:
        _same(content.decode())
    except UnicodeDecodeError:
        return


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place] * bool(place) + [one for name, each in inner for one in _places(each, (*place, name))]


PLACES = _places(json.loads(TEXTS[0]))


@QUICK
@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), st.sampled_from(["set", "drop", "add", "twice"]), STRANGE),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_values_that_changed(
    tmp_path: Path, changes: list[tuple[tuple[Any, ...], str, Any]], indent: int | None, sort: bool
) -> None:
    content = json.loads(TEXTS[0])
    for place, how, value in changes:
        _change(content, place, how, value)
    text = json.dumps(content, indent=indent, sort_keys=sort)
    _same(text)
    _read(tmp_path, text.encode())


def _change(content: Any, place: tuple[Any, ...], how: str, value: Any) -> None:
    """One change of a JSON value, where an earlier one left the place there."""
    *outer, last = place
    try:
        for name in outer:
            content = content[name]
        if how == "set":
            content[last] = value
        elif how == "drop":
            del content[last]
        elif how == "add" and isinstance(content[last], dict):
            content[last][str(value)] = value
        elif isinstance(content[last], list):
            content[last] += content[last][:1]
    except (KeyError, IndexError, TypeError):
        return


SCORES = REAL.model_dump_json(include={"before"})[len('{"before":') : -1]


@pytest.mark.parametrize(
    "text",
    [
        TEXTS[0].replace('"after":', '"before":null,"after":', 1),
        TEXTS[0].replace('"after":', '"befor\\u0065":null,"after":', 1),
        TEXTS[0][:-1] + ',"before":null}',
        TEXTS[0][:-1] + f',"before":{SCORES}}}',
        TEXTS[0][:-1] + ',"befor\\u0065":null}',
        TEXTS[0].replace('"settings":{', f'"settings":{{"a":1,"before":{SCORES},"after":1,', 1),
        TEXTS[0].replace('"settings":{', '"settings":{"a":1,"before":{},"after":1,', 1),
        TEXTS[0]
        .replace(f'"before":{SCORES}', f'"before":{_MARK}')
        .replace('"settings":{', f'"settings":{{"a":1,"before":{SCORES},"after":1,', 1),
        TEXTS[0].replace(f'"before":{SCORES}', '"before":null'),
        TEXTS[0].replace(f'"before":{SCORES}', f'"before" : {SCORES} '),
        TEXTS[0].replace(f'"before":{SCORES},', ""),
        TEXTS[0].replace('"before":{', '"before":{"x":1},"y":{'),
        TEXTS[0].replace('"start_loss":', '"error":"}","start_loss":'),
        "[" + TEXTS[0] + "]",
        TEXTS[0] + TEXTS[0],
    ],
)
def test_texts_that_are_made_to_confuse(text: str) -> None:
    _same(TEXTS[0])  # the scores are remembered now
    _same(text)


def test_the_shorter_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    whole = Record.model_validate_json
    monkeypatch.setattr(
        Record, "model_validate_json", lambda text: (lengths.append(len(text)), whole(text))[1]
    )
    for text in TEXTS * 2:
        PARSER.record(text)
    assert all(short < len(text) - 500 for short, text in zip(lengths, TEXTS * 2, strict=True))


def test_scores_are_forgotten_in_the_end() -> None:
    parser = Parser()
    for at in range(200):
        one = REAL.model_copy(update={"before": scores("sums_test", 1, (3, 3, 2), float(at), 2.0)})
        assert parser.record(one.model_dump_json()) == one
    assert len(parser._known) == 64


@example(b"\x1f\x8b")
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=64))
def test_packed_bytes(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "abc.json.gz"
        file.write_bytes(content)
        with pytest.raises(StoreError) as error:
            load(file)
        assert str(error.value).isprintable()


def test_scores_alone_are_what_the_schema_reads() -> None:
    assert Scores.model_validate_json(SCORES) == REAL.before
