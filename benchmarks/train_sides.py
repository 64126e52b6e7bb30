"""The two sides of benchmarks/train_step.py: the suite's loop, and peft with the plain transformers loop."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import peft
import torch
import transformers

from suite.record import Recipe
from suite.training.batches import order
from suite.training.encode import Encoded
from suite.training.train import Loop, Member, Run
from variants import registry

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": dict(
        model_type="llama", vocab_size=160, hidden_size=32, intermediate_size=48, layers=2, heads=(4, 2, 8)
    ),
    "pocket": dict(
        model_type="llama",
        vocab_size=1536,
        hidden_size=160,
        intermediate_size=432,
        layers=4,
        heads=(5, 5, 32),
    ),
    "qwen3-0.6b": dict(
        model_type="qwen3",
        vocab_size=151936,
        hidden_size=1024,
        intermediate_size=3072,
        layers=28,
        heads=(16, 8, 128),
    ),
    "llama-3.2-1b": dict(
        model_type="llama",
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        layers=16,
        heads=(32, 8, 64),
    ),
}
METHODS = {"LoRA r=16": "lora:rank=16,alpha=16", "FullFT": "fullft"}
RATE = {"LoRA r=16": 1e-4, "FullFT": 1e-5}
RANK = 16
PROMPT = 4  # one token in so many belongs to the prompt
ROWS = 4  # batches of data, over and over
KEY = (0, "train_step")  # of their order


@dataclass
class Side:
    """One way of training: a step that gives its loss, and what was measured of it."""

    title: str
    step: Callable[[], float]
    held: int = 0
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    peak: int = 0
    flops: int = 0
    first: float = 0.0


def config_of(shape: str, given: argparse.Namespace) -> Any:
    """The configuration of this shape."""
    size = dict(SHAPES[shape])
    heads, kv, head_dim = size.pop("heads")
    kind: Any = transformers.CONFIG_MAPPING[size.pop("model_type")]
    return kind(
        num_hidden_layers=size.pop("layers"),
        num_attention_heads=heads,
        num_key_value_heads=kv,
        head_dim=head_dim,
        max_position_embeddings=max(1024, given.length),
        tie_word_embeddings=True,
        pad_token_id=0,
        **size,
    )


def model_of(shape: str, given: argparse.Namespace) -> Any:
    """A random model of this shape, the same weights every time."""
    config = config_of(shape, given)
    dtype = torch.bfloat16 if given.precision == "bfloat16" else torch.float32
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype).to(given.device)
    if given.compile:
        for block in model.model.layers:
            block.compile()
    return model.eval().requires_grad_(False)


def rows_of(given: argparse.Namespace, vocabulary: int) -> list[Encoded]:
    """Random rows of one length, a quarter of each the prompt."""
    rng = torch.Generator().manual_seed(0)
    ids = torch.randint(1, vocabulary, (ROWS * given.batch, given.length), generator=rng)
    return [Encoded(tuple(row), given.length // PROMPT) for row in ids.tolist()]


def mixed(given: argparse.Namespace) -> AbstractContextManager[Any]:
    """bfloat16 arithmetic on float32 weights, where that is asked for."""
    kind = torch.device(given.device).type
    return torch.autocast(kind, torch.bfloat16) if given.precision == "mixed" else nullcontext()


def ours(method: str, given: argparse.Namespace) -> Side:
    """The suite's own loop."""
    model = model_of(given.shape, given)
    rows = rows_of(given, model.config.vocab_size)
    recipe = Recipe(
        steps=10**6, batch_size=given.batch, schedule="constant", warmup=0, max_length=given.length
    )
    adapter = registry.parse(METHODS[method]).attach(model, 0)
    run = Run(Member(adapter, rows, recipe, RATE[method], KEY))
    loop = Loop(model, 0, torch.device(given.device), None)

    def step() -> float:
        with mixed(given):
            (point,) = loop.step([run])
        assert point is not None, run.training.error
        return point.loss

    return Side("ours", step)


def with_peft(model: Any, spec: str) -> Any:
    """peft's LoRA on all linear layers, started where ours starts."""
    adapter = registry.parse(spec).attach(model, 0)
    starts = {name: site.A.detach().clone() for name, site in adapter.sites.items()}
    adapter.detach()
    config = peft.LoraConfig(r=RANK, lora_alpha=RANK, lora_dropout=0.0, target_modules="all-linear")
    made: Any = peft.get_peft_model(model, config)
    layers: dict[str, Any] = dict(made.base_model.model.named_modules())
    assert starts.keys() == {n for n, layer in layers.items() if hasattr(layer, "lora_A")}
    for name, A in starts.items():
        layers[name].lora_A["default"].weight.data.copy_(A)
    return made


def theirs(method: str, given: argparse.Namespace) -> Side:
    """peft (or the bare model) in the plain loop."""
    model = model_of(given.shape, given)
    rows = rows_of(given, model.config.vocab_size)
    model = model.requires_grad_(True) if method == "FullFT" else with_peft(model, METHODS[method])
    model.train()
    params = [p for p in model.parameters() if p.requires_grad]
    adamw = torch.optim.AdamW(params, lr=RATE[method], weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(adamw, lambda _: 1.0)
    chosen = order(len(rows), given.batch, KEY)

    def step() -> float:
        batch = [rows[i] for i in next(chosen)]
        ids = torch.tensor([row.ids for row in batch]).to(given.device)
        labels = ids.clone()
        labels[:, : batch[0].first] = -100
        with mixed(given):
            loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        adamw.step()
        schedule.step()
        adamw.zero_grad(set_to_none=True)
        return loss.item()

    return Side("peft" if method != "FullFT" else "transformers", step)
