"""One stream of random numbers is varied while the others stay: data order, adapter start, drawn answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from suite.errors import UserError
from suite.jobs import TrainPack
from suite.plan import Request, resolve
from suite.record import Cell
from suite.words import seeds_line, title
from suite.workshop import Workshop


class Stop(Exception):
    """Training is about to begin."""


@pytest.fixture(scope="module")
def cells(tiny_base: Path) -> Any:
    """The plan's cells for some flags."""

    def find(**flags: Any) -> tuple[Cell, ...]:
        given = {
            "variants": "lora:rank=2",
            "tasks": "math",
            "model": str(tiny_base),
            "device": "cpu",
            **flags,
        }
        return resolve(Request(**given)).cells

    return find


def test_seeds_follow_the_cell_s_unless_they_are_given(cells: Any) -> None:
    (plain,), (data,), (adapter,) = (
        cells(seeds="3"),
        cells(seeds="3", data_seed="5"),
        cells(seeds="3", adapter_seed="0"),
    )
    assert plain.seeds == {"data": 3, "adapter": 3, "sampling": 0}
    assert data.seeds == {"data": 5, "adapter": 3, "sampling": 0}
    assert adapter.seeds == {"data": 3, "adapter": 0, "sampling": 0}
    assert len({plain.id, data.id, adapter.id}) == 3
    assert plain.model_copy(update={"data_seed": 5}) == data
    assert [seeds_line(one) for one in (plain, data, adapter)] == ["3", "3 (data 5)", "3 (adapter 0)"]
    assert title(data).endswith("seed 3, data seed 5")


def test_drawn_answers_have_a_seed_of_the_evaluation(cells: Any) -> None:
    (one,), (other,) = cells(samples="2"), cells(samples="2", sampling_seed="4")
    assert (one.seeds["sampling"], other.seeds["sampling"]) == (0, 4) and one.id != other.id
    assert seeds_line(other) == "0 (sampling 4)"
    with pytest.raises(UserError, match="--sampling-seed 4 needs --samples 2 or more"):
        cells(sampling_seed="4")


@pytest.mark.parametrize("flag", ["data_seed", "adapter_seed", "sampling_seed"])
def test_a_seed_is_a_whole_number(flag: str, cells: Any) -> None:
    named = flag.replace("_", "-")
    with pytest.raises(UserError, match=f"--{named} '-1': expected a whole number, 0 or more"):
        cells(samples="2", **{flag: "-1"})


def test_each_seed_moves_its_own_stream_alone(
    cells: Any, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = resolve(Request(variants="lora", tasks="math", model=str(tiny_base), device="cpu"))
    shop = Workshop(plan.setup, 1)
    begun: list[tuple[Any, torch.Tensor]] = []

    def look(model: Any, members: Any, *rest: Any) -> Iterator[Any]:
        (member,) = members
        params = [p.detach().flatten() for g in member.adapter.groups() for p in g.params.values()]
        begun.append((member.order_key, torch.cat(params).clone()))
        raise Stop

    monkeypatch.setattr("suite.training.train.train", look)
    for flags in (
        {"seeds": "0"},
        {"seeds": "0", "data_seed": "1"},
        {"seeds": "0", "adapter_seed": "1"},
        {"seeds": "1"},
    ):
        with pytest.raises(Stop):
            TrainPack(cells(**flags)).run(shop, lambda *told: None)
    (key, start), (data_key, data_start), (adapter_key, adapter_start), (other_key, other_start) = begun
    assert data_key == other_key != key == adapter_key
    assert torch.equal(data_start, start) and torch.equal(adapter_start, other_start)
    assert not torch.equal(adapter_start, start)
