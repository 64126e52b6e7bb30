"""Random two-layer models of every family that the suite names, hidden size 32, and rows to train them on."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Phi3Config,
    PhiConfig,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
    SmolLM3Config,
)

from suite.training.encode import Encoded

SIZE: dict[str, Any] = {
    **{"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
GATED = {**SIZE, "intermediate_size": 48, "num_key_value_heads": 1}
HEADED = {**GATED, "head_dim": 16}

FAMILIES: dict[str, Any] = {
    "llama, tied": lambda: LlamaConfig(**GATED, tie_word_embeddings=True),
    "qwen2": lambda: Qwen2Config(**GATED),
    "qwen3": lambda: Qwen3Config(**HEADED),
    "gemma": lambda: GemmaConfig(**HEADED),
    "gemma2, sliding": lambda: Gemma2Config(**HEADED, sliding_window=8),
    "gemma3, sliding": lambda: Gemma3TextConfig(**HEADED, sliding_window=8),
    "mistral, sliding": lambda: MistralConfig(**GATED, sliding_window=8),
    "phi": lambda: PhiConfig(**SIZE, intermediate_size=48),
    "phi3, fused": lambda: Phi3Config(**GATED),
    "smollm3": lambda: SmolLM3Config(**GATED),
    "pythia, fused": lambda: GPTNeoXConfig(**SIZE, intermediate_size=48),
    "gpt2, Conv1D": lambda: GPT2Config(
        vocab_size=96, n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=1, eos_token_id=2
    ),
    "qwen3-moe": lambda: Qwen3MoeConfig(
        **HEADED, moe_intermediate_size=24, num_experts=4, num_experts_per_tok=2
    ),
    "mixtral": lambda: MixtralConfig(**GATED, num_local_experts=4, num_experts_per_tok=2),
}
EXPERTS = ("qwen3-moe", "mixtral")


def build(family: str, dtype: torch.dtype = torch.float32, attention: str | None = None) -> Any:
    """A frozen model, the same every time; biases are drawn too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        model = AutoModelForCausalLM.from_config(
            FAMILIES[family](), dtype=dtype, attn_implementation=attention
        )
        for name, p in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(p, std=0.05)
    return model.eval().requires_grad_(False)


def rows(count: int = 4) -> list[Encoded]:
    """Rows of 8 to 20 tokens."""
    rng = torch.Generator().manual_seed(3)
    return [
        Encoded(tuple(torch.randint(3, 96, (20 - 4 * i,), generator=rng).tolist()), 4) for i in range(count)
    ]
