"""Training sets on tiny files in the hub's columns: their text, malformed rows, digests, and notes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks import forms, math, portions, registry
from tasks.interface import Budget, Example, Places, TaskError
from tests.needs import real_data
from tests.tasks.rows import SETS, write

ASKED = "Below is an instruction that describes a task"
PLAIN = f"{ASKED}. Write a response that appropriately completes the request.\n\n### Instruction:\n"
GIVEN = (
    f"{ASKED}, paired with an input that provides further context. Write a response that appropriately "
    "completes the request.\n\n### Instruction:\n"
)
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi {x}"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "2 + 2?"},
    {"role": "assistant", "content": "4"},
]
CASES: dict[str, list[tuple[dict[str, Any], Example]]] = {
    "gsm8k": [({"question": "1 + 1?", "answer": "#### 2"}, Example("Question: 1 + 1?\nAnswer:", " #### 2"))],
    "metamathqa": [
        (
            {
                "query": "A {b}?",
                "response": "#### 2\nThe answer is: 2",
                "type": "GSM_SV",
                "original_question": "B",
            },
            Example("Question: A {b}?\nAnswer:", " #### 2\nThe answer is: 2"),
        )
    ],
    "openwebmath": [({"text": "x\r\ny", "url": None}, Example("", "x\r\ny"))],
    "codealpaca": [
        (
            {"instruction": "Sort.", "input": "[2, {1}]", "output": "sorted(x)"},
            Example(
                f"{GIVEN}Sort.\n\n### Input:\n[2, {{1}}]\n\n### Response:",
                "\nsorted(x)",
                (("user", "Sort.\n\n[2, {1}]"),),
            ),
        )
    ],
    "magicoder": [
        (
            {"instruction": "Print é.", "response": "print('é')"},
            Example(f"{PLAIN}Print é.\n\n### Response:", "\nprint('é')", (("user", "Print é."),)),
        )
    ],
    "starcoder": [({"content": "x = 1\n", "id": 3}, Example("", "x = 1\n"))],
    "alpaca": [
        (
            {"instruction": "Name a colour.", "input": None, "output": "Red."},
            Example(f"{PLAIN}Name a colour.\n\n### Response:", "\nRed.", (("user", "Name a colour."),)),
        ),
        (
            {"instruction": "Name a colour.", "output": "Red."},
            Example(f"{PLAIN}Name a colour.\n\n### Response:", "\nRed.", (("user", "Name a colour."),)),
        ),
    ],
    "tulu3": [
        (
            {"messages": [*TALK, {"role": "user", "content": "Bye"}], "id": "a"},
            Example(
                "<|system|>\nBe brief.\n<|user|>\nHi {x}\n<|assistant|>\nHello.\n"
                "<|user|>\n2 + 2?\n<|assistant|>",
                "\n4",
                (("system", "Be brief."), ("user", "Hi {x}"), ("assistant", "Hello."), ("user", "2 + 2?")),
            ),
        )
    ],
}
NOTHING: dict[str, list[dict[str, Any]]] = {
    "metamathqa": [{"query": "A?", "response": None}, {"query": "", "response": "B"}],
    "openwebmath": [{"text": " \n"}, {"text": None}],
    "codealpaca": [{"instruction": "a", "input": "", "output": ""}, {"instruction": None, "output": "b"}],
    "tulu3": [
        {"messages": []},
        {"messages": TALK[:2]},
        {"messages": [TALK[2]]},
        {"messages": [TALK[0], TALK[2]]},
        {"messages": [*TALK[1:3], TALK[2]]},
        {"messages": [TALK[1], {"role": "assistant", "content": None}]},
        {"messages": [{"role": "user", "content": " "}, TALK[2]]},
    ],
}
MALFORMED: list[tuple[str, dict[str, Any], str]] = [
    ("metamathqa", {"query": "A?"}, "column 'response' is missing; found .'query'."),
    ("magicoder", {"instruction": "A?", "response": ["x"]}, r"column 'response' must be text, got \[\"x\"\]"),
    ("alpaca", {"instruction": "A", "input": 3, "output": "x"}, "column 'input' must be text, got 3"),
    ("openwebmath", {"content": "x"}, "column 'text' is missing; found .'content'."),
    ("starcoder", {"content": "\ud800"}, "column 'content' holds half of a surrogate pair"),
    ("tulu3", {"messages": "hi"}, "column 'messages' must be a list of {role, content}, got \"hi\""),
    (
        "tulu3",
        {"messages": [{"role": "tool", "content": "x"}]},
        "a 'role' must be one of system, user, assistant",
    ),
    ("tulu3", {"messages": [{"role": "user"}]}, "in 'messages': column 'content' is missing"),
    ("tulu3", {"messages": [{"role": "user", "content": 1}]}, "in 'messages': column 'content' must be text"),
]


@pytest.mark.parametrize("name", SETS)
def test_the_text_of_a_row(name: str) -> None:
    for row, example in CASES[name]:
        assert SETS[name].form.check(row) is None
        assert SETS[name].form.example(row) == example


@pytest.mark.parametrize("name", NOTHING)
def test_rows_with_nothing_to_learn_are_left_out_and_counted(name: str, tmp_path: Path) -> None:
    row, example = CASES[name][0]
    one = replace(SETS[name], notes=None)
    column = next(iter(row))
    rows = [{**row, column: f"{n} {row[column]}"} if isinstance(row[column], str) else row for n in range(3)]
    if name == "tulu3":
        rows = [{"messages": [{"role": "user", "content": str(n)}, TALK[2]]} for n in range(3)]
    write(tmp_path / one.file, [*NOTHING[name], *rows])
    portion = one.read(tmp_path, Budget())
    assert [len(list(portion.stream(split))) for split in ("train", "validation", "test")] == [1, 1, 1]
    assert portion.notes == (f"train.jsonl: {len(NOTHING[name])} rows with nothing to learn left out",)
    assert example.response.strip()


@pytest.mark.parametrize(("name", "row", "told"), MALFORMED)
def test_a_malformed_row_is_named(name: str, row: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = write(tmp_path / SETS[name].file, [CASES[name][0][0], {}, row])
    path.write_text(path.read_text().replace("{}\n", "\n"))
    with pytest.raises(TaskError, match=f"^{path}:3: .*{told}") as error:
        SETS[name].read(tmp_path, Budget())
    assert "\n" not in str(error.value)


def test_a_reply_in_a_chat_has_no_separator() -> None:
    said = {one.response: one.reply for cases in CASES.values() for _, one in cases}
    assert said[" #### 2"] == "#### 2" and said["\n4"] == "4" and Example("", "x = 1").reply == "x = 1"


@pytest.mark.parametrize("name", SETS)
def test_the_digest_covers_rows_template_mask_and_limits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = SETS[name]
    said = one.rules
    assert f"mask='{'all' if name in ('openwebmath', 'starcoder') else 'response'}'" in said
    for text in ("prompt", "with_context", "before", "turn", "cue"):
        if hasattr(one.form, text):
            changed = replace(one, form=replace(one.form, **{text: getattr(one.form, text) + "!"}))  # type: ignore[type-var]
            assert changed.rules != said
    assert replace(one, held_out=3).rules != said
    monkeypatch.setattr(portions, "HELD_OUT", 99)
    assert one.rules != said


def gsm8k(folder: Path) -> None:
    """A little of GSM8K."""
    for split, count in (("train", 20), ("test", 5)):
        rows = [{"question": f"{split}  {n}?", "answer": f"#### {n}"} for n in range(count)]
        write(folder / f"gsm8k/{split}.jsonl", rows)


def test_what_metamathqa_shares_with_gsm8k_is_counted_and_said(tmp_path: Path) -> None:
    asked = ["train 3?", "train  3?", "test 1?", "none of them", None, 5]
    rows = [{"query": f"{n}?", "response": "1", "original_question": each} for n, each in enumerate(asked)]
    write(tmp_path / "metamathqa/train.jsonl", rows)
    assert math.overlap(tmp_path) == {"rows": 6}
    gsm8k(tmp_path)
    assert math.overlap(tmp_path) == {"rows": 6, "train": 2, "test": 1}
    assert math.overlap(tmp_path, lines=2) == {"rows": 2, "train": 2, "test": 0}
    task = registry.get("math", Places(tmp_path), "metamathqa")
    assert "; of 6 rows read, 2 from GSM8K's train rows and 1 from GSM8K's test rows" in task.notes[0]
    few = registry.get("math", Places(tmp_path), "metamathqa", examples=1)
    assert "; of 3 rows read, 2 from GSM8K's train" in few.notes[0] and few.digest != task.digest
    assert all("\n" not in note for note in task.notes)


def test_gsm8k_drops_training_rows_that_are_in_its_test_file(tmp_path: Path) -> None:
    gsm8k(tmp_path)
    path = tmp_path / "gsm8k/train.jsonl"
    path.write_text((tmp_path / "gsm8k/test.jsonl").read_text().splitlines()[2] + "\n" + path.read_text())
    task = registry.get("math", Places(tmp_path))
    assert len(task.examples("train")) == 18 and len(task.examples("validation")) == 2
    assert task.notes == ("train.jsonl: 1 training rows equal to held-out ones left out",)


def test_the_real_sets() -> None:
    places = Places(real_data())
    sizes = {"codealpaca": ("code", 4335, 100), "alpaca": ("instruct", 796, 99)}
    for source, (name, train, held) in sizes.items():
        task = registry.get(name, places, source)
        assert [sum(1 for _ in task.stream(split)) for split in ("train", "validation", "test")] == [
            train,
            held,
            held,
        ]
        seen = {(one.prompt, one.response) for split in ("validation", "test") for one in task.stream(split)}
        assert not seen & {(one.prompt, one.response) for one in task.stream("train")}
        some = registry.get(name, places, source, examples=64)
        assert some.examples("train") == task.examples("train")[:64] and some.digest != task.digest
        path = real_data() / f"{source}/train.jsonl"
        whole = hashlib.sha256(path.read_bytes()).hexdigest()
        assert task.files[f"{source}/train.jsonl"] == whole != some.files[f"{source}/train.jsonl"]


def test_forms_ask_for_what_they_read() -> None:
    assert forms.Pair("a", "b").columns == ("a", "b") and forms.Chat().columns == ("messages",)
