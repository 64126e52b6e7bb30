"""Fetching from a hub on this machine: rows as they are there, once, resumed, never over something else."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from suite.errors import UserError
from suite.hub import files as fetching
from suite.hub import manifest
from suite.hub import rows as hub_rows
from suite.hub.files import Extent
from tasks import catalogue
from tasks.catalogue import Source
from tests.suite.fake_hub import PUNKT, FakeHub, fetched, lines, made_up, serving

ROOT = Path(__file__).parent.parent.parent
PAIR = ("gsm8k/train.jsonl", "gsm8k/test.jsonl")
FORMS = (  # parquet, nested parquet, one JSON array, JSON lines, gzip
    *("gsm8k/train.jsonl", "arc_challenge/test.jsonl", "tulu3/train.jsonl", "codealpaca/train.jsonl"),
    *("magicoder/train.jsonl", "metamathqa/train.jsonl", "c4/validation.jsonl"),
)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with serving(monkeypatch, tmp_path) as fake:
        yield fake


@pytest.mark.parametrize("file", FORMS)
def test_rows_are_the_hubs_with_the_catalogues_columns(hub: FakeHub, tmp_path: Path, file: str) -> None:
    rows = hub.put(file, 250)
    found, _ = fetched(tmp_path / "data", file)
    assert lines(tmp_path / "data" / file) == rows
    entry, source = found.files[file], catalogue.find(file)
    assert isinstance(source, Source)
    data = (tmp_path / "data" / file).read_bytes()
    assert (entry.sha256, entry.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (entry.rows, entry.complete) == (250, True)
    assert (entry.source, entry.revision, entry.licence) == (source.dataset, source.revision, source.licence)
    assert (entry.config, entry.split, entry.columns) == (source.config, source.split, list(source.columns))
    assert manifest.verify(tmp_path / "data", [file]) == {file: entry.sha256}


def test_the_shards_of_a_split_follow_one_another(hub: FakeHub, tmp_path: Path) -> None:
    rows = hub.put("tulu3/train.jsonl", 30)
    files = hub.data_set("allenai/tulu-3-sft-mixture").files
    files["data/train-00001-of-00002.parquet"] = files["data/train-00000-of-00001.parquet"]
    files["data/validation-00000-of-00001.parquet"] = b"not read"
    fetched(tmp_path, "tulu3/train.jsonl")
    assert lines(tmp_path / "tulu3/train.jsonl") == rows + rows


def test_an_array_is_read_across_pieces(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_rows, "TEXT_PIECE", 7)
    rows = hub.put("codealpaca/train.jsonl", 20)
    fetched(tmp_path, "codealpaca/train.jsonl")
    assert lines(tmp_path / "codealpaca/train.jsonl") == rows


def test_text_of_every_kind_survives(hub: FakeHub, tmp_path: Path) -> None:
    odd = "\u2028 \x85 \r\n \x00 \U0001f600 \ud83d"
    hub.put("magicoder/train.jsonl", rows=[{"instruction": odd, "response": ""}])
    fetched(tmp_path, "magicoder/train.jsonl")
    assert lines(tmp_path / "magicoder/train.jsonl") == [{"instruction": odd, "response": ""}]


def test_what_splits_sentences_comes_from_nltks_index(hub: FakeHub, tmp_path: Path) -> None:
    hub.put("ifeval/train.jsonl")
    hub.put_punkt()
    found, _ = fetched(tmp_path, "ifeval/train.jsonl", *catalogue.SENTENCES)
    assert {name: (tmp_path / catalogue.PUNKT / name).read_bytes() for name in PUNKT} == PUNKT
    assert found.files[catalogue.SENTENCES[0]].source == "nltk:punkt_tab"
    assert [path for path, _ in hub.asked].count("/punkt_tab.zip") == 1


def test_a_package_that_differs_from_its_index_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.put_punkt()
    hub.pages["/punkt_tab.zip"] += b"x"
    with pytest.raises(UserError, match="checksum differs"):
        fetched(tmp_path, *catalogue.SENTENCES)


def test_a_budget_reads_no_further_than_it_must(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_rows, "TABLE_BLOCK", 2**12)
    file = "openwebmath/train.jsonl"
    noise = torch.randint(97, 122, (3000, 200), dtype=torch.uint8).numpy()
    rows = hub.put(file, rows=[{"text": row.tobytes().decode()} for row in noise])
    whole = sum(map(len, hub.data_set("open-web-math/open-web-math").files.values()))
    found, _ = fetched(tmp_path, file, wanted={file: Extent(rows=150)})
    assert lines(tmp_path / file) == rows[:150]
    assert (found.files[file].rows, found.files[file].complete) == (150, False)
    assert hub.sent < whole / 2


def test_more_rows_are_fetched_when_more_are_wanted_and_it_is_said(hub: FakeHub, tmp_path: Path) -> None:
    file = "magicoder/train.jsonl"
    rows = hub.put(file, 400)
    fetched(tmp_path, file, wanted={file: Extent(rows=100)})
    asked = len(hub.asked)
    assert fetched(tmp_path, file, wanted={file: Extent(rows=50)})[0].files[file].rows == 100
    assert len(hub.asked) == asked
    found, said = fetched(tmp_path, file, wanted={file: Extent(rows=200)})
    assert found.files[file].rows == 200
    assert f"{file} has 100 rows, too few; it is fetched again, with more" in said
    found, _ = fetched(tmp_path, file)
    assert (lines(tmp_path / file), found.files[file].complete) == (rows, True)
    found, _ = fetched(tmp_path, file, wanted={file: Extent(bytes=10**9)})
    assert found.files[file].complete


def test_general_text_is_a_sample(hub: FakeHub, tmp_path: Path) -> None:
    rows = hub.put("c4/validation.jsonl", 400)
    fetched(tmp_path, "c4/validation.jsonl")
    assert lines(tmp_path / "c4/validation.jsonl") == rows[:300]


def test_what_a_budget_means() -> None:
    assert Extent.of(64, None) == Extent(rows=64 + catalogue.RESERVE)
    assert Extent.of(None, None) == Extent()
    tokens = Extent.of(None, 10**6).bytes
    assert tokens is not None and tokens >= 12 * 10**6
    assert not Extent().met(10**9, 10**15)
    assert Extent(rows=5).met(5, 0) and not Extent(rows=5).met(4, 10**9)
    assert Extent(bytes=5).met(0, 5) and not Extent(bytes=5).met(10**9, 4)


def test_what_is_there_is_not_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    for file in PAIR:
        hub.put(file)
    first, _ = fetched(tmp_path, *PAIR)
    asked = len(hub.asked)
    again, said = fetched(tmp_path, *PAIR)
    assert (again, said, len(hub.asked)) == (first, [], asked)


def test_a_damaged_file_is_fetched_again_and_it_is_said(hub: FakeHub, tmp_path: Path) -> None:
    for file in PAIR:
        hub.put(file)
    fetched(tmp_path, *PAIR)
    whole = (tmp_path / PAIR[0]).read_bytes()
    (tmp_path / PAIR[0]).write_bytes(whole[:-2] + b"?\n")
    (tmp_path / PAIR[1]).unlink()
    with pytest.raises(UserError, match=r"gsm8k/train.jsonl is not what was fetched"):
        manifest.verify(tmp_path, PAIR)
    _, said = fetched(tmp_path, *PAIR)
    assert said[:2] == [
        "gsm8k/train.jsonl is not what was fetched (SHA-256 differs) and is fetched again",
        "gsm8k/test.jsonl is gone and is fetched again",
    ]
    assert (tmp_path / PAIR[0]).read_bytes() == whole


def test_a_file_that_no_manifest_knows_is_not_overwritten(hub: FakeHub, tmp_path: Path) -> None:
    hub.put(PAIR[0])
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / PAIR[0]).write_text("mine")
    with pytest.raises(UserError, match=r"is in no manifest.json and would be overwritten"):
        fetched(tmp_path, PAIR[0])
    assert (tmp_path / PAIR[0]).read_text() == "mine"


def test_another_revision_is_not_mixed_in(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put(PAIR[0])
    fetched(tmp_path, PAIR[0])
    monkeypatch.setitem(catalogue.PINS, "openai/gsm8k", "b" * 40)
    with pytest.raises(UserError, match=r"openai/gsm8k at 740312add88f, and bbbbbbbbbbbb is asked for"):
        fetched(tmp_path, PAIR[0])


def test_without_a_pin_one_commit_serves_all_files_of_a_data_set(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(catalogue.PINS, "openai/gsm8k", None)
    for file in PAIR:
        hub.put(file)
    repository = hub.data_set("openai/gsm8k")
    first, _ = fetched(tmp_path, PAIR[0])
    assert first.files[PAIR[0]].revision == repository.commit
    repository.commit = "c" * 40
    with pytest.raises(UserError, match=rf"has no revision '{'a' * 40}'"):
        fetched(tmp_path, PAIR[1])


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        ("gated", "is gated: accept its terms at https://huggingface.co/datasets/openai/gsm8k, then log in"),
        ("gone", "data set 'openai/gsm8k' is not on the hub, or not for everyone"),
        ("commit", "has no revision '740312add88f781978c0658806c59bc2815b9866'"),
        ("files", "has no main/train-[*].parquet at 740312ad; it was changed"),
        ("columns", "a row has no column 'answer'"),
        ("form", "file main/train-00000-of-00001.parquet at 740312ad cannot be read"),
        ("rows", "the hub's split has no rows"),
    ],
)
def test_trouble_with_a_data_set_is_one_line(hub: FakeHub, tmp_path: Path, break_it: str, told: str) -> None:
    hub.put(PAIR[0], rows=[{"question": "q"}] if break_it == "columns" else None)
    repository, path = hub.data_set("openai/gsm8k"), "main/train-00000-of-00001.parquet"
    match break_it:
        case "gated":
            repository.gated = True
        case "gone":
            hub.repositories.clear()
        case "commit":
            repository.commit = "d" * 40
        case "files":
            repository.files.clear()
        case "form":
            repository.files[path] = b"PAR1 no parquet at all"
        case "rows":
            hub.put("magicoder/train.jsonl", 0)
    file = "magicoder/train.jsonl" if break_it == "rows" else PAIR[0]
    with pytest.raises(UserError, match=told) as caught:
        fetched(tmp_path, file)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_no_network_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="the network cannot be reached"):
        fetched(tmp_path, PAIR[0])


def test_a_full_disk_is_one_line(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.put(PAIR[0])
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 5))  # type: ignore[attr-defined]
        with pytest.raises(UserError, match="are to come and 5 bytes are free"):
            fetched(tmp_path, PAIR[0])

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetching.os, "fsync", full)
    with pytest.raises(UserError, match="the disk is full; make room"):
        fetched(tmp_path, PAIR[0])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_two_fetches_do_not_write_one_folder(hub: FakeHub, tmp_path: Path) -> None:
    hub.put(PAIR[0])
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(UserError, match="another suite fetch is writing there"):
        fetched(tmp_path, PAIR[0])
    os.close(handle)
    fetched(tmp_path, PAIR[0])


@pytest.mark.hub
def test_the_real_hub_has_what_the_catalogue_says(tmp_path: Path) -> None:
    """A few rows of every data set (gated ones left out) and a tiny model, from the real hub."""
    files = [file for file in catalogue.FILES if not file.startswith("starcoder/")]
    few = {file: Extent(rows=3) for file in files}
    model = "hf-internal-testing/tiny-random-LlamaForCausalLM"
    found, _ = fetched(tmp_path, *files, wanted=few, model=model)
    assert set(files) <= set(found.files)
    manifest.verify(tmp_path, files)
    assert manifest.model_folder(tmp_path, model) is not None


def test_made_up_rows_have_the_columns() -> None:
    for source in catalogue.FILES.values():
        if isinstance(source, Source):
            assert set(made_up(source, 1)[0]) == set(source.columns)
