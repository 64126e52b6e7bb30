"""What comes out of a peft adapter and goes in again: deltas, PEFT folders, folders written by anybody."""

from __future__ import annotations

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from tests.variants.peft_specs import NO_WEIGHT, SPECS
from tests.variants.test_peft_adapter import noisy, params, state, text, train  # noqa: F401
from variants import VariantError, build, merge, parse, routed
from variants.peft_config import load
from variants.peft_mount import quiet

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def logits_of(model, adapter, rows):
    with torch.no_grad(), routed(model, adapter):
        return model(rows).logits


def saved(model, folder, spec="lora,r=4,target_modules=q_proj", **config):
    """A folder that our adapter wrote, its config changed by hand."""
    adapter = noisy(parse(f"peft:{spec}").attach(model, seed=0))
    adapter.export(folder)
    adapter.detach()
    content = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**content, **config}))
    return folder


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec not in NO_WEIGHT])
def test_deltas_are_what_the_adapter_computes(spec, tiny_model, make_model, text):  # noqa: F811
    adapter = parse(f"peft:{spec}").attach(tiny_model, seed=0)
    train(tiny_model, adapter, text)
    before = [p.detach().clone() for p in params(adapter).values()]
    expected = logits_of(tiny_model, adapter, text)
    deltas = dict(adapter.deltas())
    assert all(delta.dtype == torch.float32 for delta in deltas.values())
    assert {name.rpartition(".")[0] for name in deltas} == set(adapter.adapted())
    merged = make_model()
    merged.load_state_dict({**tiny_model.state_dict(), **merge(adapter)})
    torch.testing.assert_close(merged(text).logits, expected, rtol=0, atol=1e-5)
    with routed(tiny_model, adapter):
        inside = dict(adapter.deltas())
    assert all(torch.equal(inside[name], delta) for name, delta in deltas.items())
    assert torch.equal(logits_of(tiny_model, adapter, text), expected)
    assert all(torch.equal(p, old) for p, old in zip(params(adapter).values(), before, strict=True))
    assert train(tiny_model, adapter, text)[-1] > 0  # and it trains on


def test_what_is_no_change_of_a_weight_says_so(tiny_model, make_model):
    adapter = parse("peft:beft").attach(tiny_model, seed=0)
    with pytest.raises(
        VariantError, match="v_proj learned is no change of its weight: Base layer has no bias"
    ):
        dict(adapter.deltas())
    biased = make_model(attention_bias=True)
    assert "model.layers.0.self_attn.v_proj.bias" in dict(
        noisy(parse("peft:beft").attach(biased, 0)).deltas()
    )


@pytest.mark.parametrize("spec", SPECS)
def test_peft_loads_what_is_exported_and_so_do_we(spec, tiny_model, make_model, text, tmp_path):  # noqa: F811
    adapter = parse(f"peft:{spec}").attach(tiny_model, seed=0)
    train(tiny_model, adapter, text)
    expected = logits_of(tiny_model, adapter, text)
    folder = adapter.export(tmp_path / "out")
    assert sorted(file.name for file in folder.iterdir()) == [CONFIG, WEIGHTS]
    adapter.detach()
    with quiet():
        plain = PeftModel.from_pretrained(make_model(), folder).eval()
    torch.testing.assert_close(plain(text).logits, expected, rtol=0, atol=1e-5)
    before = state(tiny_model)
    again = load(tiny_model, folder)
    assert again.trainable() == 0 and again.groups() == []
    assert again.adapted() == adapter.adapted()
    torch.testing.assert_close(logits_of(tiny_model, again, text), expected, rtol=0, atol=1e-5)
    again.detach()
    assert state(tiny_model)["modules"] == before["modules"]


def test_adalora_in_bfloat16_comes_back_with_its_ranks(make_model, text, tmp_path):  # noqa: F811
    model = make_model().to(torch.bfloat16)
    adapter = parse("peft:adalora").attach(model, seed=0)
    train(model, adapter, text, steps=10)
    expected = logits_of(model, adapter, text)
    adapter.export(tmp_path)
    adapter.detach()
    assert json.loads((tmp_path / CONFIG).read_text())["rank_pattern"]
    again = load(model, tmp_path)
    assert torch.equal(logits_of(model, again, text), expected)
    again.export(tmp_path / "again")
    assert torch.equal(logits_of(model, load(model, tmp_path / "again"), text), expected)


@pytest.mark.parametrize("spec", ["lora:rank=4", "pissa:rank=4", "lora:rank=4,targets=embed_tokens+v_proj"])
def test_folders_of_our_own_family_load(spec, tiny_model, text, tmp_path):  # noqa: F811
    adapter = noisy(parse(spec).attach(tiny_model, seed=0))
    expected = logits_of(tiny_model, adapter, text)
    adapter.export(tmp_path)
    torch.testing.assert_close(
        logits_of(tiny_model, load(tiny_model, tmp_path), text), expected, rtol=0, atol=1e-5
    )


def test_a_folder_written_by_peft_loads(tiny_model, make_model, text, tmp_path):  # noqa: F811
    config = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False, lora_dropout=0.1)
    with quiet():
        plain = get_peft_model(make_model(), config).eval()
        plain.save_pretrained(tmp_path)
    assert torch.equal(logits_of(tiny_model, load(tiny_model, tmp_path), text), plain(text).logits)


@pytest.mark.parametrize("tied", [False, True])
def test_embeddings_that_peft_writes_along(tied, make_model, text, tmp_path):  # noqa: F811
    """peft writes the weights of an adapted embedding too; only the base's own are taken for granted."""
    config = LoraConfig(r=4, target_modules=["embed_tokens", "v_proj"], init_lora_weights=False)
    model = make_model(tie_word_embeddings=tied)
    with quiet():
        plain = get_peft_model(make_model(tie_word_embeddings=tied), config).eval()
        plain.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    along = [key for key in tensors if key.endswith("embed_tokens.base_layer.weight")]
    assert len(along) == 1
    assert torch.equal(logits_of(model, load(model, tmp_path), text), plain(text).logits)
    tensors[along[0]] += 1
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(VariantError, match=r"1 tensors are unknown .*embed_tokens.base_layer.weight"):
        load(model, tmp_path)


def test_a_folder_as_a_config_trains_the_same_method_anew(tiny_model, tmp_path):
    saved(tiny_model, tmp_path, "loha,r=4,target_modules=q_proj")
    assert parse(f"peft:{tmp_path}") == parse("peft:loha,r=4,target_modules=q_proj")
    assert parse(f"peft:{tmp_path}/{CONFIG},r=2") == parse("peft:loha,r=2,target_modules=q_proj")


def test_a_pickle_is_not_read(tiny_model, tmp_path):
    saved(tiny_model, tmp_path)
    (tmp_path / WEIGHTS).rename(tmp_path / "adapter_model.bin")
    with pytest.raises(VariantError, match=r"adapter_model.bin is a pickle, which can run code"):
        load(tiny_model, tmp_path)
    (tmp_path / "adapter_model.bin").unlink()
    with pytest.raises(VariantError, match=r"no adapter_model.safetensors in .* \(missing\); save"):
        load(tiny_model, tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: {**t, "base_model.model.extra": torch.ones(2)}, "1 tensors are unknown .*extra"),
        (lambda t: dict(list(t.items())[1:]), "1 tensors are missing .*lora_A"),
        (lambda t: {k: v[:, :3].contiguous() for k, v in t.items()}, "does not fit: .*size mismatch"),
        (lambda t: {k.replace("layers.1", "layers.9"): v for k, v in t.items()}, "2 tensors are unknown"),
    ],
)
def test_every_tensor_has_its_place(change, told, tiny_model, tmp_path):
    before = state(tiny_model)
    saved(tiny_model, tmp_path)
    save_file(change(load_file(tmp_path / WEIGHTS)), tmp_path / WEIGHTS)
    with pytest.raises(VariantError, match=told):
        load(tiny_model, tmp_path)
    after = state(tiny_model)
    assert (after["modules"], after["parameters"]) == (before["modules"], before["parameters"])


def test_another_base_is_told(tiny_model, make_model, tmp_path):
    saved(tiny_model, tmp_path)
    with pytest.raises(VariantError, match=r"does not fit: .*size mismatch"):
        load(make_model(hidden_size=32, num_attention_heads=2, head_dim=16), tmp_path)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"init_lora_weights": "pissa"}, "rewrites the model's weights, .* use the variant pissa"),
        (
            {"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4}},
            "use the variant loftq|use loftq",
        ),
        ({"task_type": "SEQ_CLS"}, "task_type 'SEQ_CLS' is not for a causal language model"),
        ({"a_setting_of_the_future": 3}, "unknown setting 'a_setting_of_the_future'"),
        ({"peft_type": "PREFIX_TUNING"}, "prefix_tuning is refused"),
    ],
)
def test_configs_that_cannot_stand_on_an_untouched_base(config, told, tiny_model, tmp_path):
    saved(tiny_model, tmp_path, **config)
    with pytest.raises(VariantError, match=told):
        load(tiny_model, tmp_path)


def test_what_only_the_start_needed_is_left_aside(tiny_model, text, tmp_path):  # noqa: F811
    """EVA leaves the base alone; what a later peft adds and leaves off is no matter."""
    off = {"a_setting_of_the_future": None, "auto_mapping": {"base_model_class": "x"}, "peft_version": "9"}
    saved(tiny_model, tmp_path, init_lora_weights="eva", eva_config={"rho": 2.0}, **off)
    adapter = build("peft", {"r": 4, "target_modules": ["q_proj"]}).attach(tiny_model, seed=0)
    expected = logits_of(tiny_model, noisy(adapter), text)
    adapter.detach()
    assert torch.equal(logits_of(tiny_model, load(tiny_model, tmp_path), text), expected)
