"""Makes the pocket base: tokenizer and a small Llama, trained on the pocket world's text.

    python -m suite.pretrain --out DIR            # the shipped recipe; run again to resume

Seeded and resumable: a checkpoint every 100 steps holds weights, optimiser and position, and the same
seed reads the same text. One thread by default, as for the shipped weights: sums depend on it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from suite.seeds import seed_for
from tasks.pocket import corpus, talk
from tasks.pocket.draw import rng

EOS = "<eos>"
VOCABULARY = 1536
CONTEXT = 1024


@dataclass(frozen=True)
class BaseRecipe:
    """How the base is made: `steps` of `batch` x `length` tokens, stopped before the end of the cosine.

    A base annealed to the end is stiff: fine-tuning it takes several times the steps (LOG.md).
    """

    steps: int = 1600
    horizon: int = 2000
    batch: int = 16
    length: int = 256
    peak_rate: float = 2e-3
    warmup: int = 50
    weight_decay: float = 0.1
    hidden: int = 160
    layers: int = 4
    heads: int = 5
    intermediate: int = 432
    seed: int = 0


def make_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of at most 1,536 tokens, digits apart, from 20,000 documents and as much talk."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    source, words = corpus.documents(f"tokenizer {seed}"), rng("tokenizer", seed)
    for_merges = itertools.chain.from_iterable((next(source), talk.document(words)) for _ in range(20_000))
    tokenizer.train_from_iterator(for_merges, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, pad_token=EOS, model_max_length=CONTEXT
    )


def make_model(recipe: BaseRecipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """The untrained Llama, tied embeddings, seeded."""
    torch.manual_seed(seed_for(recipe.seed, "base weights"))
    eos = cast(int, tokenizer.convert_tokens_to_ids(EOS))
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=eos,
        eos_token_id=eos,
        pad_token_id=eos,
    )
    return LlamaForCausalLM(config)


def batches(tokenizer: PreTrainedTokenizerFast, recipe: BaseRecipe, skip: int) -> Iterator[Tensor]:
    """Batches [batch, length] of packed documents, each after an <eos>; `skip` batches are passed over."""
    size = recipe.batch * recipe.length
    source = corpus.documents(f"train {recipe.seed}")
    buffer: list[int] = []
    for index in itertools.count():
        while len(buffer) < size:
            texts = [EOS + text for text in itertools.islice(source, 256)]
            for ids in tokenizer(texts)["input_ids"]:
                buffer.extend(ids)
        if index >= skip:
            yield torch.tensor(buffer[:size]).view(recipe.batch, recipe.length)
        del buffer[:size]


def rate(recipe: BaseRecipe, step: int) -> float:
    """Linear warm-up, then a cosine that would reach zero at `horizon`, long after the last step."""
    if step < recipe.warmup:
        return recipe.peak_rate * (step + 1) / recipe.warmup
    share = (step - recipe.warmup) / (recipe.horizon - recipe.warmup)
    return recipe.peak_rate * 0.5 * (1 + math.cos(math.pi * share))


def train(recipe: BaseRecipe, out: Path, log_every: int = 50, save_every: int = 100) -> None:
    """Trains (or goes on training) into `out`: the model folder, and `log.jsonl` with tokens, time, loss."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(recipe.seed)
    model = make_model(recipe, tokenizer)
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decay, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=recipe.peak_rate, betas=(0.9, 0.98), fused=True)
    checkpoint, first, seconds = out / "checkpoint.pt", 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        first, seconds = state["step"], state["seconds"]
    started = time.perf_counter() - seconds
    for step, ids in zip(range(first, recipe.steps), batches(tokenizer, recipe, first), strict=False):
        for group in optimiser.param_groups:
            group["lr"] = rate(recipe, step)
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        done = step + 1
        if done % log_every == 0 or done == recipe.steps:
            seconds = time.perf_counter() - started
            tokens = done * recipe.batch * recipe.length
            line = {"step": done, "tokens": tokens, "seconds": round(seconds), "loss": round(loss.item(), 4)}
            print(json.dumps(line), flush=True)
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        if done % save_every == 0 or done == recipe.steps:
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save({**state, "step": done, "seconds": time.perf_counter() - started}, f"{checkpoint}.new")
            os.replace(f"{checkpoint}.new", checkpoint)
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the model, the log, the checkpoint"
    )
    parser.add_argument("--seed", type=int, default=BaseRecipe.seed)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(BaseRecipe(seed=arguments.seed), arguments.out)


if __name__ == "__main__":
    main()
