"""The summary: means that can be redone by hand, absent stays absent, and only like is put beside like."""

from __future__ import annotations

import io
import random

import pytest
from rich.console import Console

from suite.record import BaseRef, Recipe, Record, TaskRef, VariantRef
from suite.summary import Mean, SummaryRow, boards, rows
from suite.table import table
from suite.words import count, duration, points, rate, rates, score
from tests.example_records.make import (
    LORA,
    PISSA,
    SPARSE,
    cell,
    examples,
    examples_of_others,
    imported,
    record,
    stopped,
)


def _row(variant: VariantRef, records: list[Record]) -> SummaryRow:
    (found,) = (row for row in rows(records) if row.variant == variant.name)
    return found


def _text(records: list[Record], width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(table(records))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_means_by_hand() -> None:
    row = _row(LORA, examples())
    assert row.gains == {"sums": Mean(62.5, 2), "words": Mean(25.0, 2)}
    assert row.mean_gain == 43.75
    # general before 3, 3, 2 of 4; after 3, 2, 2 twice, 3, 3, 2 and 2, 3, 2: lost 1/12, 1/12, 0, 1/12
    assert row.forgetting is not None
    assert row.forgetting.n == 4
    assert row.forgetting.value == pytest.approx(100 * 3 / 12 / 4)
    assert row.forgetting_by_skill["synthetic_endings"] == Mean(6.25, 4)
    assert row.trainable_parameters == 65536
    assert row.train_seconds == 20.5
    assert row.learning_rates == {"sums": 0.005, "words": 0.005}
    assert row.statuses == {"ok": 4}


def test_a_cell_that_did_not_finish_is_counted_and_not_averaged() -> None:
    row = _row(PISSA, examples())
    assert row.gains["sums"] == Mean(100.0, 1)
    assert list(row.statuses.items()) == [("ok", 3), ("diverged", 1)]
    scored = stopped(cell(LORA, "sums", 0), "diverged", "nan", after=examples()[0].after)
    assert _row(LORA, [scored]).gains == {"sums": None}


def test_absent_is_none_and_never_zero() -> None:
    row = _row(SPARSE, examples())
    assert row.gains == {"sums": Mean(0.0, 1), "words": None}
    assert row.mean_gain is None
    (alone,) = rows([stopped(cell(SPARSE, "words", 0), "oom", "too big", trainable_parameters=None)])
    assert (alone.forgetting, alone.trainable_parameters, alone.train_seconds) == (None, None, None)
    assert set(alone.forgetting_by_skill.values()) == {None}


def test_a_number_that_is_none_is_absent() -> None:
    one = examples()[0]
    assert one.after is not None
    target = one.after.target["sums_test"].model_copy(update={"value": float("nan")})
    after = one.after.model_copy(update={"target": {"sums_test": target}})
    assert _row(LORA, [one.model_copy(update={"after": after})]).gains == {"sums": None}


def test_best_mean_gain_first_incomplete_last_ties_by_name() -> None:
    assert [row.variant for row in rows(examples())] == [PISSA.name, LORA.name, SPARSE.name]
    tied = [record(cell(variant, "sums", 0)) for variant in (PISSA, SPARSE, LORA)]
    assert [row.variant for row in rows(tied)] == [LORA.name, PISSA.name, SPARSE.name]
    only_one_task = [record(cell(LORA, "sums", 0), right=4)]
    others = [record(cell(PISSA, task, 0), right=1) for task in ("sums", "words")]
    assert [row.variant for row in rows(only_one_task + others)] == [PISSA.name, LORA.name]


def test_order_of_records_does_not_matter() -> None:
    shuffled = examples()
    random.Random(0).shuffle(shuffled)
    assert rows(shuffled) == rows(examples())


@pytest.mark.parametrize(
    "changes",
    [
        {"track": "synthetic@2"},
        {"base": BaseRef(name="synthetic-base", digest="f" * 16)},
        {"recipe": Recipe(steps=10, batch_size=16)},
        {"evaluation": cell(LORA, "sums", 0).evaluation.model_copy(update={"limit": None})},
    ],
)
def test_only_like_is_put_beside_like(changes: dict[str, object]) -> None:
    mixed = [record(cell(LORA, "sums", 0)), record(cell(LORA, "sums", 0, **changes), right=4)]
    assert sorted(row.mean_gain or 0 for row in rows(mixed)) == [50.0, 100.0]
    found = boards(mixed)
    assert len(found) == 2 and found[0].id != found[1].id


def test_tasks_may_have_recipes_of_their_own() -> None:
    (board,) = boards(examples())
    steps = {task: recipe.steps for task, recipe in board.recipes.items() if recipe}
    assert steps == {"sums": 200, "words": 250}
    assert board.seeds == 2


def test_two_data_sets_of_one_task_are_two_columns() -> None:
    other = TaskRef(name="sums", source="local", revision=1, digest="0" * 16)
    (board,) = boards([record(cell(LORA, "sums", 0)), record(cell(LORA, "sums", 0, task=other))])
    assert set(board.recipes) == {"sums", "sums:local"}
    again = record(cell(LORA, "sums", 0, task=other.model_copy(update={"digest": "1" * 16})))
    (board,) = boards([record(cell(LORA, "sums", 0, task=other)), again])
    assert len(board.recipes) == 2 and all(task.startswith("sums ") for task in board.recipes)


def test_settings_tell_namesakes_apart() -> None:
    small = LORA.model_copy(update={"settings": {**LORA.settings, "rank": 8}})
    newer = LORA.model_copy(update={"revision": 2})
    labels = [row.label for row in rows([record(cell(one, "sums", 0)) for one in (LORA, small, PISSA)])]
    assert labels == ["synthetic-lora rank=16", "synthetic-lora rank=8", "synthetic-pissa"]
    labels = [row.label for row in rows([record(cell(one, "sums", 0)) for one in (LORA, newer)])]
    assert labels == ["synthetic-lora revision 1", "synthetic-lora revision 2"]


def test_a_sweep_of_learning_rates_has_one_row_a_rate() -> None:
    sweep = [record(cell(LORA, "sums", seed, learning_rate=lr)) for lr in (1e-3, 1e-2) for seed in (0, 1)]
    found = rows(sweep)
    assert sorted(row.learning_rates["sums"] or 0 for row in found) == [1e-3, 1e-2]
    assert all(row.gains["sums"] == Mean(50.0, 2) for row in found)


def test_the_terminal_table_shows_what_went_wrong_and_fits() -> None:
    text = _text(examples())
    assert all(len(line) <= 100 for line in text.splitlines())
    for part in ("+62.5", "+100.0 (1)", "1 diverged", "1 oom", "65.5K", "20.5 s", "synthetic@1", "mean of 2"):
        assert part in text
    assert "nan" not in text.lower() and "None" not in text


def test_scores_stand_in_where_no_gain_is_known() -> None:
    (board,) = boards(examples_of_others())
    assert (board.scores_only, board.scored_here, board.forgetting_known, board.seeds) == (
        True,
        False,
        False,
        1,
    )
    assert [(row.label, row.mean_score, row.mean_gain) for row in board.rows] == [
        ("second", 62.5, None),
        ("first", 50.0, None),
        ("third", None, None),
    ]
    assert (board.recipes, board.rows[2].learning_rates) == ({"sums": None}, {"sums": None})
    text = _text(examples_of_others())
    for part in ("score", "62.5", "1 failed", "the base's own score is not known", "0.001"):
        assert part.lower() in text.lower()
    for part in ("gain\n", "forget", "+62.5", "None", "nan"):
        assert part not in text


def test_one_known_gain_keeps_the_board_on_gains() -> None:
    records = [record(cell(LORA, "sums", 0)), record(cell(PISSA, "sums", 0), right=4, before=None)]
    (board,) = boards(records)
    assert not board.scores_only and [row.mean_gain for row in board.rows] == [50.0, None]
    assert [row.mean_score for row in board.rows] == [50.0, 100.0], "a score does not pass for a gain"
    (alone,) = boards(records[1:])
    assert alone.scores_only and alone.scored_here and alone.rows[0].mean_score == 100.0


def test_records_of_others_stand_apart() -> None:
    same = imported("first", 0.5)
    ours = same.cell.model_copy(update={"recipe": Recipe(steps=1, batch_size=1), "source": None})
    assert len(boards([same, record(ours)])) == 2, "a recipe that is not known is not the one that is"
    assert len(boards([*examples(), *examples_of_others()])) == 2


def test_a_source_names_its_runs() -> None:
    first, second = imported("first", 0.5), imported("second", 0.5)
    assert first.source is not None
    twin = second.model_copy(update={"source": first.source})
    labels = [row.label for row in rows([first, twin])]
    assert len(set(labels)) == 2 and all(label.startswith("first ") for label in labels)


def test_several_boards_stand_apart() -> None:
    text = _text([*examples(), record(cell(LORA, "sums", 0, track="synthetic@2"))])
    assert "synthetic@1 on synthetic-base" in text and "synthetic@2 on synthetic-base" in text


def test_names_are_not_markup() -> None:
    odd = LORA.model_copy(update={"name": "[red]x[/red]"})
    base = BaseRef(name="[bold]b", digest="0" * 16)
    text = _text([record(cell(odd, "sums", 0, base=base))])
    assert "[red]x[/red]" in text and "[bold]b" in text


def test_no_records_no_rows() -> None:
    assert rows([]) == [] and _text([]).strip() == ""


def test_words_for_numbers() -> None:
    assert [points(value) for value in (None, 0.0, -0.04, 4.25, -12.0)] == [
        "-",
        "0.0",
        "0.0",
        "+4.2",
        "-12.0",
    ]
    assert [count(value) for value in (None, 7, 73728, 3_200_000, 7 * 10**9)] == [
        "-",
        "7",
        "73.7K",
        "3.2M",
        "7B",
    ]
    assert [duration(value) for value in (None, 8.44, 59.97, 185, 7800)] == [
        "-",
        "8.4 s",
        "1 min 00 s",
        "3 min 05 s",
        "2 h 10 min",
    ]
    assert [rates({"a": 0.005, "b": 0.005}), rates({"a": 0.02, "b": 1e-5})] == ["0.005", "1e-05 to 0.02"]
    assert [rates({"a": None, "b": 0.5}), rates({"a": None}), rates({})] == ["0.5", "-", "-"]
    assert [rate(None), rate(1e-5), score(None), score(47.84)] == ["-", "1e-05", "-", "47.8"]
