"""What huggingface/peft makes of our exported folders: plain `PeftModel` on the untouched base, our logits.

Tolerance 1e-5 on logits of about 1 (the promise is 1e-4): peft sums in another order than we do.
"""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from tests.parity.peers import LEAVES
from tests.variants.pieces import calibration, moved
from variants import build, registry, routed
from variants.export import write_merged

# peft asks transformers 5 for a property by its old name, and warns of tied weights, which we test.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings:UserWarning"),
]

NAMES = list(registry.BUILTIN)
WHOLE_MODEL = ["fullft"]
TOLERANCE = 1e-5


def trained(model, tokens, name, **settings):
    """An adapter in its last phase, away from its start, and its logits."""
    variant = build(name, settings) if settings else registry.get(name).example()
    adapter = variant.attach(model, 3, calibration(model, tokens))
    for phase in range(variant.phases):
        if phase:
            adapter.enter(phase)
        moved(adapter)
    for site in adapter.sites.values():
        if (mask := getattr(site, "mask", None)) is not None:
            site.B.data.mul_(mask)
    with routed(model, adapter), torch.no_grad():
        want = model(tokens).logits
    with torch.no_grad():
        assert (want - model(tokens).logits).abs().max() > 1e-2
    return adapter, want


def in_peft(folder, base, tokens):
    """Logits of the folder in plain peft: on its own base if it brings one, else on `base`."""
    if (folder / "base").exists():
        base = type(base).from_pretrained(folder / "base")
    with torch.no_grad():
        return PeftModel.from_pretrained(base, str(folder)).eval()(tokens).logits


def close(got, want, tolerance=TOLERANCE):
    torch.testing.assert_close(got, want, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WHOLE_MODEL])
def test_every_variant_is_a_peft_folder_on_the_untouched_base(name, make_model, tokens, tmp_path):
    adapter, want = trained(make_model(), tokens, name)
    folder = adapter.export(tmp_path / name)
    close(in_peft(folder, make_model(), tokens), want)


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_merges_into_plain_weights(name, make_model, tokens, tmp_path):
    model = make_model()
    adapter, want = trained(model, tokens, name)
    folder = write_merged(adapter, tmp_path / name)
    with torch.no_grad():
        close(type(model).from_pretrained(folder)(tokens).logits, want)


@pytest.mark.parametrize("name", ["loftq", "qlora", "qpissa"])
def test_a_quantised_base_is_written_dequantised_and_nothing_else_in_it_changes(
    name, make_model, tokens, tmp_path
):
    model = make_model()
    adapter, want = trained(model, tokens, name, rank=8)
    folder = adapter.export(tmp_path / name)
    own = type(model).from_pretrained(folder / "base").state_dict()
    for key, weight in model.state_dict().items():
        site = adapter.sites.get(key.removesuffix(".weight"))
        assert torch.equal(own[key], weight if site is None else site.base.dense())
    with torch.no_grad():
        off = PeftModel.from_pretrained(make_model(), str(folder)).eval()(tokens).logits
    assert (off - want).abs().max() > 1e-2, "the untouched base is not the base of this adapter"


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("targets", ["all+lm_head", "all+embed_tokens", "embed_tokens+lm_head"])
def test_ends_of_the_model(targets, tied, make_model, tokens, tmp_path):
    """An adapted head or embedding changes that side alone, tied or not."""
    model = make_model(tie_word_embeddings=tied)
    adapter, want = trained(model, tokens, "lora", rank=8, targets=targets)
    close(in_peft(adapter.export(tmp_path / "peft"), make_model(tie_word_embeddings=tied), tokens), want)
    merged = type(model).from_pretrained(write_merged(adapter, tmp_path / "merged"))
    with torch.no_grad():
        close(merged(tokens).logits, want)
    assert not merged.config.tie_word_embeddings and model.config.tie_word_embeddings is tied
    assert (model.lm_head.weight is model.model.embed_tokens.weight) is tied


def test_a_head_adapted_on_its_own_base_is_untied_there(make_model, tokens, tmp_path):
    adapter, want = trained(make_model(tie_word_embeddings=True), tokens, "loftq", rank=8, targets="lm_head")
    close(in_peft(adapter.export(tmp_path), make_model(), tokens), want)


@pytest.mark.parametrize(("name", "rank"), [("lora", 8), ("rslora", 8), ("pissa", 16), ("lori-s", 8)])
def test_the_configuration_of_one_rank(name, rank, make_model, tokens, tmp_path):
    adapter, _ = trained(make_model(), tokens, name, rank=8, alpha=12)
    config = json.loads((adapter.export(tmp_path) / "adapter_config.json").read_text())
    scale = adapter.variant.scale
    assert config["r"] == rank and config["lora_alpha"] == pytest.approx(scale * rank)
    assert config["target_modules"] == sorted(LEAVES) and not config["use_rslora"]
    assert config["rank_pattern"] == config["alpha_pattern"] == {}


def test_ranks_that_differ_are_in_patterns(make_model, tokens, tmp_path):
    adapter, want = trained(make_model(), tokens, "eva", rank=4, alpha=6)
    folder = adapter.export(tmp_path)
    config = json.loads((folder / "adapter_config.json").read_text())
    ranks = {name: len(site.A) for name, site in adapter.sites.items()}
    assert len(set(ranks.values())) > 1 and config["r"] == max(ranks.values())
    assert config["rank_pattern"] == {name: r for name, r in ranks.items() if r != config["r"]}
    assert all(config["alpha_pattern"][name] == 1.5 * r for name, r in config["rank_pattern"].items())
    close(in_peft(folder, make_model(), tokens), want)


def test_names_in_full_where_short_ones_say_too_much(make_model, tokens, tmp_path):
    model = make_model()
    settings = {"rank": 8, "targets": r"model\.layers\.1\..*_proj"}
    adapter, want = trained(model, tokens, "lora", **settings)
    folder = adapter.export(tmp_path)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["target_modules"] == adapter.adapted()
    close(in_peft(folder, make_model(), tokens), want)


def test_dora_brings_its_magnitudes(make_model, tokens, tmp_path):
    adapter, _ = trained(make_model(attention_bias=True), tokens, "dora", rank=8)
    folder = adapter.export(tmp_path)
    tensors = load_file(folder / "adapter_model.safetensors")
    name = "model.layers.0.self_attn.q_proj"
    assert json.loads((folder / "adapter_config.json").read_text())["use_dora"]
    magnitude = tensors[f"base_model.model.{name}.lora_magnitude_vector"]
    assert torch.equal(magnitude, adapter.sites[name].magnitude)
