"""What is trained on and what is held out: budgets, repeated rows, odd line ends, memory."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tasks import portions
from tasks.interface import Budget, Example, TaskError, up_to
from tests.tasks.rows import SETS, write


def pairs(count: int) -> list[dict[str, Any]]:
    """Rows in magicoder's columns."""
    return [{"instruction": f"Do {n}.", "response": f"Done {n}."} for n in range(count)]


def magicoder(folder: Path, rows: Iterable[dict[str, Any]], **budget: int) -> portions.Portion:
    """These rows as that set."""
    write(folder / SETS["magicoder"].file, rows)
    return SETS["magicoder"].read(folder, Budget(**budget))


def numbers(examples: Iterable[Example]) -> list[int]:
    """Which rows of `pairs` these are."""
    return [int(example.response.removeprefix("\nDone ").removesuffix(".")) for example in examples]


@pytest.mark.parametrize(("count", "held"), [(3, 1), (9, 1), (40, 4), (999, 99), (1000, 100), (1300, 100)])
def test_the_first_rows_are_held_out(count: int, held: int, tmp_path: Path) -> None:
    portion = magicoder(tmp_path, pairs(count))
    assert numbers(portion.stream("validation")) == list(range(held))
    assert numbers(portion.stream("test")) == list(range(held, 2 * held))
    assert numbers(portion.stream("train")) == list(range(2 * held, count))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_file_too_short_for_three_splits(count: int, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"train.jsonl: .*expected at least 3 different ones"):
        magicoder(tmp_path, pairs(count))


def test_training_rows_equal_to_held_out_ones_are_dropped(tmp_path: Path) -> None:
    rows = pairs(40)
    repeated = [rows[0], rows[9], {**rows[5], "extra": 1}, rows[7], rows[20]]
    portion = magicoder(tmp_path, [*rows, *repeated])
    assert numbers(portion.stream("validation")) == [0, 1, 2, 3]
    assert numbers(portion.stream("train")) == [*range(8, 40), 9, 20]
    assert portion.notes == ("train.jsonl: 3 training rows equal to held-out ones left out",)
    with pytest.raises(TaskError, match="4 rows leave none to train on"):
        magicoder(tmp_path, [rows[0]] * 4)


@pytest.mark.parametrize("budget", [1, 7, 2000])
def test_a_budget_of_examples_takes_the_first(budget: int, tmp_path: Path) -> None:
    whole, some = magicoder(tmp_path, pairs(1500)), magicoder(tmp_path, pairs(1500), examples=budget)
    assert list(some.stream("train")) == list(whole.stream("train"))[:budget]
    assert some.held_out == whole.held_out


def test_a_budget_reads_no_further(tmp_path: Path) -> None:
    path = tmp_path / SETS["magicoder"].file
    rows = [json.dumps(row) for row in pairs(1500)]
    rows[207] = "{"
    path.parent.mkdir()
    path.write_text("\n".join(rows))
    portion = SETS["magicoder"].read(tmp_path, Budget(examples=7))
    assert numbers(portion.stream("train")) == list(range(200, 207))
    read = "".join(f"{row}\n" for row in rows[:207]).encode()
    assert portion.files == {path: hashlib.sha256(read).hexdigest()}
    assert portion.notes == ("train.jsonl: its first 207 lines were read, as the budget needs no more",)
    for budget in (Budget(examples=8), Budget()):
        with pytest.raises(TaskError, match=f"{path}:208: not JSON"):
            SETS["magicoder"].read(tmp_path, budget)


def test_a_budget_of_tokens_bounds_the_reading_and_leaves_the_counting(tmp_path: Path) -> None:
    write(tmp_path / "openwebmath/train.jsonl", ({"text": f"{n:07d} " * 100} for n in range(2000)))
    portion = SETS["openwebmath"].read(tmp_path, Budget(tokens=1000))
    train = list(portion.stream("train"))
    assert len(train) == 1000 * portions.BYTES_PER_TOKEN // 800 and portion.lines == 210
    kept = list(up_to(train, 500, lambda example: len(example.response.split())))
    assert len(kept) == 5 and kept == train[:5]
    assert list(up_to(train, 401, lambda example: 100)) == kept and list(up_to([], 5, len)) == []  # type: ignore[arg-type]


def test_training_rows_are_not_held_in_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "openwebmath/train.jsonl", ({"text": f"{n} " * 500} for n in range(4000)))
    size = path.stat().st_size
    tracemalloc.start()
    portion = SETS["openwebmath"].read(tmp_path, Budget())
    assert sum(1 for _ in portion.stream("train")) == 3800
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 9e6 and peak < size / 8


def test_rows_may_have_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    plain = magicoder(tmp_path, pairs(30))
    train = list(plain.stream("train"))
    path = tmp_path / SETS["magicoder"].file
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    odd = SETS["magicoder"].read(tmp_path, Budget())
    assert list(odd.stream("train")) == train and odd.held_out == plain.held_out
    assert odd.files != plain.files


def test_line_separators_within_a_text_do_not_end_its_row(tmp_path: Path) -> None:
    path = tmp_path / SETS["magicoder"].file
    rows = [{"instruction": f"{n}\u2028\u0085", "response": "é\r\n"} for n in range(5)]
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), newline="\n")
    train = list(SETS["magicoder"].read(tmp_path, Budget()).stream("train"))
    assert [example.turns[0][1] for example in train] == [f"{n}\u2028\u0085" for n in range(2, 5)]
