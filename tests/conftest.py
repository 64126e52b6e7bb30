"""A two-layer model in milliseconds, one thread, and a seed before every test."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

os.environ["LORA_SUITE_PLUGINS"] = "0"  # the tests see no plugin of this machine
torch.set_num_threads(1)

TINY: dict[str, Any] = {
    "vocab_size": 256,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

MakeModel = Callable[..., LlamaForCausalLM]


def _make_model(seed: int = 1234, **config: Any) -> LlamaForCausalLM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**{**TINY, **config})).eval()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def make_model() -> MakeModel:
    """A function that builds a fresh random two-layer Llama; keywords change its configuration."""
    return _make_model


@pytest.fixture
def tiny_model() -> LlamaForCausalLM:
    """A fresh random two-layer Llama: hidden 64, vocabulary 256, the same weights every time."""
    return _make_model()


@pytest.fixture
def tokens() -> torch.Tensor:
    """Eight rows of twelve token ids, the same every time."""
    return torch.randint(3, 256, (8, 12), generator=torch.Generator().manual_seed(7))
