"""Counted operations against closed forms, against torch's own counter, and against a run without numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, Qwen3MoeConfig

from suite.flops import ADDED, Products
from suite.kernels import checkpointing
from suite.record import Recipe, StepFlops
from suite.training import train as loop
from suite.training.encode import Encoded
from suite.training.memory import Work, needs
from suite.training.train import Member, Training, train
from tests.conftest import TINY
from variants import registry
from variants.product import linear

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

ROWS, LENGTH, FIRST, RANK = 4, 24, 6, 4
TOKENS, LABELS = ROWS * LENGTH, ROWS * (LENGTH - FIRST)
MOE = Qwen3MoeConfig(
    vocab_size=300,
    hidden_size=64,
    intermediate_size=128,
    moe_intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=32,
    num_experts=4,
    num_experts_per_tok=2,
    pad_token_id=0,
)


def trained(
    model: Any, spec: str, steps: int = 3, rows: int = ROWS, members: int = 1, **how: Any
) -> Training:
    """Training on rows of one length, so that every step has the same operations."""
    examples = [Encoded(tuple(range(3, 3 + LENGTH)), FIRST)] * rows
    recipe = Recipe(steps=steps, batch_size=rows)
    adapters = [registry.parse(spec).attach(model, seed) for seed in range(members)]
    pack = [Member(adapter, examples, recipe, 1e-3, ("rows",)) for adapter in adapters]
    found = train(model, pack, 0, **how)
    for adapter in adapters:
        adapter.detach()
    return found[0]


def counted(model: Any, spec: str, **how: Any) -> StepFlops:
    """The operations of a step."""
    found = trained(model, spec, **how).flops
    assert found is not None and found.tokens == TOKENS
    return found


@pytest.mark.parametrize(("x_trains", "w_trains"), [(True, True), (True, False), (False, True)])
def test_one_layer(x_trains: bool, w_trains: bool) -> None:
    layer, x = nn.Linear(7, 5, bias=False), torch.ones(11, 7, requires_grad=x_trains)
    layer.requires_grad_(w_trains)
    with Products() as products:
        layer(x).sum().backward()
    one = 2 * 11 * 7 * 5
    assert (products.forward, products.backward) == (one, one * (x_trains + w_trains))


def test_a_low_rank_layer_of_the_paper() -> None:
    """LoRA Without Regret: N^2 multiplications a token, so 3N^2 for the weight's own training, 2N^2 + 6NR."""
    N, R, tokens = 32, 4, 10
    x, A, B = torch.ones(tokens, N), torch.ones(R, N), torch.ones(N, R)
    for leaf in (x, A, B):
        leaf.requires_grad_()
    with Products() as low:
        linear(x, torch.ones(N, N), None, A, B, 0.5).sum().backward()
    assert low.forward == 2 * tokens * (N * N + 2 * N * R)
    assert low.backward == 2 * tokens * (N * N + 4 * N * R)
    full = nn.Linear(N, N, bias=False)
    with Products() as dense:
        full(x).sum().backward()
    ratio = (low.forward + low.backward) / (dense.forward + dense.backward)
    assert ratio == pytest.approx((2 * N * N + 6 * N * R) / (3 * N * N), rel=1e-12)


def by_hand(rank: int | None) -> tuple[int, int]:
    """(forward, backward) of a step of the tests' Llama: FullFT (None), or LoRA on its linear layers."""
    d, wide, blocks = TINY["hidden_size"], TINY["intermediate_size"], TINY["num_hidden_layers"]
    narrow = d // TINY["num_attention_heads"] * TINY["num_key_value_heads"]
    sides = {"q": (d, d), "k": (d, narrow), "v": (d, narrow), "o": (d, d)}
    sides |= {"gate": (d, wide), "up": (d, wide), "down": (wide, d)}
    scores = 2 * ROWS * LENGTH * LENGTH * d  # all heads together are as wide as the model
    head = 2 * LABELS * d * TINY["vocab_size"]
    forward, backward = head + blocks * 2 * scores, head + blocks * 5 * scores
    if rank is None:
        backward += head
    for block in range(blocks):
        for name, (i, o) in sides.items():
            weight, low = 2 * TOKENS * i * o, 0 if rank is None else 2 * TOKENS * rank
            forward += weight + low * (i + o)
            backward += low * (i + 2 * o) + (weight if rank is None else 0)
            if rank is None or block or name not in "qkv":  # nothing before LoRA's first layers trains
                backward += weight + low * i
    return forward, backward


@pytest.mark.parametrize(("spec", "rank"), [("fullft", None), (f"lora:rank={RANK}", RANK)])
def test_a_step_of_a_llama_by_hand(spec: str, rank: int | None, tiny_model: Any) -> None:
    found = counted(tiny_model, spec)
    assert (found.forward, found.backward) == by_hand(rank)
    assert found.total == sum(by_hand(rank)) and found.per_token == sum(by_hand(rank)) / TOKENS


def test_a_step_counts_the_same_again_and_with_more_phases(make_model: Any) -> None:
    twice = [counted(make_model(), f"lori-s:rank={RANK}") for _ in range(2)]
    assert twice[0] == twice[1] == counted(make_model(), f"lori-s:rank={RANK}", steps=2)


def test_one_step_of_the_first_phase_is_counted(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(loop, "Products", lambda: made.append(Products()) or made[-1])
    assert len(trained(tiny_model, f"lori-s:rank={RANK}").curve) == 6 and len(made) == 1


def raw(formula: Any) -> Any:
    """A formula that torch's counter gives tensors, as it does its own."""

    def found(*args: Any, **kwargs: Any) -> int:
        return formula(*args, **kwargs)

    found.__dict__["_get_raw"] = True
    return found


@pytest.mark.parametrize("spec", ["lora:rank=4", "dora:rank=4", "qlora:rank=4", "fullft"])
def test_torchs_counter_counts_the_same(spec: str, tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = counted(tiny_model, spec)
    real, totals, added = loop.gradients, [], {op: raw(formula) for op, formula in ADDED.items()}

    def watched(*args: Any) -> Any:
        with FlopCounterMode(display=False, custom_mapping=added) as counter:
            found = real(*args)
        totals.append(counter.get_total_flops())
        return found

    monkeypatch.setattr(loop, "gradients", watched)
    trained(tiny_model, spec)
    assert totals[1] == ours.total


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        *(
            ("llama", spec)
            for spec in ("lora:rank=4", "pissa:rank=4", "loftq:rank=4", "dora:rank=4", "fullft")
        ),
        *(("moe", spec) for spec in ("lora:rank=4", "fullft")),
    ],
)
def test_without_numbers_it_is_the_same_count(name: str, spec: str, make_model: Any, tmp_path: Path) -> None:
    model = make_model() if name == "llama" else AutoModelForCausalLM.from_config(MOE).eval()
    model.requires_grad_(False).config.save_pretrained(tmp_path)
    rows = (Encoded(tuple(range(3, 3 + LENGTH)), FIRST),) * ROWS
    said = needs(tmp_path, registry.parse(spec), Work(Recipe(steps=2, batch_size=ROWS), LENGTH, rows), "cpu")
    assert said.flops == counted(model, spec)


def test_grouped_products_are_those_of_their_groups() -> None:
    a, b = torch.randn(6, 16, requires_grad=True), torch.randn(3, 16, 32, requires_grad=True)
    stops = [1, 4, 6]
    with Products() as grouped:
        torch._grouped_mm(a, b, torch.tensor(stops, dtype=torch.int32)).square().sum().backward()
    with Products() as apart:
        parts = [a[i:j] @ b[k] for k, (i, j) in enumerate(zip([0, *stops], stops, strict=False))]
        torch.cat(parts).square().sum().backward()
    assert (grouped.forward, grouped.backward) == (apart.forward, apart.backward) == (6144, 12288)


def test_what_is_computed_again_counts_in_the_backward(make_model: Any) -> None:
    kept, model = counted(make_model(), "lora:rank=4"), make_model()
    with checkpointing(model, True):
        again = counted(model, "lora:rank=4")
    head = 2 * LABELS * TINY["hidden_size"] * TINY["vocab_size"]
    assert again.forward == kept.forward
    assert 0.9 * (kept.forward - head) <= again.backward - kept.backward <= kept.forward - head


def test_a_step_that_is_tried_again_counts_once(make_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    halved = counted(make_model(), "lora:rank=4", micro_batch=ROWS // 2)
    real, calls = loop.gradients, []

    def full(model: Any, parts: Any, pad: int, device: Any, size: int | None) -> list[float]:
        calls.append(size)
        found = real(model, parts, pad, device, size)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return found

    monkeypatch.setattr(loop, "gradients", full)
    assert counted(make_model(), "lora:rank=4") == halved
    assert calls[:3] == [None, None, ROWS // 2]


def test_counting_changes_nothing(make_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The losses are bit-equal, and the peak of memory is the same to the byte."""
    for spec in ("lora:rank=4", "loftq:rank=4", "fullft"):
        found = trained(make_model(), spec)
        with monkeypatch.context() as without:
            without.setattr(loop, "Products", lambda: None)
            plain = trained(make_model(), spec)
        assert found.flops is not None and plain.flops is None
        assert (found.curve, found.peak_memory_bytes) == (plain.curve, plain.peak_memory_bytes)


def test_a_pack_of_several_counts_nothing(tiny_model: Any) -> None:
    assert trained(tiny_model, "lora:rank=4", members=2).flops is None
