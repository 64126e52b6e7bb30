"""The planted faults: each does what it says, and leaves the code as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.planted import NAMED, Fault
from benchmarks.unasked import CONTROL, UNASKED
from suite import model as models
from suite.record import Cell
from suite.training import encode, step
from suite.training.batches import lay
from suite.training.encode import Encoded
from suite.training.optim import MemberOptimizer
from suite.training.train import Member, train
from suite.workshop import Workshop
from tasks.interface import Example
from variants import quantise
from variants.interface import Group
from variants.lora import LoRA
from variants.lori import LoRIS
from variants.pissa import PiSSA
from variants.route import routed
from variants.site import LowRank

EVERY = {fault.name: fault for fault in (*NAMED, *UNASKED)}
NOT_IN_TRAINING = {"saved in bfloat16", "the base is scored", "loss on the prompt", CONTROL.name}
SPELLED = {"lora": "lora:rank=4,alpha=8", "pissa": "pissa:rank=4,alpha=8", "loftq": "loftq:rank=4,alpha=8"}
LORA = LoRA(rank=4, alpha=8)


@pytest.fixture(scope="module")
def model(tiny_base: Path) -> Any:
    return models.weights(tiny_base, "float32", "cpu")


@dataclass(frozen=True)
class Bench:
    """A worker on the tiny base, and a cell of each variant of the ci track."""

    shop: Workshop
    cells: dict[str, Cell]

    def trained(self, variant: str) -> list[torch.Tensor]:
        """What the variant's trained parameters come to in eleven steps of two rows, all clipped."""
        cell = self.cells[variant]
        adapter = self.shop.attach(cell)
        recipe = cell.how.recipe
        rows = self.shop.encoded(self.shop.task(cell, recipe), "train", recipe)
        member = Member(adapter, rows, recipe, cell.how.learning_rate, (cell.seed, cell.task.name))
        try:
            (training,) = train(self.shop.model, [member], self.shop.pad)
            assert training.status == "ok", training.error
            return [delta.clone() for _, delta in adapter.deltas()]
        finally:
            adapter.detach()


@pytest.fixture(scope="module")
def bench(tiny_base: Path) -> Bench:
    from suite.plan import Request, resolve

    spelled = ",".join(SPELLED.get(name, name) for name in ("lora", "pissa", "loftq", "lori-s", "fullft"))
    request = Request(
        variants=spelled,
        tasks="math",
        model=str(tiny_base),
        steps="11",
        examples="60",
        seeds="1",
        device="cpu",
    )
    plan = resolve(request)
    shop = Workshop(plan.setup, None)
    shop.open("float32")
    recipe = plan.cells[0].how.recipe.model_copy(update={"warmup": 0.3, "batch_size": 2, "clip": 0.01})
    changed = [cell.model_copy(update={"recipe": recipe}) for cell in plan.cells]
    return Bench(shop, {cell.variant.name: cell for cell in changed})


@pytest.fixture(scope="module")
def right(bench: Bench) -> dict[str, list[torch.Tensor]]:
    """What the clean code trains."""
    return {variant: bench.trained(variant) for variant in bench.cells}


def equal(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize(
    "fault", [f for f in EVERY.values() if f.name not in NOT_IN_TRAINING], ids=lambda f: f.name
)
def test_a_fault_changes_what_is_trained(
    fault: Fault, bench: Bench, right: dict[str, list[torch.Tensor]]
) -> None:
    variant = fault.variants[0]
    with fault.plant():
        assert not equal(bench.trained(variant), right[variant])


def test_nothing_of_a_fault_stays(bench: Bench, right: dict[str, list[torch.Tensor]]) -> None:
    for fault in EVERY.values():
        with fault.plant():
            pass
    for variant in bench.cells:
        assert equal(bench.trained(variant), right[variant])


def test_every_fault_has_a_name_of_its_own_and_a_line() -> None:
    assert len(EVERY) == len(NAMED) + len(UNASKED)
    assert len(NAMED) == 10
    assert all("\n" not in fault.about and fault.variants for fault in EVERY.values())


def planted(name: str) -> Any:
    return EVERY[name].plant()


def test_the_scale_is_one() -> None:
    with planted("scale alpha/r dropped"):
        assert LORA.scale == 1.0
    assert LORA.scale == 2.0


def gradients(model: Any, adapter: Any) -> Iterator[LowRank]:
    """The sites after a backward with a B that lets gradients through to A."""
    for site in adapter.sites.values():
        torch.nn.init.ones_(site.B)
    with routed(model, adapter):
        model(input_ids=torch.arange(1, 9)[None]).logits.square().mean().backward()
    yield from adapter.sites.values()


def moved(parameter: torch.nn.Parameter, where: Any = slice(None)) -> bool:
    """Whether a gradient came, and is not 0 everywhere."""
    assert parameter.grad is not None
    return bool(parameter.grad[where].any())


def untold(stage: str, step: int, steps: int, loss: float | None = None) -> None:
    """Progress that nobody follows."""


def test_a_gets_no_gradient_and_counts_all_the_same(model: Any) -> None:
    clean = LORA.attach(model, 0)
    assert all(moved(site.A) and moved(site.B) for site in gradients(model, clean))
    clean.detach()
    with planted("A not trained"):
        adapter = LORA.attach(model, 0)
    assert adapter.trainable() == clean.trainable()
    assert all(not moved(site.A) and moved(site.B) for site in gradients(model, adapter))
    adapter.detach()


def test_b_starts_away_from_zero(model: Any) -> None:
    weight = torch.randn(8, 6)
    with planted("B initialised non-zero"):
        assert all(v.start(weight, torch.Generator()).B.all() for v in (LORA, LoRIS(rank=4)))
    assert not LORA.start(weight, torch.Generator()).B.any()


def test_entries_outside_the_mask_train() -> None:
    mask = torch.tensor([[True, False], [False, True]])
    for fault in (False, True):
        site = LowRank(LoRIS(rank=2).start(torch.randn(2, 3), torch.Generator()), 2.0)
        with planted("mask not applied") if fault else torch.enable_grad():
            site.restart(mask)
        site(torch.randn(4, 3), torch.zeros(4, 2)).sum().backward()
        assert moved(site.B, ~mask) is fault
        assert site.trainable() == 2


def test_pissa_counts_its_principal_part_twice() -> None:
    weight = torch.randn(8, 6)
    variant = PiSSA(rank=2)
    with planted("PiSSA residual added twice"):
        twice = LowRank(variant.start(weight, torch.Generator()), variant.scale)
    once = LowRank(variant.start(weight, torch.Generator()), variant.scale)
    U, S, V = torch.linalg.svd(weight)
    torch.testing.assert_close(twice.delta(weight), U[:, :2] * S[:2] @ V[:2])
    assert once.delta(weight).abs().max() < 1e-6


def test_blocks_are_twice_as_long() -> None:
    weight = torch.randn(16, 32)
    with planted("NF4 block size off"):
        codes = quantise.encode(weight, 4)
        assert len(codes.scales) == 4
        assert (quantise.decode(codes) - weight).abs().max() < 1
    assert len(quantise.encode(weight, 4).scales) == 8


def test_b_learns_at_half_the_rate(model: Any) -> None:
    with planted("learning rate halved for B"):
        adapter = LORA.attach(model, 0)
        scales = {name.rpartition(".")[2]: g.lr_scale for g in adapter.groups() for name in g.params}
    assert scales == {"A": 1.0, "B": 0.5}
    adapter.detach()


def test_the_prompt_is_learned(bench: Bench) -> None:
    example = Example(prompt="2 + 2 =", response=" 4")
    clean = encode.encode(example, bench.shop.tokenizer, 64, "response")
    with planted("loss on the prompt"):
        (faulty,) = encode.encode_all([example], bench.shop.tokenizer, 64, "response")
    assert clean is not None and clean.first > 1 and faulty == Encoded(clean.ids, 1)


def test_labels_stand_one_place_late() -> None:
    rows = [[(0, Encoded((5, 6, 7), 1))]]
    with planted("labels shifted by one"):
        late = step.lay(rows, 0)
    assert (late.positions - lay(rows, 0).positions == 1).all()
    assert torch.equal(late.ids[0, late.positions[0]], late.labels[0])


def test_the_tenth_update_is_left_out(bench: Bench) -> None:
    recipe = bench.cells["lora"].how.recipe
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = MemberOptimizer([Group({"p": p})], recipe, 0.1)
    moved = []
    with planted("every tenth batch skipped"):
        for i in range(11):
            old, p.grad = p.detach().clone(), torch.ones(3)
            optimizer.step(i)
            moved.append(not torch.equal(old, p))
            assert p.grad is None
    assert moved == [i != 9 for i in range(11)]


def test_what_is_saved_is_rounded(model: Any, tmp_path: Path) -> None:
    adapter = LORA.attach(model, 0)
    with planted("saved in bfloat16"):
        adapter.export(tmp_path / "faulty")
    adapter.export(tmp_path / "clean")
    adapter.detach()
    clean, faulty = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("clean", "faulty"))
    assert any(not torch.equal(clean[k], faulty[k]) for k in clean)
    assert all(torch.equal(clean[k].bfloat16().float(), faulty[k]) for k in clean)


def test_the_base_is_scored_in_place_of_the_adapter(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import suite.scoring.evaluate as module

    seen: list[Sequence[Any]] = []
    monkeypatch.setattr(module, "evaluate", lambda *args, adapters, **how: seen.append(adapters) or {})
    cell = bench.cells["lora"]
    adapter = bench.shop.attach(cell)
    for _ in range(2):
        with planted("the base is scored") if not seen else torch.enable_grad():
            bench.shop.scores((), cell.evaluation, (adapter,), untold)
    adapter.detach()
    assert seen == [(), (adapter,)]
