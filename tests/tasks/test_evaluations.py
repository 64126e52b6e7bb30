"""Stock evaluations over local files: stock settings, no network, nothing left behind, malformed rows."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tasks import evaluations, registry
from tasks.interface import Evaluation, Places, TaskError
from tasks.lm_eval import prepare
from tests.needs import real_data, refused
from tests.tasks.rows import write

HEADLINES = {
    "gsm8k": ("exact_match", "strict-match", 5),
    "humaneval": ("pass@1", "create_test", 0),
    "mbpp": ("pass_at_1", "none", 3),
    "ifeval": ("prompt_level_strict_acc", "none", 0),
    "hellaswag": ("acc_norm", "none", None),
    "arc_challenge": ("acc_norm", "none", None),
    "winogrande": ("acc", "none", None),
    "minerva_math": ("exact_match", "none", 4),
}
HUMANEVAL = {"prompt": "def f():\n", "canonical_solution": "    return 1\n", "test": "x", "entry_point": "f"}
MBPP = {"text": "One.", "code": "def f(): return 1", "test_list": ["assert f()"] * 3}
IFEVAL = {
    "key": 1,
    "prompt": "No commas.",
    "instruction_id_list": ["punctuation:no_comma"],
    "kwargs": [{"num_words": None}],
}
MATH = {"problem": "1 + 1?", "solution": "It is $\\boxed{2}$."}
SEALED = """
import socket, sys
from pathlib import Path
def closed(*args, **kwargs):
    raise AssertionError(f"the network was asked for: {args}")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = closed
import evaluate, nltk
before = evaluate.load, list(nltk.data.path)
from tasks import registry
from tasks.interface import Places
from tests.tasks.test_evaluations import lm_eval_task
names = [name for name in registry.evaluation_names() if name != "minerva_math"]
task = registry.get("own", Places(Path(sys.argv[1]), Path(sys.argv[2])), evaluations=names)
for evaluation in task.evaluations:
    made = lm_eval_task(evaluation)
    print(evaluation.name, evaluation.metric, evaluation.filter, made.config.num_fewshot, len(made.task_docs))
assert before == (evaluate.load, nltk.data.path)
"""


def lm_eval_task(evaluation: Evaluation) -> Any:
    """An evaluation as lm-eval's task object."""
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    evaluation.prepare()
    own = {key: value for key, value in evaluation.config.items() if key != "include"}
    return ConfigurableTask(config={**load_yaml(evaluation.config["include"]), **own})


def build(data: Path, *names: str) -> list[Evaluation]:
    """Evaluations on a folder."""
    return list(evaluations.build(names, data))


def punkt(folder: Path) -> None:
    """Empty files in the places of the sentence splitter's."""
    for name in evaluations.PUNKT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")


def test_names_and_files() -> None:
    assert set(registry.evaluation_names()) == set(HEADLINES)
    assert registry.files("code") == ("codealpaca/train.jsonl", "humaneval/test.jsonl", "mbpp/test.jsonl")
    assert registry.files("math", "gsm8k") == ("gsm8k/train.jsonl", "gsm8k/test.jsonl")
    assert registry.files("math", "pocket") == registry.files("own") == ()
    assert registry.files("instruct")[:2] == ("alpaca/train.jsonl", "ifeval/train.jsonl")
    assert registry.files("instruct")[2:] == evaluations.PUNKT
    asked = registry.files("own", None, ["minerva_math", "mbpp"])
    assert len(asked) == 8 and asked[0] == "hendrycks_math/algebra/test.jsonl"


def test_all_load_without_network_and_leave_nothing_behind(tmp_path: Path) -> None:
    data = real_data()
    if reason := refused():
        pytest.skip(reason)
    own = write(tmp_path / "mine.jsonl", ({"text": str(n)} for n in range(9)))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HOME": str(tmp_path)}
    environment.pop("NLTK_DATA", None)
    done = subprocess.run(
        [sys.executable, "-c", SEALED, str(data), str(own)],
        cwd=Path(__file__).parent.parent.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    assert {name: (metric, found, shots) for name, metric, found, shots, _ in told} == {
        name: (metric, found, str(shots))
        for name, (metric, found, shots) in HEADLINES.items()
        if name != "minerva_math"
    }
    counts = dict(
        gsm8k=1319, humaneval=164, mbpp=500, ifeval=541, hellaswag=1000, arc_challenge=1172, winogrande=1267
    )
    assert {name: int(count) for name, *_, count in told} == counts


def test_shots_of_gsm8k_come_from_its_training_rows(tmp_path: Path) -> None:
    for split in ("train", "test"):
        rows = [{"question": f"{split} {n}?", "answer": f"#### {n}"} for n in range(20)]
        write(tmp_path / f"gsm8k/{split}.jsonl", rows)
    task = lm_eval_task(build(tmp_path, "gsm8k")[0])
    task.set_fewshot_seed(1234)
    shown = task.fewshot_context(task.task_docs[0], task.config.num_fewshot)
    assert shown.count("Question: train ") == 5 and shown.endswith("Question: test 0?\nAnswer:")


def test_code_is_scored_by_our_metric(tmp_path: Path) -> None:
    if reason := refused():
        pytest.skip(reason)
    row = {**HUMANEVAL, "test": "def check(f):\n    assert f() == 1"}
    rows = [{**MBPP, "test_list": ["assert f() == 1"] * 3}]
    write(tmp_path / "humaneval/test.jsonl", [row])
    write(tmp_path / "mbpp/test.jsonl", rows)
    human, basic = map(lm_eval_task, build(tmp_path, "humaneval", "mbpp"))
    for answer, right in (("    return 1\n", 1.0), ("    return 2\n", 0.0)):
        assert human.process_results(human.task_docs[0], [[row["prompt"] + answer]]) == {"pass@1": right}
        assert basic.process_results(basic.task_docs[0], [f"def f():\n{answer}"]) == {"pass_at_1": right}
    for name in ("humaneval", "mbpp"):
        module = sys.modules[f"lm_eval.tasks.{name}.utils"]
        held = module.compute_ if name == "humaneval" else module.pass_at_k
        assert type(held).__name__ == "CodeEval"


def test_a_stock_module_that_holds_another_metric_is_imported_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := refused():
        pytest.skip(reason)
    name = "lm_eval.tasks.mbpp.utils"
    theirs = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, theirs)
    prepare.code("mbpp/mbpp.yaml")
    ours = sys.modules[name]
    assert ours is not theirs
    prepare.code("mbpp/mbpp.yaml")
    assert sys.modules[name] is ours


def test_ifeval_scores_hand_written_answers() -> None:
    import nltk

    before = list(nltk.data.path)
    task = lm_eval_task(build(real_data(), "ifeval")[0])
    assert nltk.data.path == before
    doc = {"key": 1, "prompt": "Write.", "instruction_id_list": [], "kwargs": []}
    asked = [
        ("length_constraints:number_sentences", {"relation": "at least", "num_sentences": 3}),
        ("punctuation:no_comma", {}),
        ("change_case:english_lowercase", {}),
        ("change_case:capital_word_frequency", {"capital_relation": "less than", "capital_frequency": 1}),
    ]
    doc["instruction_id_list"], doc["kwargs"] = map(list, zip(*asked, strict=True))
    answers = {
        "the ship came in at noon. it was late. nobody at the pier was surprised.": [True] * 4,
        "the ship came in at noon. it was late, though. nobody saw it.": [True, False, True, True],
        "the ship came in with dr. smith at noon.": [False, True, True, True],
        "THE SHIP CAME IN. It was late. Nobody saw.": [True, True, False, False],
    }
    for answer, obeyed in answers.items():
        scores = task.process_results(doc, [answer])
        assert scores["inst_level_strict_acc"] == obeyed
        assert scores["prompt_level_strict_acc"] == all(obeyed)


def test_sentences_are_split_by_what_the_folder_has_learned() -> None:
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    prepare.ifeval(real_data() / evaluations.NLTK)
    from lm_eval.tasks.ifeval import instructions_util

    text = "Dr. Smith met Mrs. Jones at noon. It rained."
    assert instructions_util.count_sentences(text) == 2
    assert len(PunktSentenceTokenizer().tokenize(text)) == 4, "what an untrained splitter says"


def test_the_instructions_are_those_of_the_stock_checks() -> None:
    prepare.ifeval(real_data() / evaluations.NLTK)
    from lm_eval.tasks.ifeval import instructions_registry

    assert set(instructions_registry.INSTRUCTION_DICT) == evaluations.KNOWN


@pytest.mark.parametrize(
    ("name", "row", "told"),
    [
        ("humaneval", {k: v for k, v in HUMANEVAL.items() if k != "test"}, "column 'test' is missing"),
        ("humaneval", {**HUMANEVAL, "entry_point": None}, "column 'entry_point' must be text, got null"),
        (
            "mbpp",
            {**MBPP, "test_list": ["assert f()"] * 2},
            "'test_list' must be a list of three or more texts",
        ),
        ("mbpp", {"prompt": "One."}, "column 'text' is missing; found .'prompt'."),
        (
            "ifeval",
            {**IFEVAL, "instruction_id_list": ["punctuation:none"]},
            "has 'punctuation:none', which IFEval's",
        ),
        ("ifeval", {**IFEVAL, "kwargs": [{}, {}]}, "'kwargs' has 2 entries for 1 instructions"),
        ("ifeval", {**IFEVAL, "kwargs": None}, "column 'kwargs' must be a list of objects, got null"),
        ("ifeval", {**IFEVAL, "key": "1"}, "column 'key' must be a number, got \"1\""),
        (
            "ifeval",
            {**IFEVAL, "instruction_id_list": []},
            "'instruction_id_list' must be a list of one or more",
        ),
    ],
)
def test_a_malformed_row(name: str, row: dict[str, Any], told: str, tmp_path: Path) -> None:
    punkt(tmp_path)
    right = {"humaneval": HUMANEVAL, "mbpp": MBPP, "ifeval": IFEVAL}[name]
    path = write(tmp_path / evaluations.STOCK[name].rows[0], [right, row])
    with pytest.raises(TaskError, match=f"^{path}:2: .*{told}") as error:
        build(tmp_path, name)
    assert "\n" not in str(error.value)


def test_ifeval_needs_its_sentence_splitter(tmp_path: Path) -> None:
    write(tmp_path / "ifeval/train.jsonl", [IFEVAL])
    with pytest.raises(
        TaskError, match=r"no data file .*nltk_data/tokenizers/punkt_tab/english/abbrev_types.txt"
    ):
        build(tmp_path, "ifeval")
    punkt(tmp_path)
    assert build(tmp_path, "ifeval")[0].name == "ifeval"


def test_minerva_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "find_spec", lambda name: None)
    with pytest.raises(
        TaskError, match=r"minerva_math needs sympy, math_verify, antlr4; run: pip install 'lm-eval\[math\]'"
    ):
        build(tmp_path, "minerva_math")
    monkeypatch.setattr(prepare, "find_spec", lambda name: name)
    monkeypatch.setattr(prepare, "version", lambda name: "4.9.3")
    with pytest.raises(TaskError, match=r"minerva_math needs antlr4-python3-runtime 4.11 \(found 4.9.3\)"):
        build(tmp_path, "minerva_math")
    monkeypatch.setattr(prepare, "version", lambda name: "4.11.0")
    with pytest.raises(TaskError, match=r"no data file .*hendrycks_math/algebra/test.jsonl"):
        build(tmp_path, "minerva_math")
    for subject in evaluations.SUBJECTS:
        write(tmp_path / f"hendrycks_math/{subject}/test.jsonl", [MATH])
    assert build(tmp_path, "minerva_math")[0].metric == "exact_match"
    write(tmp_path / "hendrycks_math/geometry/test.jsonl", [{**MATH, "solution": "2"}])
    with pytest.raises(TaskError, match=r"geometry/test.jsonl:1: column 'solution' must hold '\\boxed"):
        build(tmp_path, "minerva_math")


@pytest.mark.skipif(importlib.util.find_spec("math_verify") is None, reason="needs lm-eval[math]")
def test_minerva_scores(tmp_path: Path) -> None:
    for subject in evaluations.SUBJECTS:
        write(tmp_path / f"hendrycks_math/{subject}/test.jsonl", [MATH])
    task = lm_eval_task(build(tmp_path, "minerva_math")[0])
    assert len(task.task_docs) == 7 and task.config.num_fewshot == 4
    for answer, right in (("2", 1), ("3", 0)):
        said = f" Final Answer: The final answer is ${answer}$. I hope it is correct."
        assert task.process_results(task.task_docs[0], [said])["exact_match"] == right


def test_evaluations_are_chosen_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        TaskError, match="no evaluation 'gsm8k' without a data folder; the pocket world has pocket_math"
    ):
        registry.get("math", evaluations=["gsm8k"])
    assert [e.name for e in registry.get("math", evaluations=["pocket_math"]).evaluations] == ["pocket_math"]
    with pytest.raises(TaskError, match="no evaluation 'humanevl'; did you mean 'humaneval'"):
        registry.get("math", Places(tmp_path), evaluations=["humanevl"])


def test_kwargs_of_ifeval_may_lack_what_others_have(tmp_path: Path) -> None:
    punkt(tmp_path)
    other = {**IFEVAL, "instruction_id_list": ["startend:quotation"], "kwargs": [{}]}
    write(
        tmp_path / "ifeval/train.jsonl", [other, {**IFEVAL, "kwargs": [{"num_words": 3, "keywords": ["a"]}]}]
    )
    docs = build(tmp_path, "ifeval")[0].config["custom_dataset"]()["test"]
    assert json.loads(json.dumps(docs[0]["kwargs"])) in ([{"num_words": None, "keywords": None}], [{}])
    assert docs[1]["kwargs"] == [{"num_words": 3, "keywords": ["a"]}]
