"""The vLLM engine: what it refuses, and what it would start; vLLM itself needs a GPU and is not run here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from suite.engines import vllm
from suite.errors import UserError
from suite.record import EvaluationSettings
from suite.scoring.evaluate import evaluate
from tasks import registry

SETTINGS = EvaluationSettings(target=[], general=[], engine="vllm")
LORA = {
    "peft_type": "LORA",
    "r": 8,
    "lora_alpha": 16,
    "rank_pattern": {"q_proj": 12},
    "alpha_pattern": {"q_proj": 24},
}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if vLLM and a GPU were there."""
    monkeypatch.setattr(vllm, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def adapter(folder: Path, **changes: Any) -> Path:
    from numpy import zeros
    from safetensors.numpy import save_file

    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({**LORA, **changes}))
    save_file({"layer.q_proj.lora_A.weight": zeros((8, 4))}, folder / "adapter_model.safetensors")
    return folder


def test_without_vllm_and_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="vLLM is not installed; pip install vllm, or engine: transformers"):
        vllm.evaluate(tmp_path, tmp_path, registry.get("math").evaluations, SETTINGS, "float32")
    monkeypatch.setattr(vllm, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="needs an NVIDIA GPU, and none is there"):
        vllm.check(tmp_path, SETTINGS, "float32")


@pytest.mark.usefixtures("installed")
def test_what_it_does_not_load_is_told(tmp_path: Path) -> None:
    vllm.check(adapter(tmp_path / "good"), SETTINGS, "bfloat16")
    with pytest.raises(UserError, match="it has no DoRA"):
        vllm.check(adapter(tmp_path / "dora", use_dora=True), SETTINGS, "bfloat16")
    with pytest.raises(UserError, match=r"temperature is 0\.8"):
        vllm.check(tmp_path / "good", SETTINGS.model_copy(update={"temperature": 0.8}), "float32")


def test_arguments_of_an_adapter_and_of_whole_weights(tmp_path: Path) -> None:
    base, made, whole = tmp_path / "base", adapter(tmp_path / "adapter"), tmp_path / "whole"
    shared = {"dtype": "bfloat16", "batch_size": "auto", "seed": 1234}
    assert vllm.arguments(made, base, "bfloat16") == {
        "pretrained": str(base),
        "tokenizer": str(base),
        "lora_local_path": str(made),
        "max_lora_rank": 16,
        **shared,
    }
    (made / "base").mkdir()
    (made / "base" / "config.json").write_text("{}")
    assert vllm.arguments(made, base, "bfloat16")["pretrained"] == str(made / "base")
    whole.mkdir()
    assert vllm.arguments(whole, base, "bfloat16") == {
        "pretrained": str(whole),
        "tokenizer": str(base),
        **shared,
    }
    (whole / "tokenizer.json").write_text("{}")
    assert vllm.arguments(whole, base, "bfloat16")["tokenizer"] == str(whole)


@pytest.mark.usefixtures("installed")
def test_its_answers_are_scored_as_any_others(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.models.huggingface import HFLM

    def start(pretrained: str, tokenizer: str, **rest: Any) -> Any:
        return HFLM(pretrained=pretrained, tokenizer=tokenizer, device="cpu", batch_size=2)  # type: ignore[call-arg]

    stub: Any = ModuleType("lm_eval.models.vllm_causallms")
    stub.VLLM = start
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    notes: list[str] = []
    evaluations = registry.get("math").evaluations
    limited = SETTINGS.model_copy(update={"limit": 2})
    found = vllm.evaluate(tiny_base, tiny_base, evaluations, limited, "bfloat16", on_note=notes.append)
    assert found["pocket_math"].n == 2 and found["pocket_math"].items[0].response
    assert notes == ["vLLM cuts the beginning of prompts longer than its context, and does not count them"]


def test_a_loaded_model_is_not_scored_by_it(tiny_model: Any, tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="a loaded model is scored by transformers"):
        evaluate(tiny_model, tokenizer, registry.get("math").evaluations, settings=SETTINGS)
