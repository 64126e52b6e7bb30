"""Counted memory against sums done by hand."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from suite.cost import LiveTensors, PeakMemory, Stopwatch, estimate_seconds, exported_bytes
from suite.jobs import TrainPack
from suite.plan import Request, resolve
from suite.record import Cost
from suite.store import Store
from suite.training.batches import order
from suite.training.memory import Work, needs
from suite.workshop import Workshop
from variants import registry

MEGA = torch.zeros(1).element_size() * 1024


def test_live_tensors_counts_what_lives_at_one_time() -> None:
    old = torch.zeros(1024)
    with LiveTensors() as live:
        a = old + 1
        b = a * 2
        del a
        c = b + 1
        del b, c
    assert live.peak == MEGA * 3  # old, and two at a time


def test_views_share_and_bystanders_do_not_count() -> None:
    old, bystander = torch.zeros(4, 256), torch.zeros(4096)
    with LiveTensors() as live:
        view = old[1:3].t()
        view.add_(1)
    assert live.peak == MEGA
    assert bystander.numel() == 4096


def test_a_sparse_tensor_counts_by_its_parts() -> None:
    at, values = torch.arange(1024)[None], torch.ones(1024)
    sparse = torch.sparse_coo_tensor(at, values, (2048,), check_invariants=False)
    with LiveTensors() as live:
        sparse.to_dense()
    assert live.peak == 2 * MEGA + MEGA + 2 * MEGA  # indices of 8 bytes, values, and the dense one


def test_backward_is_seen() -> None:
    weight = torch.zeros(1024, requires_grad=True)
    with LiveTensors() as live:
        (weight.sin() * 1.0).sum().backward()
    assert weight.grad is not None
    assert live.peak >= 3 * MEGA


def test_peak_memory_looks_at_the_steps_it_is_told_to() -> None:
    memory = PeakMemory(torch.device("cpu"))
    for look, size in ((False, 9000), (True, 1024), (True, 2048)):
        with memory.step(look):
            torch.zeros(size) + 1
    assert memory.bytes == 4 * MEGA
    assert memory.method == "live-tensors"


def test_stopwatch_sums_its_stretches() -> None:
    watch = Stopwatch()
    for _ in range(2):
        with watch.on():
            time.sleep(0.01)
    assert 0.02 <= watch.wall < 1
    assert watch.cpu <= watch.wall + 0.01


def test_estimate_is_six_operations_per_parameter_and_token() -> None:
    assert estimate_seconds(1_000_000, 5_000, "cpu") == 6e6 * 5e3 / 5e10


def test_no_memory_is_held_in_reserve_on_a_cpu() -> None:
    assert PeakMemory(torch.device("cpu")).reserved is None


def test_exported_bytes_leave_out_a_base(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    for name, size in (("one.safetensors", 7), ("two.safetensors", 11), ("base/x.safetensors", 100)):
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "adapter_config.json").write_text("{}")
    assert exported_bytes(tmp_path) == 18


@pytest.mark.parametrize(
    ("pack", "tokens", "wall", "speed"),
    [(1, 900, 3.0, 300.0), (None, 900, 3.0, 300.0), (2, 900, 3.0, None), (1, None, 3.0, None)],
)
def test_tokens_per_second_are_those_of_a_solo_run(
    pack: int | None, tokens: int | None, wall: float, speed: float | None
) -> None:
    assert Cost(pack=pack, tokens=tokens, train_wall_s=wall).tokens_per_s == speed


def test_a_solo_run_records_all_of_it(trained_store: Path) -> None:
    """An adapter, one on its own base, and a whole model: see the fixture."""
    found = {record.cell.variant.name: record for record in Store(trained_store).records()}
    for record in found.values():
        cost, kept = record.cost, trained_store / "adapters" / record.id
        assert cost is not None and cost.pack == 1 and cost.tokens_per_s is not None
        assert cost.start_s is not None and cost.start_s > 0 and cost.reserved_memory_bytes is None
        assert cost.adapter_bytes == sum(file.stat().st_size for file in kept.glob("*.safetensors")) > 0
        assert cost.flops is not None and 0 < cost.flops.tokens < (cost.tokens or 0)
        assert cost.latency is not None and cost.latency.merged is not None
        assert cost.latency.tokens > 100
    assert len({r.cost.flops.tokens for r in found.values() if r.cost and r.cost.flops}) == 1
    totals = {name: r.cost.flops.total for name, r in found.items() if r.cost and r.cost.flops}
    assert totals["lora"] == totals["loftq"] < totals["fullft"]


def test_a_pack_of_several_measures_nothing_of_the_pass(tiny_base: Path, tmp_path: Path) -> None:
    request = Request(
        **{"variants": "lora:rank=4", "tasks": "math", "model": str(tiny_base), "seeds": "0,1"},
        **{"steps": "2", "limit": "1", "device": "cpu"},
    )
    plan = resolve(request)
    shop = Workshop(plan.setup, 1, tmp_path)
    for found in TrainPack(tuple(plan.cells)).run(shop, lambda *_, **__: None):
        cost = found.cost
        assert found.status == "ok" and cost is not None and cost.pack == len(plan.cells) == 2
        measured = cost.model_dump()
        for name in ("flops", "peak_memory_bytes", "reserved_memory_bytes", "start_s", "latency"):
            assert measured[name] is None, name
        assert cost.tokens_per_s is None and cost.adapter_bytes


def test_the_recorded_operations_are_those_of_a_step_without_numbers(
    trained_store: Path, tiny_base: Path
) -> None:
    """The second batch of the cell's own order, on the model's shape alone."""
    plan = resolve(Request(variants="lora", tasks="math", model=str(tiny_base), device="cpu"))
    shop = Workshop(plan.setup, 1)
    shop.open("float32")
    for record in Store(trained_store).records():
        cell, recipe = record.cell, record.cell.how.recipe
        rows = shop.encoded(shop.task(cell, recipe), "train", recipe)
        batches = order(len(rows), recipe.batch_size, (cell.seeds["data"], cell.task.name))
        second = [next(batches), next(batches)][1]
        work = Work(recipe, recipe.max_length, tuple(rows[i] for i in second))
        variant = registry.build(cell.variant.name, cell.variant.settings)
        assert record.cost is not None
        assert record.cost.flops == needs(tiny_base, variant, work, "cpu").flops, cell.variant.name
