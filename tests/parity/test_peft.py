"""Against huggingface/peft: gradients at equal parameters, and what it makes of our exported folders."""

from __future__ import annotations

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from variants import build, routed

# peft asks transformers 5 for a property by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

LEAVES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def theirs(model, **config):
    """A peft LoRA model (r=8, alpha=12), and its layers by our site names."""
    wrapped = get_peft_model(model, LoraConfig(r=8, lora_alpha=12, target_modules=LEAVES, **config))
    layers = {
        n.removeprefix("base_model.model."): m for n, m in wrapped.named_modules() if hasattr(m, "lora_A")
    }
    return wrapped, {n: (m.lora_A["default"].weight, m.lora_B["default"].weight) for n, m in layers.items()}


def backward(model, tokens):
    loss = model(input_ids=tokens, labels=tokens).loss
    loss.backward()
    return loss.item()


def close(mine, other, tolerance):
    assert ((mine - other).abs().max() / other.abs().max()).item() < tolerance


def away_from_start(adapter):
    """Move every trained parameter, so that no gradient is zero by construction."""
    with torch.no_grad():
        for group in adapter.groups():
            for p in group.params.values():
                p.add_(0.02 * torch.randn_like(p))
    return adapter


@pytest.mark.parametrize(("name", "init"), [("lora", True), ("pissa", "pissa")])
def test_gradients_at_equal_parameters(name, init, make_model, tokens):
    """For PiSSA peft stores the residual W - s*B0*A0; ours never does."""
    model = make_model()
    adapter = build(name, {"rank": 8, "alpha": 12}).attach(model, seed=0)
    wrapped, layers = theirs(make_model(), init_lora_weights=init)
    assert list(layers) == adapter.adapted()
    with torch.no_grad():
        for site_name, site in adapter.sites.items():
            A, B = layers[site_name]
            if name == "pissa":  # equal starts: the product is unique, the signs of its factors are not
                close(site.B @ site.A, B @ A, 1e-5)
                site.A0.copy_(A), site.B0.copy_(B)
            A.add_(0.02 * torch.randn_like(A)), B.add_(0.02 * torch.randn_like(B))
            site.A.copy_(A), site.B.copy_(B)
    with routed(model, adapter):
        mine = backward(model, tokens)
    assert mine == pytest.approx(backward(wrapped, tokens), rel=1e-6)
    for site_name, site in adapter.sites.items():
        A, B = layers[site_name]
        close(site.A.grad, A.grad, 1e-5)
        close(site.B.grad, B.grad, 1e-5)


def test_lori_is_a_masked_lora_with_frozen_a(make_model, tokens):
    """Five AdamW steps of lori-s phase 1 beside a peft LoRA masked by hand."""
    model = make_model()
    adapter = build("lori-s", {"rank": 8, "alpha": 12}).attach(model, seed=0)
    away_from_start(adapter).enter(1)
    wrapped, layers = theirs(make_model())
    for name, site in adapter.sites.items():
        A, B = layers[name]
        A.requires_grad_(False).copy_(site.A)
        assert not B.any()
    ours = torch.optim.AdamW([p for g in adapter.groups() for p in g.params.values()], lr=1e-2)
    peers = torch.optim.AdamW([B for _, B in layers.values()], lr=1e-2)
    for _ in range(5):
        ours.zero_grad(), peers.zero_grad()
        with routed(model, adapter):
            backward(model, tokens)
        backward(wrapped, tokens)
        for name, (_, B) in layers.items():
            B.grad.mul_(adapter.sites[name].mask)
        ours.step(), peers.step()
    for name, (_, B) in layers.items():
        mine = adapter.sites[name].B
        assert ((mine - B).norm() / B.norm()).item() < 1e-3
        assert torch.equal(mine == 0, B == 0)


@pytest.mark.parametrize(
    ("name", "rank"), [("lora", 8), ("pissa", 16), ("lori-d", 8), ("lori-s", 8)], ids=lambda v: str(v)
)
def test_exported_folder_loads_on_the_untouched_base(name, rank, make_model, tokens, tmp_path):
    model = make_model()
    adapter = build(name, {"rank": 8, "alpha": 12}).attach(model, seed=0)
    away_from_start(adapter)
    if adapter.variant.phases > 1:
        adapter.enter(1)
        with torch.no_grad():
            for site in adapter.sites.values():
                site.B.copy_(0.05 * torch.randn_like(site.B) * site.mask)
    with routed(model, adapter):
        want = model(tokens).logits
    assert (want - model(tokens).logits).abs().max() > 1e-2
    folder = adapter.export(tmp_path / name)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["r"] == rank and sorted(config["target_modules"]) == sorted(LEAVES)
    loaded = PeftModel.from_pretrained(make_model(), str(folder)).eval()
    torch.testing.assert_close(loaded(tokens).logits, want, rtol=0, atol=1e-5)


def test_export_names_layers_in_full_where_short_names_say_too_much(make_model, tokens, tmp_path):
    model = make_model()
    adapter = away_from_start(build("lora", {"rank": 8}).attach(model, seed=0))
    del adapter.sites["model.layers.1.self_attn.q_proj"]
    with routed(model, adapter):
        want = model(tokens).logits
    loaded = PeftModel.from_pretrained(make_model(), str(adapter.export(tmp_path))).eval()
    torch.testing.assert_close(loaded(tokens).logits, want, rtol=0, atol=1e-5)


def test_loftq_exports_plain_weights(make_model, tokens, tmp_path):
    """Its change is not low-rank against W, so the whole model is written."""
    model = make_model()
    adapter = away_from_start(build("loftq", {"rank": 8}).attach(model, seed=0))
    with routed(model, adapter):
        want = model(tokens).logits
    folder = adapter.export(tmp_path / "merged")
    assert not (folder / "adapter_config.json").exists()
    loaded = type(model).from_pretrained(folder).eval()
    torch.testing.assert_close(loaded(tokens).logits, want, rtol=0, atol=1e-5)
