"""Lists of items that are read by their outcomes alone: the schema finds the same, whatever the text is."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from suite import sound, statistics
from suite.comparable import board_key, recipe_key
from suite.marked import LONGEST_NAME, Marked, Table, fit
from suite.parsing import _DRAWN, TABLES, Parser
from suite.record import HeldOut, Item, Record, Score
from suite.slim import Pool, packed, slim, unpacked
from suite.store import StoreError, load
from tests.example_records.make import LORA, cell, record, scores

OUTCOMES = [1.0, 0.0, 0.0, 1.0, 1.0]


def _general(outcomes: list[float | None], ids: list[str] | None = None, said: str | None = None) -> Score:
    ids = ids or [str(at) for at in range(len(outcomes))]
    items = [Item(id=i, correct=o, response=said) for i, o in zip(ids, outcomes, strict=True)]
    known = [one for one in outcomes if one is not None]
    value = sum(known) / len(known)
    return Score(evaluation="skill", metric="acc", value=value, n=len(items), metrics={}, items=items)


def _record(score: Score) -> Record:
    sides = {}
    for name, right in (("before", (0, 1, 1)), ("after", (2, 3, 3))):
        made = scores("sums_test", right[0], right, 1.5, 2.0)
        sides[name] = made.model_copy(update={"general": {"skill": score}})
    return record(cell(LORA, "sums", 0), **sides)


REAL = _record(_general([*OUTCOMES]))
TEXT = REAL.model_dump_json()
LIST = '"items":' + json.dumps(
    [{"id": str(at), "correct": one, "response": None} for at, one in enumerate(OUTCOMES)],
    separators=(",", ":"),
)
ITEM = '{"id":"1","correct":0.0,"response":null}'


def _after(text: str, old: str, new: str) -> str:
    """The text with a change after the scores before training."""
    begin, end = text.split('"after":', 1)
    assert old in end
    return f'{begin}"after":{end.replace(old, new, 1)}'


def _same(text: str, parser: Parser) -> None:
    try:
        expected = Record.model_validate_json(text)
    except ValidationError:
        with pytest.raises(ValidationError):
            parser.record(text)
        return
    found = parser.record(text)
    assert repr(found) == repr(expected) and found == expected
    assert found.model_dump_json() == expected.model_dump_json()


@pytest.mark.parametrize(
    "new",
    [
        ITEM.replace("0.0", "1.0"),
        ITEM.replace("0.0", "0.05"),
        ITEM.replace("0.0", "1.05"),
        ITEM.replace("0.0", "1.0e1"),
        ITEM.replace("0.0", "0.0e1"),
        ITEM.replace("0.0", "null"),
        ITEM.replace("0.0", "-0.0"),
        ITEM.replace("0.0", "true"),
        ITEM.replace("0.0", '"0.0"'),
        ITEM.replace("0.0", '0.0,"correct":1.0'),
        ITEM.replace("0.0", '1.0,"correct":null'),
        ITEM.replace('"correct":0.0,', ""),
        ITEM.replace('"1"', "1"),
        ITEM.replace('"1"', '"0"'),
        ITEM.replace('"1"', '"\\"correct\\":1.0"'),
        ITEM.replace('"1"', '"},{"'),
        ITEM.replace('"1"', '"}],\\"prompts\\":"'),
        ITEM.replace('"1"', '"\u00e9"'),
        ITEM.replace("null", '"},{"'),
        ITEM.replace(',"response":null', ""),
        ITEM.replace("{", '{"x":1,'),
        f"{ITEM},{ITEM.replace('1', '9', 1)}",
        ITEM + "}],",
        "",
    ],
)
def test_a_changed_item_is_what_the_schema_reads(new: str) -> None:
    parser = Parser()
    _same(TEXT, parser)
    for _ in range(2):
        _same(_after(TEXT, ITEM, new), parser)
    _same(TEXT, parser)


@pytest.mark.parametrize(
    "text",
    [
        _after(TEXT, LIST, f"{LIST},{LIST}"),
        _after(TEXT, LIST, f'{LIST},"prompts":"a",{LIST}'),
        _after(TEXT, LIST, f'"items":[],"prompts":null,{LIST}'),
        _after(TEXT, LIST, f'{LIST},"prompts":null,"items":[]'),
        TEXT[:-1] + f',"data":{{"a":1,{LIST},"prompts":null}}}}',
        _after(TEXT, '"adapted_modules":[', f'"notes":["a",{LIST},"prompts":'),
        TEXT[:-1] + f',"source":{{"fields":{{"a":1,{LIST},"prompts":null}}}}}}',
        _after(TEXT, LIST, '"items":[{"id":"' + _DRAWN[:8] + '0","correct":null}]'),
        TEXT[:-1] + f',"after":{{"target":{{}},{LIST},"prompts":null}}}}',
        TEXT[:-1] + ',"after":null}',
    ],
)
def test_a_list_elsewhere_is_what_the_schema_reads(text: str) -> None:
    _same(text, Parser())


def test_a_list_among_settings_behind_the_scores_stays_there() -> None:
    content = json.loads(TEXT)
    content["cell"]["variant"]["settings"] = {"a": 1, **json.loads(f"{{{LIST}}}"), "prompts": None}
    text = json.dumps({**{k: v for k, v in content.items() if k != "cell"}, "cell": content["cell"]})
    _same(text.replace(", ", ",").replace(": ", ":"), Parser())


def test_lists_without_responses_are_told_by_their_outcomes() -> None:
    parser = Parser()
    other = _record(_general([1.0 - one for one in OUTCOMES]))
    for one in (REAL, other, REAL):
        found = parser.record(one.model_dump_json())
        assert found == one and found.after is not None and one.after is not None
        items = found.after.general["skill"].items
        assert isinstance(items, Marked) and items.ids == ("0", "1", "2", "3", "4")
        assert items.outcomes == b"".join(
            b"1" if i.correct else b"0" for i in one.after.general["skill"].items
        )
        assert sound.fault(found) is None
    assert len(parser._tables) == 1


@pytest.mark.parametrize("ids", [["a", "a", "b"], ["a", "b", "x" * (LONGEST_NAME + 1)]])
def test_names_that_are_no_good_are_found(ids: list[str]) -> None:
    assert not fit(ids)
    one = _record(_general([1.0, 0.0, 1.0], ids))
    found = Parser().record(one.model_dump_json())
    assert found == one and found.after and not isinstance(found.after.general["skill"].items, Marked)
    told = sound.fault(found)
    assert told and "general.skill" in told


def test_lists_are_forgotten_in_the_end() -> None:
    parser = Parser()
    for at in range(TABLES + 50):
        parser.record(_record(_general([1.0, 0.0], [f"a{at}", f"b{at}"])).model_dump_json())
    assert len(parser._tables) == TABLES


def test_scores_with_a_fault_are_looked_at_again(tmp_path: Path) -> None:
    bad = scores("sums_test", 0, (0, 1, 1), 1.5, 2.0).model_copy(
        update={"general": {"skill": _general([1.0, 1.0], ["a", "a"])}}
    )
    parser = Parser()
    for seed in (0, 1, 0):
        one = record(cell(LORA, "sums", seed), before=bad, after=REAL.after)
        file = tmp_path / f"{one.id}.json"
        file.write_text(one.model_dump_json())
        with pytest.raises(StoreError, match="names an item twice"):
            load(file, parser)


def test_scores_without_a_fault_are_looked_at_once(tmp_path: Path) -> None:
    file, parser = tmp_path / f"{REAL.id}.json", Parser()
    file.write_text(TEXT)
    before = load(file, parser).before
    assert before is not None and load(file, parser).before is before is parser.looked_at(before)
    assert parser.looked_at(REAL.before) is None


def test_what_is_packed_keeps_its_outcomes_and_statistics() -> None:
    pool = Pool()
    kept = slim(REAL, Pool())[0]
    again = unpacked(packed([kept, kept]), pool)[0]
    assert repr(again) == repr(kept) and again.after is not None
    items = again.after.general["skill"].items
    assert isinstance(items, Marked) and items.outcomes == b"10011"
    assert repr(statistics.forgetting([again])) == repr(statistics.forgetting([REAL]))
    shares = _record(_general([0.5, None, 1.0]))
    plain = unpacked(packed(slim(shares, Pool())[0]), pool)
    assert plain.after is not None and type(plain.after.general["skill"].items) is list
    assert plain.after.general == shares.after.general if shares.after else False


def test_a_process_that_reads_forgets_lists() -> None:
    pool = Pool()
    for at in range(40):
        slim(_record(_general([float(at >> bit & 1) for bit in range(6)])), pool)
    assert len(pool._marked) > 30
    pool.forget()
    assert not pool._marked and not pool._lists
    assert slim(REAL, pool)[0].after == slim(REAL, Pool())[0].after


def test_a_table_gives_what_it_is_asked_for() -> None:
    table = Table([Item(id="a", correct=0.0), Item(id="b", correct=0.0)], [
        Item(id="a", correct=1.0), Item(id="b", correct=1.0)])  # fmt: skip
    assert [one.correct for one in table.items(b"10")] == [1.0, 0.0]
    assert table.items(b"01").ids == ("a", "b")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (gzip.compress(TEXT[:100].encode()) + gzip.compress(TEXT[100:].encode()), None),
        (gzip.compress(TEXT.encode()) + b"\0\0", None),
        (gzip.compress(TEXT.encode()) + b"xx", "gzip"),
        (gzip.compress(TEXT.encode())[:-1], "ended"),
        (gzip.compress(TEXT.encode())[:-8] + b"\0\0\0\0" + gzip.compress(TEXT.encode())[-4:], "CRC"),
        (b"", "null|JSON|EOF"),
    ],
)
def test_packed_files_of_all_kinds(tmp_path: Path, content: bytes, found: str | None) -> None:
    file = tmp_path / f"{REAL.id}.json.gz"
    file.write_bytes(content)
    if found is None:
        assert load(file) == REAL
    else:
        with pytest.raises(StoreError, match=found):
            load(file)


@pytest.mark.parametrize("nats", [[-1e300, 1.0], [1.0, 1e300], [math.nan, -1e300], [1.0, math.nan, 1e300]])
def test_a_loss_too_large_is_found_wherever_it_stands(nats: list[float]) -> None:
    assert REAL.after is not None
    held = {"test": HeldOut(accuracy=0.5, nats=nats, tokens=[1] * len(nats))}
    one = REAL.model_copy(update={"after": REAL.after.model_copy(update={"held_out": held})})
    assert "1e+300; expected a number" in (sound.fault(one) or "")


def test_a_pool_tells_items_of_equal_outcomes_apart() -> None:
    pool = Pool()
    found = [pool.items(_general([1.0, 0.0], ids).items) for ids in (["a", "b"], ["c", "d"], ["a", "b"])]
    assert [one.id for one in found[1]] == ["c", "d"] and found[0] is found[2]


def test_remembered_keys_are_of_what_cells_say() -> None:
    one = cell(LORA, "sums", 0)
    assert one.recipe is not None
    other = one.model_copy(update={"evaluation": one.evaluation.model_copy(update={"limit": 7})})
    longer = one.model_copy(update={"recipe": one.recipe.model_copy(update={"steps": 9_999})})
    seeded = one.model_copy(update={"data_seed": 3})
    assert len({board_key(each) for each in (one, other, seeded)}) == 3
    assert board_key(longer) == board_key(one) and recipe_key(longer) != recipe_key(one)
