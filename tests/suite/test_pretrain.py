"""The recipe of the base: resumed training equals training in one go."""

from __future__ import annotations

import itertools
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from suite import pretrain

TINY = replace(
    pretrain.BaseRecipe(),
    steps=4,
    horizon=8,
    warmup=1,
    batch=2,
    length=16,
    hidden=16,
    layers=1,
    heads=2,
    intermediate=24,
)


@pytest.fixture(autouse=True)
def shipped_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(Path(str(files("tasks.pocket"))) / "base")
    monkeypatch.setattr(pretrain, "make_tokenizer", lambda seed: AutoTokenizer.from_pretrained(folder))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_stopped_training_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretrain.train(TINY, tmp_path / "whole", save_every=1)
    with monkeypatch.context() as patch:
        batches = pretrain.batches
        patch.setattr(
            pretrain, "batches", lambda *a: itertools.chain(itertools.islice(batches(*a), 2), _stop())
        )
        with pytest.raises(KeyboardInterrupt):
            pretrain.train(TINY, tmp_path / "parts", save_every=1)
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    pretrain.train(TINY, tmp_path / "parts", save_every=1)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def _stop():
    raise KeyboardInterrupt
    yield


def test_another_seed_is_another_base(tmp_path: Path) -> None:
    pretrain.train(TINY, tmp_path / "0")
    pretrain.train(replace(TINY, seed=1), tmp_path / "1")
    one, other = weights(tmp_path / "0"), weights(tmp_path / "1")
    assert not any(torch.equal(one[name], other[name]) for name in one if "norm" not in name)


def test_rate_warms_up_and_falls_along_its_cosine() -> None:
    recipe = pretrain.BaseRecipe()
    rates = [pretrain.rate(recipe, step) for step in range(recipe.horizon + 1)]
    assert rates[0] == pytest.approx(recipe.peak_rate / recipe.warmup)
    assert max(rates) == pytest.approx(recipe.peak_rate)
    assert rates[(recipe.warmup + recipe.horizon) // 2] == pytest.approx(recipe.peak_rate / 2)
    assert rates[-1] == pytest.approx(0)
