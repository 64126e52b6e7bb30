"""The memory that is said beforehand against the memory that a real step is counted to use."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, GPT2Config, LlamaConfig, Qwen3MoeConfig

from suite.kernels import checkpointing
from suite.record import Recipe
from suite.training import memory
from suite.training.encode import Encoded
from suite.training.memory import Work, fits, largest_micro_batch, needs
from suite.training.train import Member, train
from variants import registry

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

NEAR = 0.02  # the promise is 0.15
ENDS: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
MODELS: dict[str, Any] = {
    "llama": LlamaConfig(
        vocab_size=1500,
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        **ENDS,
    ),
    "gemma3": Gemma3TextConfig(
        vocab_size=3000,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=48,
        sliding_window=32,
        **ENDS,
    ),
    "gpt2": GPT2Config(
        vocab_size=900, n_embd=64, n_layer=4, n_head=4, n_positions=256, bos_token_id=1, eos_token_id=2
    ),
    "qwen3-moe": Qwen3MoeConfig(
        vocab_size=700,
        hidden_size=64,
        intermediate_size=128,
        moe_intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        num_experts=4,
        num_experts_per_tok=2,
        **ENDS,
    ),
}


def work(rows: int, length: int, precision: str = "float32", each: int = 1, **how: Any) -> Work:
    """Two steps on `rows` rows, `each` of them packed into one."""
    settings: dict[str, Any] = {"precision": precision, "batching": "padded" if each == 1 else "packed"}
    settings["max_length"] = each * length
    return Work(Recipe(steps=2, batch_size=rows, **settings), length, **how)


def measured(config: Any, spec: str, how: Work) -> int:
    """The counted peak of the same training on real numbers."""
    recipe = how.recipe
    dtype = torch.bfloat16 if recipe.precision == "bfloat16" else torch.float32
    kernel = {"attn_implementation": how.attention} if how.attention else {}
    model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype, **kernel).eval().requires_grad_(False)
    rows = [Encoded(tuple(range(3, 3 + how.length)), 1)] * recipe.batch_size
    mixed = torch.autocast("cpu", torch.bfloat16) if recipe.precision == "mixed" else nullcontext()
    with mixed, checkpointing(model, how.checkpointing):
        adapter = registry.parse(spec).attach(model, 0, memory._calibration(model, rows[:2]))
        member = Member(adapter, rows, recipe, 1e-4, ("rows",))
        (found,) = train(model, [member], 0, micro_batch=how.micro_batch)
    assert found.status == "ok" and found.peak_memory_bytes
    return found.peak_memory_bytes


@pytest.mark.parametrize(
    ("name", "spec", "how"),
    [
        ("llama", "lora:rank=8", work(4, 96)),
        ("llama", "pissa:rank=8", work(2, 160)),
        ("llama", "loftq:rank=8", work(4, 64)),
        ("llama", "qlora:rank=8", work(4, 64, "bfloat16")),
        ("llama", "lori-s:rank=8", work(4, 64)),
        ("llama", "dora:rank=8", work(4, 64)),
        ("llama", "vera:rank=64", work(4, 64)),
        ("llama", "lora-fa:rank=8", work(4, 64, checkpointing=True)),
        ("llama", "corda:rank=8", work(4, 64)),
        ("llama", "peft:oft,oft_block_size=8", work(4, 64)),
        ("llama", "fullft", work(4, 64, "mixed")),
        ("llama", "lora:rank=8", work(4, 48, each=2)),
        ("gemma3", "fullft", work(8, 64, micro_batch=2)),
        ("gemma3", "lori-d:rank=8", work(4, 96, attention="eager")),
        ("gpt2", "lora:rank=8,dropout=0.1", work(4, 96)),
        ("gpt2", "fullft", work(4, 96, checkpointing=True)),
        ("qwen3-moe", "lora:rank=8", work(4, 64)),
        ("qwen3-moe", "fullft", work(4, 64)),
    ],
)
def test_what_is_said_is_what_is_used(name: str, spec: str, how: Work, tmp_path: Path) -> None:
    MODELS[name].save_pretrained(tmp_path)
    said = needs(tmp_path, registry.parse(spec), how, "cpu")
    assert said.peak == pytest.approx(measured(MODELS[name], spec, how), rel=NEAR)
    assert said.adapted and said.trainable


@pytest.mark.parametrize("spec", ["lora:rank=8", "fullft"])
@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_logits_in_pieces(spec: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a large vocabulary, where the head runs again and again."""
    monkeypatch.setattr("suite.training.losses.LIMIT", 1 << 16)
    MODELS["llama"].save_pretrained(tmp_path)
    how = work(4, 96, precision)
    said = needs(tmp_path, registry.parse(spec), how, "cpu")
    assert said.peak == pytest.approx(measured(MODELS["llama"], spec, how), rel=NEAR)


def test_real_runs_after_it_are_untouched(tmp_path: Path) -> None:
    """Nothing that was made without numbers stays behind in a cache."""
    MODELS["llama"].save_pretrained(tmp_path)
    how = work(2, 32)
    before = measured(MODELS["llama"], "loftq:rank=4,bits=2", how)
    needs(tmp_path, registry.parse("loftq:rank=4,bits=2"), how, "cpu")
    assert measured(MODELS["llama"], "loftq:rank=4,bits=2", how) == before
    needs(tmp_path, registry.parse("loftq:rank=4,bits=3"), how, "cuda")
    measured(MODELS["llama"], "loftq:rank=4,bits=3", how)


def test_a_gpu_has_a_workspace_and_holds_what_a_step_does_not_touch(tmp_path: Path) -> None:
    """The weights that full fine-tuning trains a copy of, but no dense weight under a quantised one."""
    MODELS["llama"].save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_config(MODELS["llama"])
    own = 4 * sum(p.numel() for p in model.parameters())
    for spec, untouched in (("fullft", own), ("loftq:rank=4", 0), ("lora:rank=4", 0)):
        variant, how = registry.parse(spec), work(1, 16)
        on_cpu, on_gpu = (needs(tmp_path, variant, how, kind).peak for kind in ("cpu", "cuda"))
        assert on_gpu - memory.WORKSPACE - untouched == pytest.approx(on_cpu, rel=0.01), spec


def test_the_largest_micro_batch_fits_and_the_next_one_does_not(tmp_path: Path) -> None:
    MODELS["gpt2"].save_pretrained(tmp_path)
    how, variant = work(16, 96), registry.parse("lora:rank=8")
    free = needs(tmp_path, variant, replace(how, micro_batch=4), "cpu").peak * 1.1
    assert largest_micro_batch(tmp_path, variant, how, "cpu", int(free)) == 4
    assert not fits(needs(tmp_path, variant, replace(how, micro_batch=8), "cpu").peak, int(free))
    assert largest_micro_batch(tmp_path, variant, how, "cpu", 1 << 40) == 16
    assert largest_micro_batch(tmp_path, variant, how, "cpu", 1 << 20) is None
    assert fits(95, 100) and not fits(96, 100)
