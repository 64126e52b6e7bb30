"""Counted memory against sums done by hand."""

from __future__ import annotations

import time

import torch

from suite.cost import LiveTensors, PeakMemory, Stopwatch, estimate_seconds

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
