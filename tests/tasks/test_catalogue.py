"""The table of data sets: complete, pinned, and of the columns that the tasks read."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase

import pytest

from tasks import catalogue, evaluations, general, registry
from tasks.catalogue import FILES, PINS, Package, Source
from tasks.interface import TaskError
from tasks.registry import _DOMAINS as DOMAINS
from tests.needs import real_data

SETS = (
    *("gsm8k", "metamathqa", "openwebmath", "codealpaca", "magicoder", "starcoder", "alpaca", "tulu3"),
    *("humaneval", "mbpp", "ifeval", "hellaswag", "winogrande", "arc_challenge", "arc_easy", "c4", "wiki"),
)


def test_every_set_is_there() -> None:
    assert {file.split("/")[0] for file in FILES} >= {*SETS, "nltk_data"}
    assert {*general.FILES.values(), *general.TEXT} <= set(FILES)


def test_pins_are_whole_commits() -> None:
    used = {source.dataset for source in FILES.values() if isinstance(source, Source)}
    assert used == set(PINS)
    assert [
        name for name, pin in PINS.items() if pin is not None and not re.fullmatch("[0-9a-f]{40}", pin)
    ] == []


@pytest.mark.parametrize("file", [file for file, source in FILES.items() if isinstance(source, Source)])
def test_a_file_says_all_of_itself(file: str) -> None:
    source = catalogue.find(file)
    assert isinstance(source, Source)
    assert source.licence and source.columns and source.dataset.count("/") == 1
    assert file.endswith(".jsonl") and len(set(source.columns)) == len(source.columns)
    name = source.pattern.replace("*", "00000-of-00001")
    assert fnmatchcase(name, source.pattern)


def test_general_text_is_bounded_and_evaluations_are_whole() -> None:
    bounded = {file for file, source in FILES.items() if isinstance(source, Source) and source.rows}
    assert bounded == set(general.TEXT)
    large = {file for file, source in FILES.items() if isinstance(source, Source) and source.large}
    assert large == {
        f"{name}/train.jsonl" for name in ("metamathqa", "openwebmath", "magicoder", "starcoder", "tulu3")
    }


def test_whatever_a_task_reads_is_there_with_its_columns() -> None:
    read = {file: set(general.COLUMNS[skill]) for skill, file in general.FILES.items()}
    for evaluation in evaluations.STOCK.values():
        read |= {file: set(evaluation.columns) for file in evaluation.rows}
        assert set(evaluation.files) <= set(FILES)
    for name in registry.names():
        for training in DOMAINS[name].sets:
            read |= {file: set(training.form.columns) for file in training.files}
    assert len(read) >= 18
    for file, columns in read.items():
        source = catalogue.find(file)
        assert isinstance(source, Source)
        assert {column.partition(".")[0] for column in columns} <= set(source.columns), file


def test_ifevals_sentence_splitters_are_packages() -> None:
    assert catalogue.SENTENCES == evaluations.PUNKT
    assert all(isinstance(FILES[file], Package) for file in catalogue.SENTENCES)


def test_an_unknown_file_is_told_with_the_nearest() -> None:
    with pytest.raises(TaskError, match=r"'gsm8k/trian.jsonl'; did you mean 'gsm8k/train.jsonl'"):
        catalogue.find("gsm8k/trian.jsonl")


def test_the_columns_are_those_of_the_real_files() -> None:
    """Where the folder of real data has a file, its columns are among the catalogue's."""
    data = real_data()
    seen = 0
    for file, source in FILES.items():
        if isinstance(source, Source) and (data / file).is_file():
            with (data / file).open(encoding="utf-8") as stream:
                row = json.loads(stream.readline())
            assert set(row) <= set(source.columns), file
            seen += 1
    assert seen >= 10
    assert all((data / file).is_file() for file in catalogue.SENTENCES)
