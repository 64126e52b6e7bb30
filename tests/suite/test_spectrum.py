"""Ranks of weight changes: against torch's and numpy's own, of adapters, and in a record that is verified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from suite import spectrum
from suite.effect import sizes
from suite.record import DeltaRank, Effect, Record
from suite.reproduction import differences
from suite.spectrum import Ranks, of_product, rank, singular_values
from tests.example_records.make import EFFECT, LORA, cell, record
from variants import parse

SHAPES = [(40, 40, 7), (200, 24, 24), (24, 200, 5), (1, 30, 1), (2500, 16, 3)]


def rows(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def of_rank(m: int, n: int, r: int) -> torch.Tensor:
    return rows(m, r) @ rows(r, n)


def made(**changes: Any) -> DeltaRank:
    return DeltaRank(**{"numeric": 16, "stable": 4.0, "ninety": 8, "full": 160, **changes})


@pytest.mark.parametrize(("m", "n", "r"), SHAPES)
def test_ranks_are_those_of_torch_and_numpy(m: int, n: int, r: int) -> None:
    delta = of_rank(m, n, r)
    values = torch.linalg.svdvals(delta.double())
    found = rank(delta)
    assert found is not None
    assert torch.allclose(singular_values(delta).flip(0), values, atol=1e-6 * float(values[0]))
    assert found.numeric == r == int(torch.linalg.matrix_rank(delta)) == np.linalg.matrix_rank(delta.numpy())
    assert found.stable == pytest.approx(float(delta.double().norm() ** 2 / values[0] ** 2), rel=1e-6)
    held = values.square().cumsum(0) / values.square().sum()
    assert found.ninety == int((held < 0.9).sum()) + 1 and found.full == min(m, n)


@pytest.mark.parametrize(
    ("values", "numeric", "ninety"),
    [
        ([3.0, 0.5, 0.5, 0.5], 4, 1),  # 9 of 9.75
        ([2.0, 1.0, 1.0, 0.5], 4, 3),  # 4, 5, 6 of 6.25
        ([1.0, 1.0, 1.0, 0.0], 3, 3),
        ([1.0, 1e-3, 1e-6, 1e-8], 3, 1),  # the limit is 1.2e-7 * 4 = 4.8e-7 of the largest
        ([1.0, 1e-3, 4e-7, 0.0], 2, 1),
        ([0.0, 0.0, 0.0, 0.0], 0, 0),
    ],
)
def test_known_spectra(values: list[float], numeric: int, ninety: int) -> None:
    turn = torch.linalg.qr(rows(4, 4).double()).Q
    found = rank(turn @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ turn.T)
    total, most = sum(v * v for v in values), max(values) ** 2
    assert found is not None and (found.numeric, found.ninety, found.full) == (numeric, ninety, 4)
    assert found.stable == pytest.approx(total / most if most else 0.0)


def test_a_stack_is_the_block_diagonal_matrix() -> None:
    stack = torch.stack([of_rank(6, 9, 2), 1e-9 * of_rank(6, 9, 3)])
    found, alone = rank(stack), rank(torch.block_diag(*(1e9**i * one for i, one in enumerate(stack))))
    assert found is not None and alone is not None
    assert found.numeric == 5 == alone.numeric and found.full == 12 == alone.full
    assert found.ninety == 2, "the second matrix holds nothing"


@pytest.mark.parametrize("bad", [torch.tensor([[1.0, float("nan")]]), torch.ones(5)])
def test_what_is_no_matrix_has_no_rank(bad: torch.Tensor) -> None:
    assert rank(bad) is None


def test_too_large_and_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, "LARGEST", 8)
    assert rank(rows(9, 9)) is None and rank(rows(90, 8)) is not None

    def full(delta: torch.Tensor) -> torch.Tensor:
        raise MemoryError

    monkeypatch.setattr(spectrum, "singular_values", full)
    assert rank(rows(8, 8)) is None

    def broken(delta: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("something else")

    monkeypatch.setattr(spectrum, "singular_values", broken)
    with pytest.raises(RuntimeError, match="something else"):
        rank(rows(8, 8))


@pytest.mark.parametrize(("m", "n", "r"), SHAPES)
def test_factors_have_the_values_of_their_product(m: int, n: int, r: int) -> None:
    A, B = rows(r, n), rows(m, r)
    found, whole = of_product(A, B, 0.5), torch.linalg.svdvals(0.5 * (B.double() @ A.double()))
    assert torch.allclose(found.flip(0), whole[: len(found)], atol=1e-9 * float(whole[0]))
    wide = of_product(rows(50, 6), rows(7, 50), 1.0)  # a rank above both sides
    assert wide.shape == (6,) and wide.min() > 0


def trained(model: Any, spec: str) -> Any:
    adapter = parse(spec).attach(model, 0)
    with torch.no_grad():
        for i, group in enumerate(adapter.groups()):
            for j, p in enumerate(group.params.values()):
                p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(9 * i + j)))
    return adapter


@pytest.mark.parametrize(
    ("spec", "least", "most"),
    [
        ("lora:rank=4", 4, 4),
        ("lora:rank=4,targets=all+embed_tokens", 4, 4),
        ("pissa:rank=4", 5, 8),
        ("vera:rank=4", 4, 4),
        ("fullft", 32, 64),
        ("dora:rank=4", 9, 64),
        ("loftq:rank=4", 9, 64),
    ],
)
def test_adapters_have_the_ranks_of_their_deltas(spec: str, least: int, most: int, make_model: Any) -> None:
    adapter = trained(make_model(), spec)
    norms, ranks = sizes(adapter)
    deltas = dict(adapter.deltas())
    assert list(ranks) == [name for name, delta in deltas.items() if delta.ndim == 2]
    assert norms.keys() == deltas.keys() and (len(ranks) < len(norms)) == (spec == "fullft")
    assert ("model.embed_tokens.weight" in ranks) == (spec == "fullft" or "embed" in spec)
    for name, one in ranks.items():
        whole = rank(deltas[name])
        assert whole is not None and least <= one.numeric <= most and one.full == whole.full
        assert (one.numeric, one.ninety) == (int(torch.linalg.matrix_rank(deltas[name])), whole.ninety)
        assert one.stable == pytest.approx(whole.stable, rel=1e-5)


def test_the_arithmetic_of_a_mixed_base_does_not_touch_them(make_model: Any) -> None:
    adapter = trained(make_model(), "lora:rank=4")
    with torch.autocast("cpu", torch.bfloat16):
        found = sizes(adapter)
    assert found == sizes(adapter)


def test_decomposing_ends_and_factors_are_always_told(make_model: Any) -> None:
    def ticks() -> Iterator[float]:
        yield from (10.0 * i for i in range(1000))

    for spec, expected in (("fullft", 3), ("lora:rank=4", 14)):
        adapter, clock = trained(make_model(), spec), ticks()
        ranks = Ranks(adapter, 25.0, lambda clock=clock: next(clock))
        for name, delta in adapter.deltas():
            if delta.ndim == 2:
                ranks.see(name, delta)
        assert len(ranks.found) == expected, "three times ten seconds are above 25"
        adapter.detach()


def with_ranks(**ranks: DeltaRank) -> Record:
    return record(cell(LORA, "sums", 0), effect=EFFECT.model_copy(update={"ranks": ranks}))


def test_a_record_from_before_reads_and_verifies() -> None:
    old = EFFECT.model_dump(mode="json")
    del old["ranks"]
    assert Effect.model_validate(old) == EFFECT and EFFECT.ranks == {}
    assert differences(with_ranks(), with_ranks(w=made())) == []
    assert differences(with_ranks(w=made()), with_ranks()) == []


@pytest.mark.parametrize(
    ("changes", "told", "within"),
    [
        ({}, [], True),
        ({"stable": 4.002}, [], True),  # of kept weights, in another order of sums
        ({"stable": 4.5}, ["stable"], True),
        ({"stable": 5.5}, ["stable"], False),
        ({"stable": float("nan")}, ["stable"], False),
        ({"numeric": 17}, ["numeric"], True),
        ({"numeric": 160}, ["numeric"], False),
        ({"ninety": 10}, ["ninety"], True),
        ({"ninety": 11}, ["ninety"], False),
        ({"full": 161}, ["full"], False),
    ],
)
def test_ranks_are_compared_where_both_have_them(
    changes: dict[str, Any], told: list[str], within: bool
) -> None:
    new = DeltaRank.model_construct(**{**made().model_dump(), **changes})
    found = differences(with_ranks(v=made(), w=made(), x=made()), with_ranks(v=made(), w=new))
    assert [one.fact for one in found] == [f"effect.ranks.{fact}: 1 of 2, such as w" for fact in told]
    assert all(one.within == within for one in found)
