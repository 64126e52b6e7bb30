"""`suite submit --check` of a folder: a store of records that is offered for publication."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from suite import badge, prompts, submitted_records
from suite.cli import app
from suite.record import Item, Record, Scores, Search
from suite.store import Store, StoreError
from tests.example_records.make import LORA, cell, imported, record, stopped

PUBLISHED = Path(__file__).parents[2] / "leaderboard" / "published"
RATES = [0.001, 0.002, 0.004]
SEEDS = (0, 1)


def told(*words: str) -> tuple[int, str]:
    """Exit code and everything that `suite submit` prints."""
    result = CliRunner().invoke(app, ["submit", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def trial(rate: float, seed: int, loss: float, read: bool = False) -> Record:
    """One cell of a search; the test split is read only where `read`."""
    one = cell(LORA, "sums", seed, learning_rate=rate)
    found = clean(record(one)).model_copy(
        update={"search": Search(method="grid", rates=RATES, default=0.002, role="trial")}
    )
    assert found.before and found.after
    validation = {"target": {}, "general": {}, "bits_per_byte": None, "log_loss": {"validation": loss}}
    if read:
        after = found.after.model_copy(update={"log_loss": {"validation": loss, "test": loss}})
        return found.model_copy(update={"after": after})
    update = {"measured": "validation", "before": Scores(**validation), "after": Scores(**validation)}
    return found.model_copy(update=update)


def clean(one: Record, **changes: Any) -> Record:
    """The record as if made by a commit without changes."""
    return one.model_copy(
        update={"provenance": one.provenance.model_copy(update={"dirty": False, **changes})}
    )


def search() -> list[Record]:
    """A whole search: 0.004 won on validation, 0.002 is the documented rate; both were read on test."""
    losses = {0.001: 0.9, 0.002: 0.7, 0.004: 0.5}
    return [trial(rate, seed, loss, rate > 0.001) for rate, loss in losses.items() for seed in SEEDS]


def offered(
    folder: Path, records: list[Record], says: str | None = "badge: community\nby: A name\n"
) -> list[str]:
    """The faults of a store with these records."""
    for one in records:
        Store(folder).write(one, packed=True)
    if says is not None:
        (folder / "store.yaml").write_text(says)
    return submitted_records.faults(folder)[0]


def test_published_records_and_a_whole_search_are_fit(tmp_path: Path) -> None:
    code, output = told("--check", str(PUBLISHED / "pocket"))
    assert (code, output.count("\n")) == (0, 1) and "fit; 378 records, 66 of them read on test" in output
    assert offered(tmp_path, search()) == []
    assert offered(tmp_path / "untuned", [clean(record(cell(LORA, "sums", 0)))]) == []
    ran_out = clean(stopped(cell(LORA, "sums", 0), "oom", "2 GiB asked"))
    assert offered(tmp_path / "oom", [ran_out]) == []


def _changed(one: Record, **changes: Any) -> Record:
    """Another value in the first target score after training."""
    assert one.after
    name, score = next(iter(one.after.target.items()))
    after = one.after.model_copy(update={"target": {name: score.model_copy(update=changes)}})
    return one.model_copy(update={"after": after})


ITEMS = [Item(id=str(i), correct=float(i < 2), response="4") for i in range(4)]
BEFORE_TEST = Scores(target={}, general={}, log_loss={"validation": 1.0, "test": 1.0}, bits_per_byte=None)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda one: _changed(one, items=[]), "after training, sums_test: 0 outcomes of 4 items"),
        (lambda one: _changed(one, items=ITEMS[:3]), "3 outcomes of 4 items"),
        (lambda one: _changed(one, items=[*ITEMS[:3], ITEMS[0]]), "names an item twice"),
        (
            lambda one: _changed(one, items=[*ITEMS[:3], Item(id="3", correct=None, response="4")]),
            "1 items have no outcome",
        ),
        (lambda one: _changed(one, value=0.75), "of 0.75 is no mean of its items' outcomes"),
        (lambda one: _changed(one, value=float("nan")), "after.target.sums_test.value: nan"),
        (
            lambda one: _changed(one, items=[*ITEMS[:3], Item(id="3", correct=0.0)]),
            "some items have their answer",
        ),
        (lambda one: clean(one, dirty=True), "was not made by clean code"),
        (lambda one: clean(one, dirty=None), "was not made by clean code"),
        (lambda one: clean(one, commit=None), "names no commit of the suite (None)"),
        (lambda one: clean(one, commit="HEAD"), "names no commit of the suite ('HEAD')"),
        (lambda one: one.model_copy(update={"before": None}), "ended ok without scores before and after"),
        (lambda one: clean(stopped(one.cell, "failed", "it broke")), "ended as failed (it broke)"),
    ],
)
def test_a_record_that_is_not_taken(change: Callable[[Record], Record], why: str, tmp_path: Path) -> None:
    good = clean(record(cell(LORA, "sums", 0)))
    (fault,) = offered(tmp_path, [change(good), clean(record(cell(LORA, "sums", 1)))])
    assert fault.startswith(f"{tmp_path}/records/{good.id}.json.gz: ") and why in fault
    assert told("--check", str(tmp_path)) == (1, f"{fault}\n")


def test_a_trial_that_read_the_test_split(tmp_path: Path) -> None:
    first, *others = search()
    assert first.measured == "validation"
    (fault,) = offered(tmp_path / "loss", [first.model_copy(update={"after": BEFORE_TEST}), *others])
    assert "is a trial, and after training a loss beside validation's was measured" in fault
    scored = record(first.cell).after
    (fault,) = offered(tmp_path / "scored", [first.model_copy(update={"after": scored}), *others])
    assert "is a trial, and after training sums_test was scored" in fault
    (fault,) = offered(tmp_path / "best", [trial(0.001, 0, 0.9, read=True), *others])
    assert "test was read for rate 0.001 with seed 0; on validation 0.004 won" in fault


def test_a_search_of_which_something_was_left_out(tmp_path: Path) -> None:
    (fault,) = offered(tmp_path / "trial", search()[1:])
    assert "synthetic-lora on sums: 1 trials are missing, the first is rate 0.001 with seed 0" in fault
    unread = [*search()[:-1], trial(0.004, 1, 0.5)]
    (fault,) = offered(tmp_path / "winner", unread)
    assert "the winner was not read on test: rate 0.004 with seed 1" in fault


def test_the_seeds_of_a_shipped_tracks_protocol(tmp_path: Path) -> None:
    from suite import track

    label = track.load("pocket").label
    moved = []
    for one in search():
        there = one.cell.model_copy(update={"track": label})
        moved.append(one.model_copy(update={"cell": there, "id": there.id}))
    (fault,) = offered(tmp_path, moved)
    assert "the track's protocol has seed 2, and no record of it is there" in fault


def test_two_recipes_on_one_board(tmp_path: Path) -> None:
    one = record(cell(LORA, "sums", 0))
    recipe = one.cell.how.recipe.model_copy(update={"steps": 7})
    (fault,) = offered(tmp_path, [clean(one), clean(record(cell(LORA, "sums", 1, recipe=recipe)))])
    assert fault.startswith(f"{tmp_path}: ") and "cannot be compared: steps" in fault


def test_files_that_are_no_records(tmp_path: Path) -> None:
    good = clean(record(cell(LORA, "sums", 0)))
    assert offered(tmp_path, [good]) == []
    inner = tmp_path / "records"
    packed = (inner / f"{good.id}.json.gz").read_bytes()
    (inner / "0123456789abcdef.json").write_text('{"schema_version": 3}')
    (fault,) = offered(tmp_path, [])
    assert "0123456789abcdef.json: a record of schema 3, this version reads 4" in fault
    (inner / "0123456789abcdef.json").unlink()
    (inner / "0123456789abcdef.json.gz").write_bytes(packed)
    (fault,) = offered(tmp_path, [])
    assert f"holds the record {good.id} of the cell {good.id}; all three should agree" in fault
    (inner / "0123456789abcdef.json.gz").unlink()
    (inner / "notes.txt").write_text("")
    assert "notes.txt: is no record" in offered(tmp_path, [])[0]
    (inner / "notes.txt").unlink()
    (inner / f"{good.id}.json").write_text("{}")
    assert len(offered(tmp_path, [])) == 2, "the plain one is no record, and the packed one lies beside it"
    assert "cannot be listed" in submitted_records.faults(tmp_path / "nowhere")[0][1]
    (tmp_path / "empty" / "records").mkdir(parents=True)
    assert "holds no record" in offered(tmp_path / "empty", [])[0]


def test_prompts_beside_the_records_are_those_that_were_shown(tmp_path: Path) -> None:
    right = prompts.Prompts(evaluation="sums_test", digest=prompts.digest_of(["1+1="]), prompts={"0": "1+1="})
    file = prompts.write(tmp_path, right)
    assert offered(tmp_path, [clean(record(cell(LORA, "sums", 0)))]) == []
    file.write_text(file.read_text().replace("1+1=", "1+2="))
    (fault,) = offered(tmp_path, [])
    assert fault.startswith(f"{file}: ") and "was it edited or renamed?" in fault
    file.rename(file.with_name("README.md"))
    assert "README.md: holds no prompts" in offered(tmp_path, [])[0]


def test_results_of_others_are_for_maintainers(tmp_path: Path) -> None:
    assert offered(tmp_path, [imported("first", 0.5)]) == [
        f"{tmp_path}: holds results of others; maintainers import those (suite import-peft)"
    ]
    assert offered(tmp_path, [], "badge: verified\nby: us\n") == []


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (None, "store.yaml: is missing; write `badge: community`"),
        ("badge: best\nby: me\n", "store.yaml: badge: Input should be 'verified' or 'community'"),
        ("badge: community\n", "store.yaml: by: Field required"),
        ("badge: community\nby: ''\n", "store.yaml: by: String should have at least 1 character"),
        ("badge: community\nby: me\nhost: here\n", "store.yaml: host: Extra inputs are not permitted"),
        ("[", "store.yaml: while parsing"),
        ("x" * 5000, "store.yaml: has more than 4096 bytes"),
    ],
)
def test_a_store_says_who_made_it(says: str | None, why: str, tmp_path: Path) -> None:
    (fault,) = offered(tmp_path, [clean(record(cell(LORA, "sums", 0)))], says)
    assert why in fault and fault.count("\n") == 0


def test_a_badge_is_read_and_never_guessed(tmp_path: Path) -> None:
    assert badge.read(tmp_path) is None
    found = badge.read(PUBLISHED / "pocket")
    assert found is not None and found.badge == "verified" and found.by
    (tmp_path / "store.yaml").mkdir()
    with pytest.raises(StoreError, match=r"store\.yaml: cannot be read"):
        badge.read(tmp_path)


def test_every_published_store_has_a_badge() -> None:
    folders = [folder.parent for folder in PUBLISHED.glob("*/records")]
    assert folders and all(badge.read(folder) for folder in folders)
