"""Tasks by name: what they train on, what scores them, and what a wrong name or file is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks import general, math, registry
from tasks.interface import Example, Places, TaskError
from tasks.lm_eval import stock_folder
from tests.needs import real_data

HELLASWAG = {"activity_label": "Tea", "ctx_a": "Ann boils water.", "ctx_b": "", "label": "1"}
ROWS: dict[str, dict[str, Any]] = {
    "gsm8k/train.jsonl": {"question": "1 + 1?", "answer": "1 + 1 = 2\n#### 2"},
    "gsm8k/test.jsonl": {"question": "2 + 2?", "answer": "2 + 2 = 4\n#### 4"},
    "hellaswag/validation.jsonl": {**HELLASWAG, "endings": ["a", "b", "c", "d"]},
    "arc_challenge/test.jsonl": {
        "question": "Which?",
        "choices": {"text": ["x", "y"], "label": ["A", "B"]},
        "answerKey": "B",
    },
    "winogrande/validation.jsonl": {
        "sentence": "The _ fell.",
        "option1": "cup",
        "option2": "jug",
        "answer": "2",
    },
    "c4/validation.jsonl": {"text": "Some text."},
}


def numbered(row: dict[str, Any], n: int) -> dict[str, Any]:
    """A row like others, and not equal to them where it has a question."""
    return {**row, "question": f"{row['question']} ({n})"} if n and "#### " in str(row.get("answer")) else row


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of data in the hub's columns, a few rows each."""
    for name, row in ROWS.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        rows = 20 if name == "gsm8k/train.jsonl" else 3
        path.write_text("".join(json.dumps({**numbered(row, n), "n": n}) + "\n" for n in range(rows)))
    return tmp_path


def test_names_and_lines() -> None:
    assert registry.names() == ["math", "code", "instruct", "own"]
    assert registry.pocket_names() == registry.names()[:3]
    assert [name for name, _ in registry.describe()] == registry.names()
    assert all(line and "\n" not in line for _, line in registry.describe())


@pytest.mark.parametrize("name", registry.pocket_names())
def test_a_pocket_task(name: str) -> None:
    task = registry.get(name)
    assert (task.name, task.source) == (name, "pocket")
    assert [evaluation.name for evaluation in task.evaluations] == [f"pocket_{name}"]
    sizes = {split: len(task.examples(split)) for split in ("train", "validation", "test")}
    assert min(sizes.values()) >= 200 and sizes["train"] >= 1000
    assert task.examples("train") == registry.get(name).examples("train")
    assert task.digest == registry.get(name).digest != ""
    assert {registry.get(other).digest for other in registry.pocket_names() if other != name}.isdisjoint(
        {task.digest}
    )


@pytest.mark.parametrize(
    ("name", "prompt", "response"),
    [
        ("math", ("Question: ", "\nAnswer:"), (" ", "#### ")),
        ("code", ("def ", '"""'), ("\n    ", "return")),
        ("instruct", ("Instruction: ", "\nResponse:"), (" ", "")),
    ],
)
def test_examples_have_the_form_of_the_evaluation(
    name: str, prompt: tuple[str, str], response: tuple[str, str]
) -> None:
    for example in registry.get(name).examples("validation"):
        assert example.prompt.startswith(prompt[0]) and example.prompt.endswith(prompt[1])
        assert example.response.startswith(response[0]) and response[1] in example.response
        assert not example.prompt[-1].isspace()


def test_the_pocket_general_skills() -> None:
    skills = registry.general()
    assert [(e.name, e.metric) for e in skills.evaluations] == [
        ("pocket_hellaswag", "acc_norm"),
        ("pocket_arc", "acc_norm"),
        ("pocket_winogrande", "acc"),
    ]
    assert skills.text is not None and skills.text.name == "pocket_text"
    assert skills.digest == registry.general().digest


def test_asking_for_tasks_loads_neither_torch_nor_lm_eval() -> None:
    program = (
        "import sys; from tasks import registry\n"
        "for name in registry.pocket_names(): registry.get(name)\n"
        "registry.general(); print(*{'torch', 'transformers', 'datasets', 'lm_eval'} & set(sys.modules))"
    )
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_pocket_math_differs_from_stock_only_in_length() -> None:
    stock = yaml.load((stock_folder() / "gsm8k/gsm8k.yaml").read_text(), Loader=yaml.SafeLoader)
    assert {**stock["generation_kwargs"], "max_gen_toks": 96} == math.POCKET_GENERATION


def test_real_math(folder: Path) -> None:
    task = registry.get("math", Places(folder))
    assert (task.source, task.evaluations[0].name) == ("gsm8k", "gsm8k")
    assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [18, 2, 3]
    assert task.examples("test")[1] == Example("Question: 2 + 2? (1)\nAnswer:", " 2 + 2 = 4\n#### 4")
    assert set(task.examples("train")).isdisjoint(task.examples("test"))


def test_the_held_out_rows_are_the_last(folder: Path) -> None:
    path = folder / "gsm8k/train.jsonl"
    rows = [{"question": str(n), "answer": "#### 1"} for n in range(10 * math.HELD_OUT + 2)]
    path.write_text("\n".join(map(json.dumps, rows)))
    task = registry.get("math", Places(folder))
    assert len(task.examples("train")) == 9 * math.HELD_OUT + 2
    first = f"Question: {9 * math.HELD_OUT + 2}\nAnswer:"
    assert (
        task.examples("validation")[0].prompt == first and len(task.examples("validation")) == math.HELD_OUT
    )


def test_the_digest_follows_the_data(folder: Path) -> None:
    before = registry.get("math", Places(folder)).digest, registry.general(folder).digest
    assert before == (registry.get("math", Places(folder)).digest, registry.general(folder).digest)
    for name, changed in (
        ("gsm8k/test.jsonl", 0),
        ("winogrande/validation.jsonl", 1),
        ("c4/validation.jsonl", 1),
    ):
        path = folder / name
        path.write_text(path.read_text() + path.read_text().splitlines()[0])
        after = registry.get("math", Places(folder)).digest, registry.general(folder).digest
        assert [a != b for a, b in zip(before, after, strict=True)] == [changed == 0, changed == 1]
        before = after


def test_text_is_what_the_folder_has(folder: Path) -> None:
    (folder / "wiki").mkdir()
    (folder / "wiki/validation.jsonl").write_text('{"text": "More."}\n')
    both = registry.general(folder)
    (folder / "wiki/validation.jsonl").unlink()
    (folder / "c4/validation.jsonl").unlink()
    neither = registry.general(folder)
    assert both.text is not None and both.text.name == "text" and neither.text is None
    assert both.digest != neither.digest


@pytest.mark.parametrize(
    ("name", "near"), [("maths", "math"), ("cod", "code"), ("instrut", "instruct"), ("", "")]
)
def test_an_unknown_name_is_told_the_nearest(name: str, near: str) -> None:
    with pytest.raises(TaskError, match=f"no task '{name}'; did you mean '{near}") as told:
        registry.get(name)
    assert "\n" not in str(told.value)


def test_a_split_that_is_not_there() -> None:
    with pytest.raises(TaskError, match="no split 'dev'; expected one of train, validation, test"):
        registry.get("math").examples("dev")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for ask in (
        lambda: registry.get("math", Places(tmp_path / "no")),
        lambda: registry.general(tmp_path / "no"),
    ):
        with pytest.raises(TaskError, match=r"no data folder '.*/no'"):
            ask()


@pytest.mark.parametrize("name", [name for name in ROWS if not name.startswith("c4")])
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(TaskError, match=rf"no data file {folder / name} \(No such file or directory\)"):
        registry.get("math", Places(folder)) if name.startswith("gsm8k") else registry.general(folder)


@pytest.mark.parametrize(
    ("name", "line", "told"),
    [
        ("gsm8k/test.jsonl", "{", "not JSON"),
        ("gsm8k/test.jsonl", "[1]", r"expected a JSON object, got \[1\]"),
        ("gsm8k/test.jsonl", '{"question": "q"}', "column 'answer' is missing; found .'question'."),
        ("gsm8k/train.jsonl", '{"question": 3, "answer": "#### 1"}', "'question' must be text, got 3"),
        ("gsm8k/train.jsonl", '{"question": "q", "answer": "1"}', "'answer' must hold '#### <number>'"),
        ("hellaswag/validation.jsonl", json.dumps(HELLASWAG), "'endings' must be a list of two or more"),
        (
            "hellaswag/validation.jsonl",
            json.dumps({**HELLASWAG, "endings": ["a", "b"], "label": "2"}),
            r"'label' must be one of \['0', '1'\], got '2'",
        ),
        ("arc_challenge/test.jsonl", '{"question": "q", "answerKey": "A"}', "'choices' must be an object"),
        (
            "arc_challenge/test.jsonl",
            '{"question": "q", "answerKey": "A", "choices": {"text": ["x", "y"], "label": ["A"]}}',
            "in 'choices': column 'label' must be a list",
        ),
        (
            "arc_challenge/test.jsonl",
            '{"question": "q", "answerKey": "A", "choices": {"text": ["x", "y", "z"], "label": ["A", "B"]}}',
            "'choices' has 3 texts and 2 labels",
        ),
        (
            "arc_challenge/test.jsonl",
            '{"question": "q", "answerKey": "C", "choices": {"text": ["x", "y"], "label": ["A", "B"]}}',
            r"'answerKey' must be one of \['A', 'B'\], got 'C'",
        ),
        (
            "winogrande/validation.jsonl",
            '{"sentence": "It fell.", "option1": "a", "option2": "b", "answer": "1"}',
            "'sentence' must hold a '_'",
        ),
        (
            "winogrande/validation.jsonl",
            '{"sentence": "_ fell.", "option1": "a", "option2": "b", "answer": "3"}',
            "'answer' must be '1' or '2', got '3'",
        ),
        ("c4/validation.jsonl", '{"text": " "}', "column 'text' is empty"),
    ],
)
def test_a_malformed_row_is_named_by_file_and_line(name: str, line: str, told: str, folder: Path) -> None:
    path = folder / name
    rows = path.read_text().splitlines()
    path.write_text("\n".join([rows[0], "", line, *rows[1:]]))
    with pytest.raises(TaskError, match=f"^{path}:3: .*{told}") as error:
        registry.get("math", Places(folder)) if name.startswith("gsm8k") else registry.general(folder)
    assert "\n" not in str(error.value)


def test_other_columns_may_be_of_any_type(folder: Path) -> None:
    others = [1, "one", {"n": 1}, [[1], "a"], None]
    for name in ROWS:
        path = folder / name
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for i, row in enumerate(rows):
            row["other"] = others[i % len(others)]
            if "choices" in row:
                row["choices"]["other"] = others[i % len(others)]
        path.write_text("\n".join(map(json.dumps, rows)))
    skills = registry.general(folder)
    assert skills.text is not None
    scored = [*skills.evaluations, *registry.get("math", Places(folder)).evaluations, skills.text]
    found = [set(evaluation.config["custom_dataset"]()["test"][0]) for evaluation in scored]
    asked = ["hellaswag/validation", "arc_challenge/test", "winogrande/validation", "gsm8k/test"]
    assert found == [*(set(ROWS[f"{name}.jsonl"]) for name in asked), {"page"}]
    choices = scored[1].config["custom_dataset"]()["test"][0]["choices"]
    assert choices == ROWS["arc_challenge/test.jsonl"]["choices"]


def test_files_that_hold_no_rows_or_too_few(folder: Path) -> None:
    path = folder / "gsm8k/train.jsonl"
    path.write_text(path.read_text().splitlines()[0])
    with pytest.raises(TaskError, match=f"{path}: 1 rows leave none to train on; expected at least 3"):
        registry.get("math", Places(folder))
    path.write_text("\n")
    with pytest.raises(TaskError, match=f"{path}: no rows"):
        registry.get("math", Places(folder))
    path.write_bytes(b"\xff\n")
    with pytest.raises(TaskError, match=f"{path}:1: not UTF-8"):
        registry.get("math", Places(folder))


def test_the_real_files_are_read_whole() -> None:
    data = real_data()
    task = registry.get("math", Places(data))
    assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [7000, 473, 1319]
    skills = registry.general(data)
    rows = [evaluation.config["custom_dataset"]()["test"] for evaluation in skills.evaluations]
    assert [len(part) for part in rows] == [1000, 1172, 1267]
    assert skills.text is not None and len(skills.text.config["custom_dataset"]()["test"]) == 330
    assert {e.name: e.metric for e in skills.evaluations} == {n: m for n, (_, m) in general.STOCK.items()}
