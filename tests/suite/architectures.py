"""Random models of many families, small enough for a test: what sets them apart is in their configuration."""

from __future__ import annotations

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

SIZE: dict[str, Any] = {
    "vocab_size": 160,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "num_local_experts": 4, "num_experts": 4}
OWN: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": False},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 8, "tie_word_embeddings": True},
    "mistral": {"sliding_window": 4},
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "sliding_window": 4, "final_logit_softcapping": 0.5},
    "gemma3_text": {"head_dim": 8, "sliding_window": 4, "sliding_window_pattern": 2},
    "cohere": {"logit_scale": 0.0625},
    "granite": {"logits_scaling": 8.0, "embedding_multiplier": 12.0, "residual_multiplier": 0.2},
    "phi": {},
    "phi3": {},
    "gpt_neox": {},
    "olmo2": {},
    "starcoder2": {"sliding_window": 4},
    "mixtral": EXPERTS,
    "qwen3_moe": {**EXPERTS, "head_dim": 8, "moe_intermediate_size": 16},
    "gpt2": {},
    "opt": {"word_embed_proj_dim": 16, "ffn_dim": 48},
    "bloom": {},
    "mamba": {},
}


def build(family: str, seed: int = 0, **changes: Any) -> Any:
    """A frozen random model of this family, float32, with weights large enough for logits to differ."""
    config = CONFIG_MAPPING[family](**{**SIZE, **OWN[family], **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        for p in model.parameters():
            if p.ndim > 1:
                p.data.normal_(0, 0.2)
    return model.eval().requires_grad_(False)
