"""What the loop tells an adapter, and what a data-driven start is shown."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from suite.record import Cell, EvaluationSettings, Recipe, TaskRef, VariantRef
from suite.setup import Setup
from suite.training.train import train
from suite.workshop import Workshop
from tasks.interface import Places
from tests.suite.test_train import PAD, member
from variants.interface import Calibration


def test_the_loop_tells_an_adapter_where_it_is(tiny_model: Any) -> None:
    one = member(tiny_model, "lori-s:rank=4", steps=2)
    adapter, told = one.adapter, []
    adapter.begin = lambda steps: told.append(("begin", adapter.phase, steps))
    adapter.penalty = lambda: told.append(("penalty", adapter.phase, adapter.step))

    def stepped(step: int) -> None:
        grads = [p.grad is not None for group in adapter.groups() for p in group.params.values()]
        told.append(("stepped", adapter.phase, step))
        assert all(grads) and adapter.step is None

    adapter.stepped = stepped
    train(tiny_model, [one], PAD)
    one_phase = [("penalty", 0), ("stepped", 0), ("penalty", 1), ("stepped", 1)]
    assert told == [
        *[("begin", 0, 2), *((kind, 0, step) for kind, step in one_phase)],
        *[("begin", 1, 2), *((kind, 1, step) for kind, step in one_phase)],
    ]


def test_a_penalty_moves_the_weights_and_not_the_reported_loss(make_model: Any) -> None:
    plain, pulled = (member(make_model(), "lora:rank=4", steps=1) for _ in range(2))
    B = next(iter(pulled.adapter.sites.values())).B
    pulled.adapter.penalty = lambda: 100 * B.sum()
    (first,), (second,) = (train(one.adapter.model, [one], PAD) for one in (plain, pulled))
    assert first.curve[0].loss == second.curve[0].loss
    assert (B < 0).all() and not (next(iter(plain.adapter.sites.values())).B < 0).all()


def test_dropout_is_on_in_training_and_off_after_it(tiny_model: Any, tokens: torch.Tensor) -> None:
    from variants import routed

    one = member(tiny_model, "lora:rank=4,dropout=0.5", steps=3)
    dry = member(tiny_model, "lora:rank=4", steps=3)
    (wet_run,), (dry_run,) = train(tiny_model, [one], PAD), train(tiny_model, [dry], PAD)
    assert wet_run.curve[0].loss == dry_run.curve[0].loss, "B is zero: the first step sees no adapter"
    assert wet_run.curve[2].loss != dry_run.curve[2].loss
    with torch.no_grad(), routed(tiny_model, one.adapter):
        assert torch.equal(tiny_model(tokens).logits, tiny_model(tokens).logits)


@pytest.fixture(scope="module")
def shop() -> Workshop:
    from suite.model import locate

    found = Workshop(Setup(locate("pocket"), Places(), "cpu"), 1)
    found.open("float32")
    return found


def cell(shop: Workshop, seed: int = 0) -> Cell:
    from suite.model import base_ref

    return Cell(
        track="pocket@1",
        base=base_ref("pocket", shop.setup.base),
        variant=VariantRef(name="lora", settings={}, revision=1),
        task=TaskRef(name="math", source="pocket", revision=1, digest=""),
        recipe=Recipe(steps=1, batch_size=2),
        learning_rate=1e-3,
        seed=seed,
        evaluation=EvaluationSettings(target=[], general=[]),
    )


def test_a_calibration_shows_single_rows_without_padding(shop: Workshop) -> None:
    """The same rows every time it is asked, another draw for another seed, never a padded position."""
    one = cell(shop)
    task = shop.task(one, one.how.recipe)
    rows = {row.ids for row in shop.encoded(task, "train", one.how.recipe)}

    def shown(calibration: Calibration) -> list[tuple[int, ...]]:
        seen: list[tuple[int, ...]] = []
        hook = shop.model.get_input_embeddings().register_forward_pre_hook(
            lambda _, args: seen.append(tuple(args[0][0].tolist()))
        )
        with torch.no_grad():
            losses = list(calibration.losses())
        hook.remove()
        assert all(0 < float(loss) < 20 for loss in losses) and len(losses) == len(seen)
        return seen

    first = shop.calibration(cell(shop), 3)
    assert shown(first) == shown(first) and len(shown(first)) == 3
    assert set(shown(first)) <= rows
    assert shown(shop.calibration(cell(shop, seed=1), 3)) != shown(first)
    assert len(shown(shop.calibration(replace_task(cell(shop)), 4))) == 4


def replace_task(one: Cell) -> Cell:
    """The same cell on another task."""
    return one.model_copy(update={"task": one.task.model_copy(update={"name": "instruct"})})


def test_versions_name_the_packages_that_bring_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    from suite import provenance
    from variants import registry

    monkeypatch.setattr(registry, "packages", lambda: {"lora-suite-mine": "1.2"})
    assert provenance.versions.__wrapped__()["lora-suite-mine"] == "1.2"
