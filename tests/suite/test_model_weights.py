"""Loading a model: every tensor comes from the files, or it is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertLMHeadModel

from suite.errors import UserError
from suite.model import check, weights


@pytest.mark.parametrize("fault", ["missing", "shape"])
def test_what_the_files_lack_is_not_drawn_at_random(fault: str, tiny_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    tensors = load_file(folder / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    if fault == "missing":
        del tensors[name]
    else:
        tensors[name] = torch.zeros(3, 3)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"up_proj|size mismatch|mismatch") as told:
        weights(folder, "float32", "cpu")
    assert "\n" not in str(told.value)
    weights(tiny_base, "float32", "cpu")


def test_a_model_that_looks_at_later_tokens_is_refused(tmp_path: Path) -> None:
    """BERT's head for language modelling, which is causal only where its configuration says is_decoder."""
    sizes: dict[str, Any] = {
        "vocab_size": 64,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    BertLMHeadModel(BertConfig(**sizes, is_decoder=True)).save_pretrained(tmp_path / "causal")
    weights(tmp_path / "causal", "float32", "cpu")
    BertLMHeadModel(BertConfig(**sizes)).save_pretrained(tmp_path / "both")
    with pytest.raises(UserError, match="BertLMHeadModel looks at later tokens; give a causal model"):
        weights(tmp_path / "both", "float32", "cpu")


@pytest.mark.parametrize("fault", ["missing", "shape"])
def test_what_the_files_lack_is_told_before_anything_is_loaded(
    fault: str, tiny_base: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    check(folder)
    tensors = load_file(folder / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    if fault == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name][:-1].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    told = f"its files lack {name}" if fault == "missing" else f"{name} is "
    with pytest.raises(UserError, match=told.replace(".", r"\.")):
        check(folder)
