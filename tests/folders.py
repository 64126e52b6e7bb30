"""Model folders for tests: a random model of a real architecture with a tokenizer trained on the spot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

EOS = "<|endoftext|>"


def texts(data: Path, count: int = 200) -> Iterator[str]:
    """The first rows of some training files, as text."""
    for name in ("gsm8k", "codealpaca", "alpaca"):
        with (data / name / "train.jsonl").open(encoding="utf-8") as file:
            for line, _ in zip(file, range(count), strict=False):
                yield " ".join(str(value) for value in json.loads(line).values())


def tokenizer(data: Path, size: int = 1024) -> PreTrainedTokenizerFast:
    """A byte-level BPE of `size` tokens, trained on rows of the data folder; it has no padding token."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    options: dict[str, Any] = {"special_tokens": [EOS], "show_progress": False}
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, **options)
    bpe.train_from_iterator(texts(data), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=EOS)


def write(folder: Path, config: Any, tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> Path:
    """A folder as save_pretrained leaves it: random weights of this configuration and the tokenizer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
