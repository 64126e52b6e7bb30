"""What of an evaluation stands in a training set: against a plain search, and texts planted by hand."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from suite.contamination import SHORTEST, compare, overlaps
from suite.record import Overlap
from tasks import registry
from tasks.interface import Example

WORDS = [f"w{i}" for i in range(400)]


def text(rng: random.Random, length: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(length))


def one(items: list[list[str]], training: list[str]) -> Overlap:
    (found,) = compare({"e": items}, training)
    return found


def plain(items: list[list[str]], training: list[str], n: int) -> tuple[int, int, int]:
    """(items found, runs, runs found): every run is searched for in every text; no template is left out."""
    texts = [f" {' '.join(one.lower().split())} " for one in training]
    every: set[str] = set()
    hit = 0
    for parts in items:
        split = [part.lower().split() for part in parts]
        runs = {" ".join(part[i : i + n]) for part in split for i in range(len(part) - n + 1)}
        runs = runs or {" ".join(max(split, key=len))}
        every |= runs
        hit += any(f" {run} " in whole for run in runs for whole in texts)
    return hit, len(every), sum(any(f" {run} " in whole for whole in texts) for run in every)


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_what_a_plain_search_finds(seed: int) -> None:
    rng = random.Random(seed)
    items = [[text(rng, rng.randint(5, 25)), text(rng, rng.randint(0, 12))] for _ in range(40)]
    training = [text(rng, 60) for _ in range(30)]
    for i in range(0, 40, 3):  # the middle of some items goes into a training text
        words = items[i][0].split()
        training[i % 30] += " " + " ".join(words[rng.randint(0, 4) :]) + " " + text(rng, 9)
    found = one(items, training)
    assert (found.found, found.grams, found.grams_found) == plain(items, training, found.n)
    assert 3 < found.found <= 14 and found.items == 40 and found.short > 0
    assert found.share == found.found / 40 and found.share_of_grams == found.grams_found / found.grams


@pytest.mark.parametrize(("length", "n"), [(4, 8), (8, 8), (10, 10), (13, 13), (30, 13)])
def test_the_length_of_a_run_follows_the_items(length: int, n: int) -> None:
    rng = random.Random(0)
    items = [[text(rng, length)] for _ in range(25)] + [[text(rng, 40)] for _ in range(5)]
    found = one(items, [])
    assert found.n == n and found.short == (25 if length < SHORTEST else 0)


def test_a_few_short_items_do_not_shorten_the_runs() -> None:
    rng = random.Random(0)
    items = [[text(rng, 2)]] + [[text(rng, 30)] for _ in range(24)]
    assert one(items, []).n == 13
    assert one([*items, [text(rng, 2)]], []).n == 8


def test_case_and_punctuation_do_not_matter_and_the_order_does() -> None:
    asked = "Max has 10 coins; how many has he, after he buys four?"
    said = "MAX HAS 10 COINS how many: has he after he buys (four)"
    assert one([[asked]], [said]).found == 1
    assert one([[asked]], [" ".join(reversed(said.split()))]).found == 0
    assert one([[asked]], [said.replace("10", "11")]).found == 0


def test_a_run_does_not_reach_from_one_text_into_the_next() -> None:
    words = [f"a{i}" for i in range(8)]
    item = [[" ".join(words)]]
    assert one(item, [" ".join(words)]).found == 1
    assert one(item, [" ".join(words[:4]), " ".join(words[4:])]).found == 0
    assert one([[" ".join(words[:4]), " ".join(words[4:])]], [" ".join(words)]).short == 1


def test_a_short_item_is_looked_for_as_a_whole() -> None:
    items = [["where lives the fivel", "barns"]]
    assert one(items, ["tell me: where lives the fivel today"]).found == 1
    assert one(items, ["where lives the gorko, in barns"]).found == 0


def test_what_many_items_share_is_a_template_and_does_not_count() -> None:
    rng = random.Random(1)
    preamble = "below is an instruction that describes a task write a response that completes it"
    items = [[f"{preamble} {text(rng, 20)}"] for _ in range(30)]
    training = [f"{preamble} {text(rng, 20)}" for _ in range(10)]
    found = one(items, training)
    assert (found.items, found.found) == (30, 0)
    assert one(items[:10], training).found == 10, "of ten items nothing can be called a template"
    training.append(items[4][0])
    found = one(items, training)
    assert (found.found, found.mostly, found.examples) == (1, 1, ["4"])


def test_what_is_found_whole_is_told_from_a_phrase() -> None:
    rng = random.Random(2)
    items = [[text(rng, 40)] for _ in range(30)]
    whole, phrase = items[7][0], " ".join(items[3][0].split()[10:24])
    found = one(items, [f"{phrase} {text(rng, 5)}", whole])
    assert (found.found, found.mostly, found.examples) == (2, 1, ["7", "3"])


def test_no_items_and_no_texts() -> None:
    assert one([], ["a b c"]).share == 0.0 == one([], []).share_of_grams
    assert one([[""], ["one two"]], []).items == 1


def test_every_set_of_the_pocket_world_is_looked_for() -> None:
    task, general = registry.get("math"), registry.general()
    assert general.text is not None
    every = (*general.evaluations, general.text)
    clean = {o.evaluation: o for o in overlaps(task, every, task.stream("train"), None)}
    names = {e.name for e in (*task.evaluations, *every)} | {"validation split", "test split"}
    assert set(clean) == names and clean["pocket_arc"].found == clean["pocket_text"].found == 0
    assert clean["pocket_math"].items == 250 and clean["pocket_text"].items == 80

    rows = task.evaluations[0].config["custom_dataset"]()["test"]
    leak = [Example(f"So: {rows[i]['question']}", rows[i]["answer"]) for i in (3, 8)]
    leaked = {o.evaluation: o for o in overlaps(task, every, [*task.stream("train"), *leak], None)}
    assert leaked["pocket_math"].mostly == clean["pocket_math"].mostly + 2
    assert Counter(leaked["pocket_math"].examples) >= Counter(["3", "8"])
    few = {o.evaluation: o for o in overlaps(task, every, leak, 5)}
    assert few["pocket_math"].items == 5 and few["pocket_math"].examples[0] == "3"
