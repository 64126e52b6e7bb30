"""Exported folders: the same bytes twice, no path in them, plain weights where peft has no name for it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import MixtralConfig, MixtralForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

from tests.variants.pieces import attached, moved
from variants import build, merge, routed
from variants.export import BASE, write_merged
from variants.plain import replaced
from variants.site import Factors

SMALL = {
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "num_experts_per_tok": 2,
}
MIXTURES = {
    "mixtral": lambda: MixtralForCausalLM(MixtralConfig(**SMALL, num_local_experts=4)),
    "qwen": lambda: Qwen3MoeForCausalLM(
        Qwen3MoeConfig(**SMALL, num_experts=4, moe_intermediate_size=24, mlp_only_layers=[1], head_dim=16)
    ),
}


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["lora", "pissa", "loftq", "dora", "fullft"])
def test_the_same_adapter_twice_gives_the_same_bytes(name, make_model, tmp_path):
    found = []
    for place in ("one", "two"):
        adapter = moved(attached(make_model(), name, seed=1))
        found.append(files(adapter.export(tmp_path / place)))
    assert found[0] == found[1] and len(found[0]) >= 2
    assert not any(str(tmp_path).encode() in content for content in found[0].values())


@pytest.mark.parametrize("kind", MIXTURES)
def test_fused_experts_are_merged_into_plain_weights(kind, tokens, tmp_path):
    model = MIXTURES[kind]().eval()
    adapter = moved(attached(model, "lora", rank=4))
    assert any(site.of_parameter for site in adapter.sites.values())
    with routed(model, adapter), torch.no_grad():
        want = model(tokens).logits
    folder = adapter.export(tmp_path)
    assert not (folder / "adapter_config.json").exists()
    with torch.no_grad():
        assert (model(tokens).logits - want).abs().max() > 1e-2
        again = type(model).from_pretrained(folder)(tokens).logits
    torch.testing.assert_close(again, want, rtol=0, atol=1e-5)


def test_attention_of_a_mixture_is_an_adapter(tokens, tmp_path):
    adapter = moved(attached(MIXTURES["mixtral"]().eval(), "lora", rank=4, targets="attention"))
    config = json.loads((adapter.export(tmp_path) / "adapter_config.json").read_text())
    assert config["target_modules"] == ["k_proj", "o_proj", "q_proj", "v_proj"]


@pytest.mark.parametrize(("name", "targets"), [("lora", "all"), ("loftq", "all+lm_head")])
def test_exporting_leaves_the_model_as_it_was(name, targets, make_model, tmp_path):
    model = make_model(tie_word_embeddings=True)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    adapter = moved(attached(model, name, rank=4, targets=targets))
    adapter.export(tmp_path / "a")
    write_merged(adapter, tmp_path / "b")
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert model.lm_head.weight is model.model.embed_tokens.weight and model.config.tie_word_embeddings


def test_full_fine_tuning_of_a_tied_model_stays_tied(make_model, tokens, tmp_path):
    model = make_model(tie_word_embeddings=True)
    adapter = moved(attached(model, "fullft"))
    with routed(model, adapter), torch.no_grad():
        want = model(tokens).logits
    for folder in (adapter.export(tmp_path / "a"), write_merged(adapter, tmp_path / "b")):
        assert "lm_head.weight" not in load_file(folder / "model.safetensors")
        with torch.no_grad():
            assert torch.equal(type(model).from_pretrained(folder)(tokens).logits, want)


def test_merging_keeps_the_weights_type(make_model):
    model = make_model().to(torch.bfloat16)
    adapter = moved(attached(model, "lora", rank=4))
    merged = merge(adapter)
    assert merged.keys() == {f"{name}.weight" for name in adapter.adapted()}
    assert all(weight.dtype == torch.bfloat16 for weight in merged.values())


def test_magnitudes_on_some_layers_only_are_merged(make_model, tokens, tmp_path):
    """peft's use_dora holds for all layers of a folder."""
    model = make_model()
    adapter = moved(attached(model, "dora", rank=4))
    plain = adapter.sites["model.layers.0.self_attn.q_proj"]
    plain.factors = lambda: Factors(plain.A, plain.B, plain.scale)
    assert not (adapter.export(tmp_path) / "adapter_config.json").exists()


def test_a_site_without_factors_is_merged(make_model, tmp_path):
    adapter = moved(build("lora", {"rank": 4}).attach(make_model(), 0))
    adapter.sites["model.layers.0.mlp.up_proj"].factors = lambda: None
    folder = adapter.export(tmp_path)
    assert (folder / "model.safetensors").exists() and not (folder / BASE).exists()


def test_replaced_gives_everything_back_when_the_inside_fails(make_model):
    model = make_model(tie_word_embeddings=True)
    own = model.lm_head.weight
    other = torch.nn.Parameter(torch.zeros_like(own))
    with pytest.raises(ZeroDivisionError), replaced(model, {"model.embed_tokens.weight": other}):
        assert model.lm_head.weight is other and model.model.embed_tokens.weight is other
        raise ZeroDivisionError
    assert model.lm_head.weight is own and model.model.embed_tokens.weight is own
