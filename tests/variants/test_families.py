"""Every family of models under the variants: trained by the suite, exported, read back, taken off again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from suite.effect import logits, reopened
from suite.kernels import checkpointing
from suite.record import Recipe
from suite.training.train import Member, train
from tests.variants.families import EXPERTS, FAMILIES, build, rows
from tests.variants.pieces import gradients, moved
from variants import VariantError, registry, routed

# What transformers says of adapters on a model that has a name for checkpointing, and peft of tied weights.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

SPECS = ("lora", "pissa", "loftq:iterations=1", "lori-d", "lori-s", "fullft")
OTHERS = ("dora", "qlora")
LINEAR_ONLY = ("loftq", *OTHERS)
UNIT = {torch.float32: 1e-5, torch.bfloat16: 4e-2}


def spec(text: str, family: str) -> str:
    """The variant at a rank that the models have room for; on experts only where it can be."""
    name, _, settings = text.partition(":")
    if name == "fullft":
        return name
    only = ["targets=attention"] if family in EXPERTS and name in LINEAR_ONLY else []
    return f"{name}:" + ",".join(["rank=4", *([settings] if settings else []), *only])


def lives(model: Any, text: str, folder: Path, precision: str = "float32") -> None:
    """Attach, train two steps, export, reload, detach: every promise of the suite on this model."""
    ids = torch.tensor([rows()[0].ids])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    base = logits(model, ids)
    adapter = registry.parse(text).attach(model, 0)
    member = Member(adapter, rows(), Recipe(steps=2, batch_size=4, warmup=0), 1e-2, ("rows",))
    (found,) = train(model, [member], 0)
    assert found.status == "ok", found.error
    now = logits(model, ids, adapter)
    assert (now - base).abs().max() > 1e-4
    with reopened(model, adapter.export(folder), precision) as (again, adapters):
        torch.testing.assert_close(
            logits(again, ids, *adapters), now, rtol=0, atol=UNIT[getattr(torch, precision)]
        )
    adapter.detach()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(logits(model, ids), base)


@pytest.mark.parametrize("text", SPECS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_variant_lives_on_a_family(family: str, text: str, tmp_path: Path) -> None:
    lives(build(family), spec(text, family), tmp_path / "made")


@pytest.mark.parametrize("text", OTHERS)
@pytest.mark.parametrize("family", ["phi", "qwen3-moe", "gpt2, Conv1D"])
def test_other_kinds_of_sites(family: str, text: str, tmp_path: Path) -> None:
    lives(build(family), spec(text, family), tmp_path / "made")


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["qwen3", "gemma3, sliding", "gpt2, Conv1D"])
def test_attention_kernels_and_bfloat16(family: str, attention: str, tmp_path: Path) -> None:
    lives(build(family, torch.bfloat16, attention), "lora:rank=4", tmp_path, "bfloat16")


@pytest.mark.parametrize("family", EXPERTS)
def test_what_fused_experts_cannot_have_is_refused_by_name(family: str) -> None:
    with pytest.raises(VariantError, match="only linear; leave it out of targets"):
        registry.parse("dora:rank=4").check(build(family))


@pytest.mark.parametrize("name", ["lora", "loftq", "fullft"])
@pytest.mark.parametrize("family", ["qwen3", "gemma3, sliding", "pythia, fused", "gpt2, Conv1D", "mixtral"])
def test_checkpointing_gives_the_same_gradients(family: str, name: str) -> None:
    model = build(family)
    adapter = moved(registry.parse(spec(name, family)).attach(model, 0))
    tokens = torch.tensor([row.ids[:8] for row in rows()])
    (kept,) = gradients(model, [adapter], tokens)
    calls = []
    block = next(module for name, module in model.named_modules() if name.endswith(".0"))
    handle = block.register_forward_hook(lambda *_: calls.append(1))
    inner = next(block.children()).register_forward_hook(lambda *_: calls.append(2))
    with checkpointing(model, True):
        (again,) = gradients(model, [adapter], tokens)
    handle.remove()
    inner.remove()
    assert calls.count(2) == 2, "the block's content runs twice: forward, and again in the backward"
    for key, grad in kept.items():
        torch.testing.assert_close(again[key], grad, rtol=0, atol=1e-6)
    assert all("forward" not in module.__dict__ for module in model.modules())


def test_packed_members_keep_their_rows_where_a_model_flattens_its_batch() -> None:
    """OPT's feed-forward layers see [rows * tokens, d]."""
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(2)
    config = OPTConfig(
        **{"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 1, "ffn_dim": 48},
        **{"num_attention_heads": 2, "max_position_embeddings": 64, "word_embed_proj_dim": 32},
    )
    model = OPTForCausalLM(config).eval()
    one, two = (moved(registry.parse("lora:rank=4").attach(model, seed), 0.2) for seed in (0, 1))
    tokens = torch.tensor([row.ids[:8] for row in rows()])
    with torch.no_grad(), routed(model, one, two, rows=[slice(0, 1), slice(1, 3)]):
        together = model(tokens).logits
    for span, members in ((slice(0, 1), [one]), (slice(1, 3), [two]), (slice(3, 4), [])):
        with torch.no_grad(), routed(model, *members):
            torch.testing.assert_close(together[span], model(tokens[span]).logits, rtol=0, atol=1e-5)


def test_full_fine_tuning_of_positions_that_no_row_reaches() -> None:
    """The conformance check counts them as if they moved; a word that does not move is still a fault."""
    from variants.check import Probe
    from variants.conformance.of_training import counts_are_true
    from variants.conformance.probes import Fault

    def make() -> Any:
        model = build("gpt2, Conv1D")
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.flip(0), requires_grad=False)
        return model

    words = torch.arange(96).view(12, 8)
    tokens = torch.cat([words, words[:, :1]], dim=1)
    assert "numbers" in counts_are_true(registry.parse("fullft"), Probe(make, tokens))
    with pytest.raises(Fault, match="numbers move"):
        counts_are_true(registry.parse("fullft"), Probe(make, tokens.clamp(max=90)))
