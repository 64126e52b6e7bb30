"""Which layers a variant adapts: words, words taken out, patterns, the ends of the model, fused experts."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    MixtralConfig,
    MixtralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from variants import VariantError, merge, parse, routed
from variants.targets import select

ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
MLP = {"gate_proj", "up_proj", "down_proj"}


def leaves(model, targets):
    adapter = parse(f"lora:rank=2,targets={targets}").attach(model, 0)
    names = adapter.adapted()
    adapter.detach()
    assert len(names) == len(set(names))
    return {name.rpartition(".")[2] for name in names}


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("all", ATTENTION | MLP),
        ("attention", ATTENTION),
        ("mlp", MLP),
        ("mlp-gate_proj", {"up_proj", "down_proj"}),
        ("-gate_proj", ATTENTION | {"up_proj", "down_proj"}),
        ("all-attention+lm_head", MLP | {"lm_head"}),
        ("attention+embed_tokens", ATTENTION | {"embed_tokens"}),
        ("q_proj+v_proj", {"q_proj", "v_proj"}),
        ("q_proj|v_proj", {"q_proj", "v_proj"}),
        (r".*self_attn\.[qk]_proj", {"q_proj", "k_proj"}),
    ],
)
def test_words_and_patterns(targets, expected, tiny_model):
    assert leaves(tiny_model, targets) == expected


def test_a_pattern_may_pick_one_block(tiny_model):
    adapter = parse(r"lora:targets=model\.layers\.1\..*").attach(tiny_model, 0)
    assert len(adapter.adapted()) == 7 and all(".layers.1." in name for name in adapter.adapted())


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ("qproj", "no layer is called 'qproj'; nearest is 'q_proj'"),
        ("all-gate", "no layer is called 'gate'; nearest is 'gate_proj'"),
        ("mlp-all", "targets 'mlp-all' leave no layer to adapt"),
        (r".*\.w1", r"targets '.*\\.w1' match no layer"),
        ("q_proj(", "neither words nor a regular expression"),
    ],
)
def test_what_matches_nothing_is_refused(targets, message, tiny_model):
    with pytest.raises(VariantError) as caught:
        parse(f"lora:targets={targets}").check(tiny_model)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_layers_stored_transposed_are_linear_layers():
    """GPT-2's blocks are of Conv1D: weights [d_in, d_out], of which a layer shows a view [d_out, d_in]."""
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=32, n_embd=32, n_layer=1, n_head=2))
    assert leaves(model, "attention") == {"c_attn", "c_proj"} and leaves(model, "mlp") == {"c_fc", "c_proj"}
    layer = select(model)["transformer.h.0.attn.c_attn"]
    stored = model.transformer.h[0].attn.c_attn.weight
    assert layer.sides == (96, 32) and layer.weight.data_ptr() == stored.data_ptr()


def test_a_model_of_other_layers_is_told_what_fits_it():
    """Only the head of this one is linear."""
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=32, n_embd=32, n_layer=0, n_head=2))
    with pytest.raises(
        VariantError, match="GPT2LMHeadModel has no linear layer besides its head; use fullft"
    ):
        parse("lora").check(model)


def test_blocks_without_an_mlp_module():
    """OPT's feed-forward layers stand in the block itself, beside the attention module."""
    config = OPTConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=1,
        ffn_dim=48,
        num_attention_heads=2,
        word_embed_proj_dim=32,
        max_position_embeddings=32,
    )
    model = OPTForCausalLM(config)
    assert leaves(model, "mlp") == {"fc1", "fc2"}
    assert leaves(model, "attention") == {"q_proj", "k_proj", "v_proj", "out_proj"}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", ["lora", "pissa", "lori-d"])
def test_both_ends_of_the_model(name, tied, make_model, tokens):
    """The output embedding is a linear layer; the input embedding is adapted as it is stored."""
    model = make_model(tie_word_embeddings=tied)
    before = model(tokens).logits
    adapter = parse(f"{name}:rank=4,targets=lm_head+embed_tokens").attach(model, 0)
    assert adapter.adapted() == ["model.embed_tokens", "lm_head"]
    with routed(model, adapter):
        torch.testing.assert_close(model(tokens).logits, before, rtol=0, atol=1e-5)
    with torch.no_grad():
        for group in adapter.groups():
            for p in group.params.values():
                p.add_(0.1 * torch.randn_like(p))
    ends = {key: model.get_parameter(key).detach() + delta for key, delta in adapter.deltas()}
    with routed(model, adapter):
        hidden = model.get_input_embeddings()(tokens)
        torch.testing.assert_close(hidden, F.embedding(tokens, ends["model.embed_tokens.weight"]))
        torch.testing.assert_close(
            model.lm_head(hidden), hidden @ ends["lm_head.weight"].T, rtol=0, atol=1e-5
        )
    assert torch.equal(model(tokens).logits, before)


def mixtral(**changes):
    config = {
        **{"vocab_size": 256, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2},
        **{
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
        },
    }
    torch.manual_seed(3)
    return MixtralForCausalLM(MixtralConfig(**{**config, **changes})).eval()


def qwen():
    torch.manual_seed(3)
    config = Qwen3MoeConfig(
        vocab_size=256,
        hidden_size=32,
        intermediate_size=48,
        moe_intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        num_experts=4,
        num_experts_per_tok=2,
    )
    return Qwen3MoeForCausalLM(config).eval()


@pytest.mark.parametrize("make", [mixtral, qwen])
@pytest.mark.parametrize("name", ["lora", "pissa", "lori-s"])
def test_fused_experts_are_adapted_each_with_its_share_of_the_rank(name, make, tokens):
    """One low-rank pair an expert, of rank total / active; what the route computes is W + delta merged."""
    model, twin = make(), make()
    before = model(tokens).logits
    adapter = parse(f"{name}:rank=8,alpha=8,targets=mlp").attach(model, 0)
    assert [n.rpartition(".")[2] for n in adapter.adapted()] == ["gate_up_proj", "down_proj"] * 2
    experts = adapter.sites["model.layers.0.mlp.experts.gate_up_proj"]
    assert experts.A.shape[:2] == (4, 4) and experts.B.shape[::2] == (4, 4) and experts.scale == 1
    with routed(model, adapter):
        torch.testing.assert_close(model(tokens).logits, before, rtol=0, atol=1e-6)
    for phase in range(adapter.variant.phases):
        adapter.enter(phase)
        optimiser = torch.optim.AdamW([p for g in adapter.groups() for p in g.params.values()], lr=5e-2)
        for _ in range(3):
            optimiser.zero_grad()
            with routed(model, adapter):
                logits = model(tokens).logits
                F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
            optimiser.step()
    twin.load_state_dict(merge(adapter), strict=False)
    with routed(model, adapter):
        after = model(tokens).logits
    assert (after - before).abs().max() > 1e-2
    torch.testing.assert_close(after, twin(tokens).logits, rtol=0, atol=1e-4)
    assert torch.equal(model(tokens).logits, before)
    adapter.detach()
    assert "forward" not in model.model.layers[0].mlp.experts.__dict__


def test_every_expert_is_started_on_its_own_weight():
    """The top directions of each slice, not of the stack."""
    model = mixtral()
    adapter = parse("pissa:rank=4,targets=down_proj").attach(model, 0)
    site = adapter.sites["model.layers.1.mlp.experts.down_proj"]
    weight = model.model.layers[1].mlp.experts.down_proj.detach()
    for k in range(4):
        U, S, Vh = torch.linalg.svd(weight[k], full_matrices=False)
        torch.testing.assert_close(site.B[k] @ site.A[k], U[:, :2] * S[:2] @ Vh[:2], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("lora:rank=7", "rank 7 does not divide among the 2 active experts of model.layers.0.mlp.experts"),
        ("lora:rank=8,dropout=0.1", "is a parameter and takes no dropout"),
        ("loftq:rank=8", "loftq cannot adapt model.layers.0.mlp.experts.gate_up_proj (experts), only linear"),
    ],
)
def test_what_experts_cannot_have_is_refused_by_name(spec, message):
    with pytest.raises(VariantError) as caught:
        parse(spec).check(mixtral())
    assert message in str(caught.value)


def test_experts_do_not_share_a_pass(tokens):
    model = mixtral()
    one, two = (parse("lora:rank=2").attach(model, seed) for seed in (0, 1))
    assert not one.packable
    with pytest.raises(RuntimeError, match="cannot share a pass"), routed(model, one, two):
        pass
    attention = parse("lora:rank=2,targets=attention")
    with routed(model, attention.attach(model, 0), attention.attach(model, 1)):
        model(tokens)
