"""The loop: a pack equals its members alone, phases, divergence, running out of memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from suite.record import Recipe
from suite.training.batches import Encoded
from suite.training.train import Member, train
from variants import registry
from variants.route import routed

PAD = 0


def rows(seed: int = 0, count: int = 24) -> list[Encoded]:
    """Random rows of 6 to 25 tokens."""
    rng = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        n = int(torch.randint(6, 26, (), generator=rng))
        made.append(Encoded(tuple(torch.randint(3, 256, (n,), generator=rng).tolist()), 4))
    return made


def member(model: Any, spec: str, rate: float = 5e-3, seed: int = 0, steps: int = 6, data: int = 0) -> Member:
    adapter = registry.parse(spec).attach(model, seed)
    recipe = Recipe(steps=steps, batch_size=4, warmup=0.2)
    return Member(adapter, rows(data), recipe, rate, (seed, f"task {data}"))


def test_training_lowers_the_loss_and_leaves_the_base_alone(tiny_model: Any) -> None:
    tiny_model.lm_head.weight.data *= 20  # so that a change of hidden states shows in the logits
    before = {name: value.clone() for name, value in tiny_model.state_dict().items()}
    one = member(tiny_model, "lora:rank=4", rate=2e-2, steps=40)
    (found,) = train(tiny_model, [one], PAD)
    assert found.status == "ok" and found.error is None
    assert found.curve[-1].loss < found.curve[0].loss - 0.3
    assert [point.step for point in found.curve] == list(range(40))
    one.adapter.detach()
    assert all(torch.equal(before[name], value) for name, value in tiny_model.state_dict().items())


def test_twice_the_same_is_bit_equal(make_model: Any) -> None:
    runs = [train(model, [member(model, "pissa:rank=4")], PAD)[0] for model in (make_model(), make_model())]
    assert runs[0] == runs[1]
    assert runs[0].peak_memory_bytes is not None and runs[0].peak_memory_bytes > 0


def test_a_pack_equals_its_members_alone(make_model: Any) -> None:
    settings: list[dict[str, Any]] = [
        {"spec": "lora:rank=4", "rate": 5e-3, "seed": 0, "steps": 6, "data": 0},
        {"spec": "lori-s:rank=8", "rate": 2e-2, "seed": 1, "steps": 5, "data": 1},
        {"spec": "lora:rank=4", "rate": 1e-2, "seed": 2, "steps": 8, "data": 0},
    ]
    alone = []
    for setting in settings:
        model = make_model()
        alone.append((one := member(model, **setting), train(model, [one], PAD)[0]))
    model = make_model()
    pack = [member(model, **setting) for setting in settings]
    together = train(model, pack, PAD)
    for (solo, expected), packed, found in zip(alone, pack, together, strict=True):
        assert found.status == "ok" and found.tokens == expected.tokens
        losses = [[point.loss for point in run.curve] for run in (found, expected)]
        torch.testing.assert_close(torch.tensor(losses[0]), torch.tensor(losses[1]), rtol=1e-4, atol=1e-4)
        for (name, mine), (_, theirs) in zip(packed.adapter.deltas(), solo.adapter.deltas(), strict=True):
            assert (mine - theirs).norm() <= 1e-2 * theirs.norm(), name
    assert together[1].curve[-1].phase == 1
    assert together[0].peak_memory_bytes is None  # memory is measured alone


def test_the_loss_of_a_step_is_that_members_own_mean(tiny_model: Any) -> None:
    """Rows swapped between members would show here: each first loss is the base's on its own data."""
    from suite.training.batches import collate, order, row_mean, token_losses

    pack = [member(tiny_model, "lora:rank=4", seed=seed, data=seed, steps=1) for seed in (0, 1)]
    found = train(tiny_model, pack, PAD)
    for one, run in zip(pack, found, strict=True):
        first = [one.rows[i] for i in next(order(len(one.rows), 4, one.order_key))]
        batch = collate(first, PAD)
        with torch.no_grad():
            expected = float(row_mean(token_losses(tiny_model, batch), batch.labels))
        assert run.curve[0].loss == pytest.approx(expected, rel=1e-5)


def test_a_phase_enters_once_with_a_fresh_schedule(tiny_model: Any) -> None:
    one = member(tiny_model, "lori-s:rank=8", steps=5)
    (found,) = train(tiny_model, [one], PAD)
    assert [point.phase for point in found.curve] == [0] * 5 + [1] * 5
    assert [point.step for point in found.curve] == [*range(5), *range(5)]
    rates = [point.learning_rate for point in found.curve]
    assert rates[:5] == rates[5:]
    assert one.adapter.phase == 1


def test_a_member_that_runs_away_leaves_and_the_others_finish(make_model: Any) -> None:
    model = make_model()
    wild, calm = member(model, "lora:rank=4", rate=1e36), member(model, "lora:rank=4", seed=1)
    first, second = train(model, [wild, calm], PAD)
    assert first.status == "diverged"
    assert first.error is not None and "learning rate 1e+36" in first.error and "step" in first.error
    assert len(first.curve) < 6
    assert second.status == "ok"
    other = make_model()
    (alone,) = train(other, [member(other, "lora:rank=4", seed=1)], PAD)
    assert second.curve[-1].loss == pytest.approx(alone.curve[-1].loss, rel=1e-4)


def test_running_out_of_memory_is_a_status(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    one = member(tiny_model, "lora:rank=4")
    monkeypatch.setattr("suite.training.step.learn", full)
    (found,) = train(tiny_model, [one], PAD)
    assert found.status == "oom" and found.error == "out of memory at step 0 with one row at a time"


def test_another_error_is_not_swallowed(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("shape mismatch")

    one = member(tiny_model, "lora:rank=4")
    monkeypatch.setattr("suite.training.step.learn", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        train(tiny_model, [one], PAD)


def test_full_fine_tuning_trains_a_copy(tiny_model: Any, tokens: torch.Tensor) -> None:
    with torch.no_grad():
        before = tiny_model(tokens).logits
    one = member(tiny_model, "fullft", rate=1e-3)
    (found,) = train(tiny_model, [one], PAD)
    assert found.status == "ok"
    with torch.no_grad():
        assert torch.equal(tiny_model(tokens).logits, before)
        with routed(tiny_model, one.adapter):
            assert not torch.allclose(tiny_model(tokens).logits, before)


def test_adapters_stay_float32_on_a_bfloat16_base(make_model: Any) -> None:
    model = make_model().to(torch.bfloat16)
    one = member(model, "lora:rank=4", rate=2e-2)
    (found,) = train(model, [one], PAD)
    assert found.status == "ok"
    assert {p.dtype for group in one.adapter.groups() for p in group.params.values()} == {torch.float32}
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
