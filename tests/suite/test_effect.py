"""Proof of effect: its numbers, and that planted faults make a cell fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from suite import weights
from suite.effect import LONGEST, TEXT, fault, logits, probe, prove
from suite.jobs import TrainPack
from suite.plan import Request, resolve
from suite.record import Effect
from suite.store import Store
from suite.workshop import Workshop
from variants import parse

IDS = torch.arange(3, 60)[None]


def trained(model: Any, spec: str) -> tuple[Any, torch.Tensor]:
    """An adapter after something like training, and its logits before."""
    adapter = parse(spec).attach(model, 0)
    start = logits(model, IDS, adapter)
    with torch.no_grad():
        for group in adapter.groups():
            for p in group.params.values():
                p.add_(0.05 * torch.randn_like(p))
    return adapter, start


def exported(adapter: Any, folder: Path) -> Path:
    return weights.save(adapter, folder / "it", "pocket")


@pytest.mark.parametrize("spec", ["lora:rank=4", "pissa:rank=4", "loftq:rank=4", "dora:rank=4", "fullft"])
def test_the_numbers_are_those_of_the_adapter(spec: str, make_model: Any, tmp_path: Path) -> None:
    model = make_model()
    adapter, start = trained(model, spec)
    effect, why = prove(model, IDS, adapter, start, exported(adapter, tmp_path), "float32")
    now = logits(model, IDS, adapter)
    assert why is None and torch.equal(now, logits(model, IDS, adapter))
    assert effect.from_start == float((now - start).abs().max()) > 0.01
    assert effect.from_base == float((now - logits(model, IDS)).abs().max()) > 0.01
    assert effect.reload_error is not None and effect.reload_error < 1e-5
    deltas = dict(adapter.deltas())
    assert effect.delta_norms.keys() == deltas.keys()
    for name, norm in effect.delta_norms.items():
        assert norm == pytest.approx(float(deltas[name].double().norm()), rel=1e-5)


def test_an_adapter_that_was_not_trained_has_no_effect(make_model: Any, tmp_path: Path) -> None:
    model = make_model()
    adapter = parse("loftq:rank=4").attach(model, 0)
    start = logits(model, IDS, adapter)
    effect, why = prove(model, IDS, adapter, start, exported(adapter, tmp_path), "float32")
    assert effect.from_start == 0 and effect.from_base > 0.01, "quantising is no training"
    assert why is not None and why.startswith("the adapter has no effect: training moved no logit")
    assert "\n" not in why


def test_weights_saved_wrongly_are_found_out(make_model: Any, tmp_path: Path) -> None:
    model = make_model()
    adapter, start = trained(model, "lora:rank=4,alpha=8")
    folder = exported(adapter, tmp_path)
    config = json.loads((folder / weights.ADAPTER).read_text())
    (folder / weights.ADAPTER).write_text(json.dumps({**config, "lora_alpha": 8.1}))
    effect, why = prove(model, IDS, adapter, start, folder, "float32")
    assert effect.reload_error is not None and effect.reload_error > 1e-3
    assert why is not None and why.startswith("the saved adapter is not the trained one")


def test_a_base_in_half_precision_allows_its_own_rounding(make_model: Any, tmp_path: Path) -> None:
    model = make_model().to(torch.bfloat16)
    adapter, start = trained(model, "lora:rank=4,targets=all+lm_head")
    merged = tmp_path / "it"
    from variants.export import write_merged

    effect, why = prove(model, IDS, adapter, start, write_merged(adapter, merged), "bfloat16")
    assert why is None and effect.reload_error is not None and effect.reload_error > 0
    _, strictly = prove(model, IDS, adapter, start, merged, "float32")
    assert strictly is not None


def test_a_lost_adapter_is_found_in_half_precision_too(make_model: Any, tmp_path: Path) -> None:
    model = make_model().to(torch.bfloat16)
    model.lm_head.weight.data *= 20  # logits large enough that eight of their units are more than the effect
    adapter, start = trained(model, "lora:rank=4")
    folder = exported(adapter, tmp_path)
    file = folder / "adapter_model.safetensors"
    save_file({name: tensor * 0 for name, tensor in load_file(file).items()}, file)
    effect, why = prove(model, IDS, adapter, start, folder, "bfloat16")
    assert effect.reload_error == effect.from_base
    assert why is not None and why.startswith("the saved adapter is not the trained one")


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({}, None),
        ({"from_start": 2e-6}, None),
        ({"from_start": 1e-6}, "no effect"),
        ({"from_start": 0.0}, "no effect"),
        ({"from_start": float("nan")}, "not finite"),
        ({"from_start": float("inf")}, "not finite"),
        ({"reload_error": 1e-3}, None),
        ({"reload_error": 1.1e-3}, "not the trained one"),
        ({"reload_error": float("nan")}, "not the trained one"),
        ({"reload_error": None}, None),
        ({"from_start": 1e-3, "reload_error": 6e-4}, "not the trained one"),
        ({"from_start": 1e-3, "reload_error": 4e-4}, None),
        ({"from_base": 0.0, "reload_error": 1e-5}, "not the trained one"),
    ],
)
def test_where_the_bounds_lie(numbers: dict[str, Any], told: str | None) -> None:
    """A unit of 1e-6, and an effect of 10: 1e-3 and eight units are allowed."""
    facts = {"from_base": 10.0, "from_start": 10.0, "reload_error": 0.0, **numbers}
    why = fault(Effect(text_digest="", delta_norms={}, **facts), 1e-6)
    assert why is None if told is None else why is not None and told in why


def test_the_text_is_plain_and_fits_the_model(tokenizer: Any) -> None:
    assert TEXT.isascii() and TEXT.isprintable()
    assert probe(tokenizer, None).shape == (1, LONGEST)
    assert probe(tokenizer, 32).shape == (1, 32)


def shop_and_cell(tiny_base: Path, keep: Path | None) -> tuple[Workshop, Any]:
    request = Request(
        variants="lora:rank=4", tasks="math", model=str(tiny_base), steps="2", limit="1", device="cpu"
    )
    plan = resolve(request)
    shop = Workshop(plan.setup, 1, keep)
    shop.open("float32")
    return shop, plan.cells[0]


def untold(*_: Any, **__: Any) -> None:
    """Nobody follows."""


def test_a_cell_whose_adapter_does_nothing_fails_unscored(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, cell = shop_and_cell(tiny_base, tmp_path / "adapters")
    attach = shop.attach

    def idle(cell: Any) -> Any:
        """An adapter whose sites train and change nothing."""
        adapter = attach(cell)
        for site in adapter.sites.values():
            site.forward = lambda x, y, site=site: y + 0 * (site.A.sum() + site.B.sum())
            site.groupable = lambda other: False
        return adapter

    monkeypatch.setattr(shop, "attach", idle)
    (found,) = TrainPack((cell,)).run(shop, untold)
    assert found.status == "failed" and found.error is not None and "no effect" in found.error
    assert found.target == {} and found.effect is not None and len(found.curve) == 2


def test_without_kept_weights_the_proof_is_the_same(tiny_base: Path, tmp_path: Path) -> None:
    found = []
    for keep in (tmp_path / "adapters", None):
        shop, cell = shop_and_cell(tiny_base, keep)
        adapter = shop.attach(cell)
        start = shop.logits(adapter)
        with torch.no_grad():
            for site in adapter.sites.values():
                site.B.fill_(0.01)
        found.append(shop.prove(cell, adapter, start))
        adapter.detach()
    (kept, why, digest, size), (gone, same, none, again) = found
    assert size == again == (tmp_path / "adapters" / cell.id / "adapter_model.safetensors").stat().st_size
    assert kept == gone and why is same is none is None and gone.reload_error is not None
    assert digest == weights.digest(tmp_path / "adapters" / cell.id)[:16]


def test_every_trained_cell_records_it(trained_store: Path) -> None:
    for record in Store(trained_store).records():
        assert record.effect is not None and record.status == "ok"
        assert record.effect.from_start > 1e-4 and record.effect.reload_error is not None
        assert record.effect.reload_error < 1e-5
        assert set(record.adapted_modules) == {n.rpartition(".")[0] for n in record.effect.delta_norms}
        assert record.weights == weights.digest(trained_store / "adapters" / record.id)[:16]


def test_a_method_that_changes_no_weight_is_proved_by_its_logits(make_model: Any, tmp_path: Path) -> None:
    """BEFT learns biases that the model does not have."""
    model = make_model()
    adapter, start = trained(model, "peft:beft")
    effect, why = prove(model, IDS, adapter, start, exported(adapter, tmp_path), "float32")
    assert why is None and effect.delta_norms == {} and effect.from_start > 0.001
