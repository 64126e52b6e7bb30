"""LoRA's relatives: where each starts, what trains, and the formula that sets it apart."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests.variants.pieces import attached, far, gradients, moved, pack_against_solo
from tests.variants.test_targets import mixtral
from variants import VariantError, parse, routed

AT_BASE = ["rslora", "lora-plus", "lora-fa", "dora", "olora", "milora"]
PACK = [
    *("lora:rank=4", "dora:rank=4", "dora:rank=4", "olora:rank=4,alpha=6", "milora:rank=4,alpha=6"),
    *("qlora:rank=4,bits=2", "qpissa:rank=4,alpha=6", "lora-fa:rank=4", "rslora:rank=4,alpha=4"),
    *("lora-plus:rank=4", "dora:rank=4,rslora=true", "loftq:rank=4,bits=2,high_share=0.5"),
]


def sites(adapter, model):
    """(site, weight) of every adapted layer."""
    return [(site, model.get_submodule(name).weight.detach()) for name, site in adapter.sites.items()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", AT_BASE)
def test_starts_as_the_base_even_under_dropout(name, dtype, make_model, tokens):
    model = make_model(attention_bias=True).to(dtype)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_proj.bias.normal_()
    before = model(tokens).logits
    adapter = attached(model, name, rank=8, alpha=12, dropout=0.3)
    assert adapter.variant.starts_at_base
    for adapter.step in (None, 0):
        with routed(model, adapter):
            after = model(tokens).logits
        assert after.dtype == dtype
        assert torch.equal(after, before)


@pytest.mark.parametrize(
    ("name", "per_layer"),
    [
        ("rslora", lambda d_out, d_in: 8 * (d_out + d_in)),
        ("lora-plus", lambda d_out, d_in: 8 * (d_out + d_in)),
        ("lora-fa", lambda d_out, d_in: 8 * d_out),
        ("dora", lambda d_out, d_in: 8 * (d_out + d_in) + d_out),
        ("olora", lambda d_out, d_in: 8 * (d_out + d_in)),
        ("milora", lambda d_out, d_in: 8 * (d_out + d_in)),
        ("qlora", lambda d_out, d_in: 8 * (d_out + d_in)),
        ("qpissa", lambda d_out, d_in: 8 * (d_out + d_in)),
    ],
)
def test_what_trains(name, per_layer, tiny_model, tokens):
    adapter = moved(attached(tiny_model, name, rank=8))
    want = sum(per_layer(*weight.shape) for _, weight in sites(adapter, tiny_model))
    assert adapter.trainable() == want
    (grads,) = gradients(tiny_model, [adapter], tokens)
    assert sum(grad.numel() for grad in grads.values()) == want
    assert all(grad.any() for grad in grads.values())
    frozen = [p for s in adapter.sites.values() for p in s.parameters() if not p.requires_grad]
    assert all(p.grad is None for p in frozen) and len(frozen) == (14 if name == "lora-fa" else 0)


def test_pack_and_solo_agree(tiny_model):
    """Members of other kinds, two DoRA of one shape beside each other, sharing one pass."""
    tokens = torch.randint(3, 256, (2 * len(PACK), 10), generator=torch.Generator().manual_seed(5))
    adapters = [moved(parse(spec).attach(tiny_model, i), 0.02) for i, spec in enumerate(PACK)]
    assert pack_against_solo(tiny_model, adapters, tokens) < 5e-5


def test_rslora_scale(tiny_model):
    assert parse("rslora").scale == 4 and parse("rslora:rank=64").scale == 2
    assert parse("rslora:rank=4,alpha=3").scale == 1.5
    one, two = (
        parse("rslora:rank=4").attach(tiny_model, 0),
        parse("lora:rank=4,alpha=32").attach(tiny_model, 0),
    )
    for name, site in one.sites.items():
        assert site.scale == two.sites[name].scale == 8
        assert torch.equal(site.A, two.sites[name].A)


def test_lora_plus_has_two_rates(tiny_model):
    slow, fast = sorted(parse("lora-plus:ratio=8").attach(tiny_model, 0).groups(), key=lambda g: g.lr_scale)
    assert (slow.lr_scale, fast.lr_scale) == (1, 8)
    assert {key.rpartition(".")[2] for key in slow.params} == {"A"} and len(slow.params) == 14
    assert {key.rpartition(".")[2] for key in fast.params} == {"B"} and len(fast.params) == 14
    assert parse("lora-plus").lr_scale("B") == 16
    with pytest.raises(VariantError, match="ratio must be above 0, got 0"):
        parse("lora-plus:ratio=0")


def test_lora_fa_step_is_the_full_gradient_on_the_rows_of_a(make_model, tokens):
    """s * g' A = G P with P the projector on A's rows and G the whole weight's own gradient."""
    model, twin = make_model(), make_model()
    adapter = attached(model, "lora-fa", rank=8, alpha=12)
    (grads,) = gradients(model, [adapter], tokens)
    logits = twin(tokens).logits
    F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
    for name, site in adapter.sites.items():
        full = twin.get_submodule(name).weight.grad
        rows = torch.linalg.qr(site.A.detach().T).Q  # [d_in, 8]
        step = site.scale * grads[f"{name}.B"] @ site.A.detach()
        assert far(step, full @ rows @ rows.T) < 1e-4


def test_lora_fa_without_its_projection_is_lori_d(tiny_model, tokens):
    projected = moved(attached(tiny_model, "lora-fa", rank=8, alpha=12))
    plain = moved(attached(tiny_model, "lori-d", rank=8, alpha=12))
    (one,), (two,) = (gradients(tiny_model, [adapter], tokens) for adapter in (projected, plain))
    for name, site in projected.sites.items():
        A = site.A.detach().double()
        assert torch.equal(site.A, plain.sites[name].A)
        want = two[f"{name}.B"].double() @ torch.linalg.pinv(A @ A.T + 1e-8 * torch.eye(8)) / 1.5**2
        assert far(one[f"{name}.B"], want) < 1e-5


@pytest.mark.parametrize("alpha", [8, 12])
def test_olora_takes_the_first_columns_of_q(alpha, tiny_model):
    """Tall, square and wide weights beside the whole decomposition, signs and all."""
    for site, weight in sites(attached(tiny_model, "olora", rank=8, alpha=alpha), tiny_model):
        Q, R = torch.linalg.qr(weight)
        torch.testing.assert_close(site.B.detach(), Q[:, :8], rtol=0, atol=1e-5)
        torch.testing.assert_close(site.A.detach(), R[:8], rtol=0, atol=1e-5)


@pytest.mark.parametrize("alpha", [8, 12])
def test_milora_starts_on_the_minor_part(alpha, tiny_model):
    """s*B0*A0 is what the best approximation of rank (smaller side - 8) leaves over."""
    for site, weight in sites(attached(tiny_model, "milora", rank=8, alpha=alpha), tiny_model):
        U, S, Vh = torch.linalg.svd(weight.double(), full_matrices=False)
        minor = U[:, -8:] * S[-8:] @ Vh[-8:]
        assert far(site.scale * (site.B @ site.A).detach(), minor) < 1e-4
        torch.testing.assert_close(site.A @ site.A.T, site.B.T @ site.B, rtol=1e-3, atol=1e-5)


def test_pissa_niter_draws_from_its_own_generator(make_model):
    """One seed, one start; near the exact one where the spectrum falls, far from it where it is flat."""
    rng = torch.Generator().manual_seed(0)
    U, V = (torch.linalg.qr(torch.randn(side, 24, generator=rng)).Q for side in (64, 48))
    weight = U * 0.5 ** torch.arange(24) @ V.T
    exact, drawn = parse("pissa:rank=4,alpha=6"), parse("pissa:rank=4,alpha=6,niter=2")
    assert drawn.revision == 2 and parse("pissa").niter == 0
    first, again, other = (drawn.start(weight, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first.A, again.A) and not torch.equal(first.A, other.A) and first.pinned
    want = exact.start(weight, rng)
    assert far(first.B @ first.A, want.B @ want.A) < 1e-2
    flat = make_model().get_submodule("model.layers.0.mlp.up_proj").weight.detach()
    rough, best = (variant.start(flat, torch.Generator().manual_seed(1)) for variant in (drawn, exact))
    assert far(rough.B @ rough.A, best.B @ best.A) > 0.05
    with pytest.raises(VariantError, match=r"niter must be 0 \(exact\) or more, got -1"):
        parse("pissa:niter=-1")


def test_milora_takes_a_weight_without_full_rank(tiny_model):
    """Singular values of zero: nothing to split, and no number that is not one."""
    variant = parse("milora:rank=4")
    start = variant.start(torch.outer(torch.ones(16), torch.arange(12.0)), torch.Generator())
    assert start.A.isfinite().all() and start.B.isfinite().all()
    assert (start.B @ start.A).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["rslora", "lora-plus", "lora-fa", "olora", "milora"])
@pytest.mark.parametrize("targets", ["embed_tokens", "lm_head"])
def test_embeddings_are_adapted_as_stored(name, targets, tiny_model, tokens):
    before = tiny_model(tokens).logits
    adapter = attached(tiny_model, name, rank=4, targets=targets)
    with routed(tiny_model, adapter):
        torch.testing.assert_close(tiny_model(tokens).logits, before, rtol=0, atol=1e-6)
    (site,) = moved(adapter).sites.values()
    assert site.A.shape == (4, 64) and site.B.shape == (256, 4)
    (grads,) = gradients(tiny_model, [adapter], tokens)
    assert all(grad.any() for grad in grads.values())


@pytest.mark.parametrize("name", ["dora", "qlora", "qpissa", "loftq"])
def test_own_weights_stand_on_linear_layers_only(name, tiny_model):
    with pytest.raises(
        VariantError, match=rf"{name} cannot adapt model.embed_tokens \(embedding\), only linear"
    ):
        attached(tiny_model, name, rank=4, targets="embed_tokens")
    with pytest.raises(VariantError, match=rf"{name} cannot adapt .*experts.gate_up_proj \(experts\)"):
        attached(mixtral(), name, rank=4)


def test_lora_fa_projects_for_every_expert(tokens):
    model = mixtral()
    adapter = moved(attached(model, "lora-fa", rank=8, alpha=8, targets="mlp"))
    plain = moved(attached(model, "lori-d", rank=8, alpha=8, targets="mlp"))
    (one,), (two,) = (gradients(model, [each], tokens) for each in (adapter, plain))
    for name, site in adapter.sites.items():
        A = site.A.detach().double()
        for k in range(4):
            inverse = torch.linalg.inv(A[k] @ A[k].T + 1e-8 * torch.eye(4))
            torch.testing.assert_close(
                one[f"{name}.B"][k], (two[f"{name}.B"][k].double() @ inverse).float(), rtol=1e-4, atol=1e-6
            )
