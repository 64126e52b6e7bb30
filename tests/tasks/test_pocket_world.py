"""The pocket world: deterministic, its splits disjoint by construction, its answers right."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys

import pytest

from tasks.pocket import corpus, facts, functions, pairs, routines, sums
from tasks.pocket.instruct import follows
from tasks.pocket.rows import rows

SPLITS = ("train", "validation", "test")
TRAINING_TEXT = "\n\n".join(itertools.islice(corpus.documents("train 0"), 30_000))

TRAINING_LINES = frozenset(TRAINING_TEXT.split("\n"))
TRAINING_SCENES = frozenset(sentence.strip() + "." for sentence in re.split(r"[.] ?", TRAINING_TEXT))
TRAINING_FUNCTIONS = frozenset(re.findall(r"def \w+(\(.*\):\n(?:    .*\n)+)", TRAINING_TEXT + "\n"))


def texts(name: str, split: str) -> set[str]:
    """What identifies a row of a fine-tuning task: the text that the model is asked."""
    return {row["question" if name == "math" else "prompt"] for row in rows(name, split)}


@pytest.mark.parametrize("name", ["math", "code", "instruct"])
def test_splits_of_a_task_are_disjoint(name: str) -> None:
    train, validation, test = (texts(name, split) for split in SPLITS)
    assert len(test) >= 200 and len(validation) >= 200 and len(train) >= 4000 * 0.95
    assert not train & validation and not train & test and not validation & test


def test_no_story_with_the_same_numbers_crosses_a_split() -> None:
    def keys(split: str) -> set[tuple[str, ...]]:
        plain = (
            re.sub(r"\b(" + "|".join(sums.PEOPLE + sums.PLURALS) + r")\b", "", q)
            for q in texts("math", split)
        )
        return {tuple(re.split(r"\s+", text)) for text in plain}

    train, validation, test = (keys(split) for split in SPLITS)
    assert not train & validation and not train & test and not validation & test


def test_no_program_crosses_a_split_whatever_its_words() -> None:
    train, validation, test = (
        {
            row["prompt"].split("\n")[0].removeprefix("def solve") + row["canonical_solution"] + "\n"
            for row in rows("code", s)
        }
        for s in SPLITS
    )
    assert not train & validation and not train & test and not validation & test
    assert len(TRAINING_FUNCTIONS) > 1000 and train & TRAINING_FUNCTIONS
    assert not (validation | test) & TRAINING_FUNCTIONS


@pytest.mark.parametrize("split", ["validation", "test"])
def test_general_items_are_never_seen_in_training(split: str) -> None:
    for row in rows("arc", split):
        assert f"Question: {row['question']}" not in TRAINING_LINES
    for row in rows("winogrande", split):
        option = row["option1"] if row["answer"] == "1" else row["option2"]
        assert row["sentence"].replace("_", option) not in TRAINING_TEXT
    for row in rows("hellaswag", split):
        assert f"{row['ctx_a']} {row['endings'][int(row['label'])]}" not in TRAINING_TEXT


@pytest.mark.parametrize("split", ["validation", "test"])
def test_held_out_pairs_never_meet_in_training(split: str) -> None:
    for row in rows("winogrande", split):
        scene, last = row["sentence"].split(" The _ ")
        (prop,) = (p for p in pairs.PROPERTIES if last.rstrip(".") in p.high + p.low)
        for a, b in itertools.permutations((row["option1"], row["option2"])):
            for template in prop.scenes:
                assert template.format(a=a, b=b) not in TRAINING_SCENES
        assert scene not in TRAINING_SCENES
    weighed = [scene for scene in TRAINING_SCENES if scene.endswith("were put on the scale.")]
    assert len(weighed) > 100  # the set is what it says: scenes of training, whole


def test_general_sets_have_enough_distinct_items() -> None:
    assert len({(r["ctx_a"], *r["endings"]) for r in rows("hellaswag", "test")}) >= 300
    assert len({(r["question"], *r["choices"]["text"]) for r in rows("arc", "test")}) >= 300
    assert len({r["sentence"] for r in rows("winogrande", "test")}) >= 300
    for row in rows("hellaswag", "test"):
        assert len(set(row["endings"])) == 4
    for row in rows("arc", "test"):
        assert len(set(row["choices"]["text"])) == 4
    for row in rows("winogrande", "test"):
        assert row["option1"] != row["option2"] and row["sentence"].count("_") == 1


def test_no_answer_position_is_favoured() -> None:
    for name, key, places in (
        ("hellaswag", "label", 4),
        ("arc", "answerKey", 4),
        ("winogrande", "answer", 2),
    ):
        found = [row[key] for row in rows(name, "test")]
        for place in set(found):
            assert abs(found.count(place) / len(found) - 1 / places) < 0.1


def test_arc_answers_are_the_facts_that_training_states() -> None:
    known = 0
    for animal, attribute in itertools.product(facts.ANIMALS, facts.ATTRIBUTES):
        value = facts.value(animal, attribute)
        for statement in attribute.statements:
            for other in attribute.values:
                told = statement.format(a=animal, v=other) in TRAINING_LINES
                assert not told or other == value
                known += told
    assert known > 0.95 * len(facts.ANIMALS) * len(facts.ATTRIBUTES) * 2


def test_worked_steps_and_answers_are_right() -> None:
    for row in rows("math", "test"):
        *steps, last = row["answer"].split("\n")
        for step in steps:
            left, right = step.split(" = ")
            assert eval(left) == int(right)  # digits and signs of our own generator
        assert last == f"#### {steps[-1].split(' = ')[1]}"


def test_canonical_solutions_pass_and_others_fail() -> None:
    programs = rows("code", "test")
    for row, other in itertools.pairwise(programs):
        scope: dict = {}
        exec(row["prompt"] + row["canonical_solution"] + "\n" + row["test"], scope)
        scope["check"](scope["solve"])
        scope["solve"] = lambda *_: "no number"
        with pytest.raises(AssertionError):
            scope["check"](scope["solve"])
        assert other["prompt"] != row["prompt"]


def test_descriptions_are_never_in_the_base_text() -> None:
    assert '"""' not in TRAINING_TEXT and "####" not in TRAINING_TEXT and "Instruction:" not in TRAINING_TEXT


def test_right_responses_follow_and_altered_ones_do_not() -> None:
    for row in rows("instruct", "test"):
        asks = list(zip(row["instruction_id_list"], row["kwargs"], strict=True))
        right = row["response"]
        for wrong in ("", right + right, right.replace(right[-3], "", 1), f"~{right}~ lamp", row["prompt"]):
            if wrong != right:
                assert not all(follows(i, k, wrong) for i, k in asks), (wrong, row)
        assert all(follows(i, k, f" {right}\n") for i, k in asks)


def test_unknown_instruction_is_an_error() -> None:
    with pytest.raises(KeyError):
        follows("format:rhyme", {}, "lamp")


def test_routine_items_are_decided_by_order_turn_and_place() -> None:
    for row in rows("hellaswag", "test"):
        right = row["endings"][int(row["label"])]
        assert right not in row["ctx_a"]
        assert right.split(" ")[0] in routines.PEOPLE


def test_world_is_the_same_in_another_process() -> None:
    code = (
        "from tasks.pocket import corpus; import itertools, hashlib;"
        "from tasks.pocket.rows import rows;"
        "text = repr([list(itertools.islice(corpus.documents('train 0'), 200)),"
        " rows('hellaswag', 'test'), rows('code', 'test')]); print(hashlib.sha256(text.encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(digests) == 1


def test_check_lists_every_input_shape() -> None:
    assert {row["prompt"].split("(")[1].split(")")[0] for row in rows("code", "test")} == set(
        functions.ARGUMENTS
    )
