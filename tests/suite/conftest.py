"""A base in a folder: a random two-layer Llama and a byte-level tokenizer, as save_pretrained writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

EOS = "<eos>"


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Every byte a token, and end of text, which also pads."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {EOS: 0, **{letter: i for i, letter in enumerate(letters, 1)}}
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=EOS, pad_token=EOS)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    """The folder of a random base: hidden 32, two layers, context of 1024 tokens."""
    folder = tmp_path_factory.mktemp("bases") / "tiny"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=2,
                max_position_embeddings=1024,
                tie_word_embeddings=True,
                pad_token_id=0,
                bos_token_id=None,
                eos_token_id=0,
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def trained_store(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a record of each kind of kept weights: an adapter, one on its own base, a whole model.

    Trained and scored in this process, for four steps and on two items.
    """
    from suite.baseline import before
    from suite.found import record_of
    from suite.jobs import TrainPack
    from suite.plan import Request, resolve
    from suite.provenance import provenance
    from suite.record import Scores
    from suite.store import Store
    from suite.workshop import Workshop

    store = Store(tmp_path_factory.mktemp("stores") / "trained")
    variants = "lora:rank=4,alpha=8,loftq:rank=4,fullft"
    plan = resolve(
        Request(variants=variants, tasks="math", model=str(tiny_base), steps="4", limit="2", device="cpu")
    )
    shop = Workshop(plan.setup, 1, store.path / "adapters", store.path)
    known = {}
    for job in before(plan.cells[0], plan.cells[0].how.recipe):
        known |= job.run(shop, _untold)
    for cell in plan.cells:
        (found,) = TrainPack((cell,)).run(shop, _untold)
        made = provenance("suite run", "cpu", found.threads, found.settings)
        store.write(record_of(found, Scores.model_validate(known), made))
    return store.path


def _untold(stage: str, step: int, steps: int, loss: float | None = None) -> None:
    """Progress that nobody follows."""
