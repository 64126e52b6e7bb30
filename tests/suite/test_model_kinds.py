"""Which models are taken: by name, revision and folder; and what is said of those that are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from suite import model as models
from suite.errors import UserError


@pytest.fixture
def base(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


def change(folder: Path, **settings: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, "stored quantised .gptq."),
        ({"model_type": "mine", "auto_map": {"AutoModel": "m.M"}}, "'mine' needs code of its own"),
        ({"model_type": "mine"}, "'mine' is not known"),
        ({"vision_config": {"hidden_size": 8}}, "takes more than text .vision_config."),
        ({"model_type": "t5", "is_encoder_decoder": True}, "t5 is no causal language model"),
        ({"n_positions": None, "max_position_embeddings": "long"}, "max_position_embeddings is 'long'"),
        ({"vocab_size": 100}, "vocabulary of 100 tokens, but its tokenizer numbers"),
    ],
)
def test_what_is_no_plain_causal_model_is_refused_in_a_line(
    settings: dict[str, Any], message: str, base: Path
) -> None:
    change(base, **settings)
    with pytest.raises(UserError, match=message) as told:
        models.check(base)
    assert "\n" not in str(told.value)


def test_special_tokens_that_nothing_writes_may_lie_beyond_the_vocabulary(base: Path) -> None:
    """Gemma 3 1B's tokenizer has one for images."""
    tokenizer: Any = models.tokenizer(base)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<image>"]})
    tokenizer.save_pretrained(base)
    models.check(base)
    tokenizer.chat_template = "{{ messages[0].content }}<image>"
    tokenizer.save_pretrained(base)
    with pytest.raises(UserError, match="its tokenizer numbers '<image>' 257"):
        models.check(base)


def test_context_by_any_of_its_names(base: Path) -> None:
    assert models.context_length(base) == 1024
    change(base, max_position_embeddings=None, n_positions=77)
    assert models.context_length(base) == 77


def test_a_revision_goes_to_the_hub_and_a_look_fetches_no_weights(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: list[dict[str, Any]] = []

    def snapshot(repository: str, **how: Any) -> str:
        asked.append({"repository": repository, **how})
        return str(tiny_base)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert models.locate("someone/model@v1.5") == tiny_base
    models.locate("someone/model", weights=False)
    first, second = asked
    assert (first["repository"], first["revision"]) == ("someone/model", "v1.5") and not second["revision"]
    assert "*.safetensors" in first["allow_patterns"]
    assert not any("safetensors" in pattern for pattern in second["allow_patterns"])


def test_a_folder_without_weights_serves_a_look_only(base: Path) -> None:
    (base / "model.safetensors").unlink()
    assert models.locate(str(base), weights=False) == base
    with pytest.raises(UserError, match=r"no \*.safetensors"):
        models.locate(str(base))


def test_sharded_weights_and_one_that_is_lost(base: Path) -> None:
    whole = models.weights(base, "float32", "cpu")
    (base / "model.safetensors").unlink()
    whole.save_pretrained(base, max_shard_size="20KB")
    shards = sorted(base.glob("*.safetensors"))
    assert len(shards) > 2
    again = models.weights(base, "float32", "cpu").state_dict()
    assert all(torch.equal(again[name], value) for name, value in whole.state_dict().items())
    shards[1].unlink()
    with pytest.raises(UserError, match="cannot be loaded"):
        models.weights(base, "float32", "cpu")


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_kernel_asked_for(attention: str, tiny_base: Path) -> None:
    model: Any = models.weights(tiny_base, "float32", "cpu", attention)
    assert model.config._attn_implementation == attention
    assert models.weights(tiny_base, "mixed", "cpu").dtype == torch.float32


def test_flash_attention_where_it_cannot_be(tiny_base: Path) -> None:
    with pytest.raises(UserError, match="flash_attention_2: it needs a GPU, and the device is cpu; use sdpa"):
        models.weights(tiny_base, "bfloat16", "cpu", "flash_attention_2")


def test_a_skeleton_has_shapes_and_no_numbers(tiny_base: Path) -> None:
    bare, real = models.skeleton(tiny_base, "bfloat16"), AutoModelForCausalLM.from_pretrained(tiny_base)
    shapes = {name: p.shape for name, p in bare.named_parameters()}
    assert shapes == {name: p.shape for name, p in real.named_parameters()}
    assert all(p.is_meta and p.dtype is torch.bfloat16 for p in bare.parameters())
