"""`suite spectrum`: records from before get the ranks of their kept weights, and of no others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from suite.cli import app
from suite.provenance import commit
from suite.record import Record
from suite.spectra import fill
from suite.store import Store
from tests.example_records.make import LORA, cell, examples, imported, record


@pytest.fixture
def before(trained_store: Path, tmp_path: Path) -> Store:
    """The store of trained weights as a suite without ranks would have left it."""
    shutil.copytree(trained_store, tmp_path / "store")
    store = Store(tmp_path / "store")
    for one in store.records():
        store.write(without(one).model_copy(update={"notes": ["said before"]}))
    return store


def without(one: Record) -> Record:
    assert one.effect is not None
    return one.model_copy(update={"effect": one.effect.model_copy(update={"ranks": {}})})


def test_every_kind_of_kept_weights(before: Store, trained_store: Path, tiny_base: Path) -> None:
    told: list[tuple[int, int]] = []
    found = fill(before, before.path, str(tiny_base), on_record=lambda *at: told.append(at))
    assert len(found.written) == 3 and not (found.had or found.without or found.refused)
    assert told == [(0, 3), (1, 3), (2, 3)]
    for one in Store(trained_store).records():
        again = before.read(one.id)
        assert one.effect is not None and again.effect is not None
        assert list(again.effect.ranks) == list(one.effect.ranks) != []
        for name, rank in one.effect.ranks.items():
            now = again.effect.ranks[name]
            assert (now.numeric, now.ninety, now.full) == (rank.numeric, rank.ninety, rank.full)
            assert now.stable == pytest.approx(rank.stable, rel=1e-4)
        first, note = again.notes
        assert (
            first == "said before"
            and note.startswith("ranks computed from the kept weights")
            and str(commit() or "") in note
        )
        assert without(again).model_copy(update={"notes": one.notes}) == without(one)
    files = {path: path.read_bytes() for path in before.path.rglob("*.json")}
    assert fill(before, before.path, str(tiny_base)).had == sorted(found.written)
    assert {path: path.read_bytes() for path in before.path.rglob("*.json")} == files


def test_it_goes_on_where_it_was_stopped(before: Store, tiny_base: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(before, before.path, str(tiny_base), on_record=stop)
    found = fill(before, before.path, str(tiny_base))
    assert (len(found.had), len(found.written)) == (1, 2)


def test_weights_of_another_store_and_packed_records(before: Store, tiny_base: Path, tmp_path: Path) -> None:
    published = Store(tmp_path / "published")
    for one in before.records():
        published.write(one, packed=True)
    found = fill(published, before.path, str(tiny_base))
    assert len(found.written) == 3
    names = sorted(path.name for path in (published.path / "records").iterdir())
    assert names == [f"{name}.json.gz" for name in sorted(found.written)]
    assert not any(one.effect.ranks for one in before.records() if one.effect)


def test_other_records_are_left_as_they_are(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for one in (*examples(), imported("first", 0.5), record(cell(LORA, "sums", 9), effect=None)):
        store.write(one)
    files = {path.name: path.read_bytes() for path in (store.path / "records").iterdir()}
    found = fill(store, store.path)
    assert not (found.written or found.had or found.refused)
    assert found.without == [one.id for one in store.records() if one.effect] != []
    assert {path.name: path.read_bytes() for path in (store.path / "records").iterdir()} == files


def _forge(before: Store, one: Record) -> None:
    """Weights that are not those of the record any more."""
    file = next((before.path / "adapters" / one.id).glob("*.safetensors"))
    save_file({name: 1.5 * tensor for name, tensor in load_file(file).items()}, file)


def _inflate(before: Store, one: Record) -> None:
    """A norm that the weights do not have."""
    assert one.effect is not None
    name = next(iter(one.effect.delta_norms))
    norms = {**one.effect.delta_norms, name: 1.001 * one.effect.delta_norms[name]}
    before.write(one.model_copy(update={"effect": one.effect.model_copy(update={"delta_norms": norms})}))


def _invent(before: Store, one: Record) -> None:
    """A delta of a weight that the kept weights do not change."""
    assert one.effect is not None
    norms = {**one.effect.delta_norms, "model.norm.weight.of.nothing": 1.0}
    before.write(one.model_copy(update={"effect": one.effect.model_copy(update={"delta_norms": norms})}))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [(_forge, "are not those of record"), (_inflate, "and the record has"), (_invent, "no delta of model")],
)
def test_what_does_not_belong_together_is_refused(
    spoil: Any, why: str, before: Store, tiny_base: Path
) -> None:
    one = next(one for one in before.records() if one.cell.variant.name == "lora")
    spoil(before, one)
    found = fill(before, before.path, str(tiny_base))
    assert [name for name, _ in found.refused] == [one.id] and why in found.refused[0][1]
    effect = before.read(one.id).effect
    assert len(found.written) == 2 and effect is not None and effect.ranks == {}


def test_the_command(before: Store, tiny_base: Path) -> None:
    lora, other, third = before.records()
    shutil.rmtree(before.path / "adapters" / third.id)
    _forge(before, lora)
    args = ["spectrum", "--store", str(before.path), "--model", str(tiny_base)]
    told = CliRunner().invoke(app, args)
    assert told.exit_code == 1
    assert "1 records have ranks now, 0 had them" in told.stdout and other.id not in told.stdout
    assert f"1 records without weights in {before.path}/adapters: {third.id}" in told.stdout
    assert f"refused {lora.id}: the weights in" in told.stderr
    told = CliRunner().invoke(app, [*args[:3], "--model", "nowhere"])
    assert told.exit_code == 2 and told.stderr.startswith("error: no model folder 'nowhere'")


@pytest.mark.parametrize("name", ["spectrum", "prompts"])
def test_a_store_without_records_is_a_mistake(name: str, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, [name, "--store", str(tmp_path / "nowhere")])
    assert told.exit_code == 2 and told.stderr.startswith("error: no records in store ")
    assert not (tmp_path / "nowhere").exists()
