"""Against huggingface/peft: VeRA, LoRA-XS built from its parts, and the starts that look at examples.

Tolerances, measured in brackets, relative to the largest entry of a tensor. The same float32 formula in
another order: VeRA 1e-5 (1.3e-6), gradients 1e-5 (2.7e-6). Directions from decompositions of another kind:
LoRA-XS 1e-3 (2.1e-4; random weights have singular values close to each other), EVA and LoRA-GA 1e-3 (2.0e-4,
2.6e-4; peft's are randomised), CorDA 1e-3 (2.9e-4; peft inverts in float32). Ours are exact, and are held
against float64 in tests/variants/test_calibrated.py.
"""

from __future__ import annotations

import pytest
import torch
from peft import (
    EvaConfig,
    LoraConfig,
    VeraConfig,
    get_eva_state_dict,
    get_peft_model,
    initialize_lora_eva_weights,
)
from peft.tuners.lora import preprocess_loraga
from peft.tuners.lora.config import CordaConfig, LoraGAConfig
from peft.tuners.lora.corda import preprocess_corda
from peft.tuners.vera.model import _kaiming_init
from torch import nn

from tests.parity.peers import (
    ALPHA,
    LEAVES,
    MODELS,
    PREFIX,
    RANK,
    Peer,
    backward,
    examples,
    gap,
    same_start,
    token_loss,
    turned,
    widest,
)
from variants import Calibration, build, observe, routed
from variants.site import generator
from variants.targets import select

# peft asks transformers 5 for a property by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

VERA, GRADS, XS = 1e-5, 1e-5, 1e-3
DIRECTIONS = {"eva": 1e-3, "lora-ga": 1e-3, "corda": 1e-3}

WIDE_IN, WIDE_OUT = "model.layers.0.mlp.down_proj", "model.layers.0.mlp.up_proj"


def calibration(model, rows):
    return Calibration(lambda: (token_loss(model, [row]) for row in rows))


def config(**settings):
    return LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=LEAVES, **settings)


def attached(model, name, rows, **settings):
    settings = {"rank": RANK, "alpha": ALPHA, **settings}
    return build(name, settings).attach(model, 0, calibration(model, rows))


# --- VeRA


@pytest.fixture
def veras(make_model):
    """Both sides with peft's shared pair, all vectors moved alike: (ours, peft's model, its layers)."""
    wrapped = get_peft_model(make_model(**MODELS["plain"]), VeraConfig(r=16, target_modules=LEAVES))
    layers = {n.removeprefix(PREFIX): m for n, m in wrapped.named_modules() if hasattr(m, "vera_lambda_b")}
    model = make_model(**MODELS["plain"])
    adapter = build("vera", {"rank": 16}).attach(model, 0)
    assert adapter.adapted() == list(layers)
    assert adapter.trainable() == sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    with torch.no_grad():
        adapter.sites[WIDE_IN].A.copy_(layers[WIDE_IN].vera_A["default"])  # a copy into all layers' views
        adapter.sites[WIDE_OUT].B.copy_(layers[WIDE_OUT].vera_B["default"])
        for name, site in adapter.sites.items():
            for mine, theirs in ((site.b, layers[name].vera_lambda_b), (site.d, layers[name].vera_lambda_d)):
                assert torch.equal(mine, theirs["default"]), "equal starts"
                noise = 0.05 * torch.randn_like(mine)
                mine.add_(noise), theirs["default"].add_(noise)
    return adapter, wrapped, layers


def test_vera_outputs_and_gradients(veras):
    adapter, wrapped, layers = veras
    rows = examples(8)
    token_loss(wrapped, rows).backward()
    theirs = {f"{n}.b": m.vera_lambda_b["default"].grad for n, m in layers.items()}
    theirs |= {f"{n}.d": m.vera_lambda_d["default"].grad for n, m in layers.items()}
    assert widest(backward(adapter, rows), theirs) < VERA
    ids = torch.tensor([examples(1)[0].ids])
    with routed(adapter.model, adapter):
        assert gap(adapter.model(ids).logits, wrapped(ids).logits) < VERA
    for name, layer in layers.items():
        mine = adapter.sites[name].delta(adapter.model.get_submodule(name).weight)
        assert gap(mine, layer.get_delta_weight("default")) < VERA


def test_vera_draws_as_peft_does_from_one_generator(make_model):
    sites = build("vera", {"rank": 16}).attach(make_model(), 5).sites
    rng = generator(5, "shared")
    A, B = _kaiming_init((16, 128), rng), _kaiming_init((128, 16), rng)
    assert gap(sites[WIDE_IN].A, A) < 1e-6 and gap(sites[WIDE_OUT].B, B) < 1e-6


# --- LoRA-XS


class Between(nn.Sequential):
    """peft's lora_A with R behind it."""

    def __init__(self, first: nn.Linear, R: torch.Tensor) -> None:
        super().__init__(first, nn.Linear(*R.shape, bias=False))
        self[1].weight.data.copy_(R)
        self.weight = first.weight


def test_lora_xs_is_a_peft_lora_with_r_between(make_model):
    """As the authors build it: factors of the transposed weight's SVD, values with the left ones."""
    peer = Peer(make_model(**MODELS["plain"]))
    model = make_model(**MODELS["plain"])
    adapter = build("lora-xs", {"rank": RANK, "alpha": ALPHA, "sigma": 0.1}).attach(model, 0)
    for name, site in adapter.sites.items():
        layer = peer.layers[name]
        u, s, vh = torch.linalg.svd(layer.weight.detach().T, full_matrices=False)
        signs = (vh[:RANK] * site.B.T).sum(dim=1).sign()
        layer.lora_A["default"].weight.data.copy_((u * s)[:, :RANK].T * signs[:, None])
        layer.lora_B["default"].weight.data.copy_(vh[:RANK].T * signs)
        layer.requires_grad_(False)
        layer.lora_A["default"] = Between(layer.lora_A["default"], site.R.detach())
    rows = examples(8)
    token_loss(peer.model, rows).backward()
    theirs = {f"{n}.R": m.lora_A["default"][1].weight.grad for n, m in peer.layers.items()}
    assert widest(backward(adapter, rows), theirs) < XS
    ids = torch.tensor([examples(1)[0].ids])
    with routed(model, adapter):
        assert gap(model(ids).logits, peer.model(ids).logits) < XS


# --- Data-driven starts


def padded(rows):
    """The rows as one batch with its attention mask."""
    length = max(len(row.ids) for row in rows)
    ids = torch.tensor([[*row.ids, *[0] * (length - len(row.ids))] for row in rows])
    mask = torch.tensor([[1] * len(row.ids) + [0] * (length - len(row.ids)) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}


def test_eva(make_model):
    """peft's incremental, randomised and truncated SVD, over the same tokens until it stands still.

    The same ranks, the same directions with their signs, the same s in spite of other ranks.
    """
    rows = examples(32)
    settings = config(init_lora_weights="eva", eva_config=EvaConfig(rho=2, tau=0.9999, use_label_mask=False))
    wrapped = get_peft_model(make_model(**MODELS["plain"]), settings, low_cpu_mem_usage=True)
    directions = get_eva_state_dict(wrapped, [padded(rows)], show_progress_bar=False)
    initialize_lora_eva_weights(wrapped, eva_state_dict=directions)
    layers = {n.removeprefix(PREFIX): m for n, m in wrapped.named_modules() if hasattr(m, "lora_A")}
    adapter = attached(make_model(**MODELS["plain"]), "eva", rows)
    assert adapter.adapted() == list(layers)
    for name, site in adapter.sites.items():
        A = layers[name].lora_A["default"].weight
        assert site.scale == layers[name].scaling["default"]
        assert len(site.A) == len(A)
        assert gap(site.A, A) < DIRECTIONS["eva"], name
    assert len({len(site.A) for site in adapter.sites.values()}) > 3
    token_loss(wrapped, rows).backward()
    theirs = {
        f"{n}.{k}": getattr(m, f"lora_{k}")["default"].weight.grad for n, m in layers.items() for k in "AB"
    }
    assert widest(backward(adapter, rows), theirs) < DIRECTIONS["eva"]


@pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")  # peft counts rows by it
def test_lora_ga(make_model):
    """The same gradients and directions. peft's scaling differs: see lora_ga.py."""
    rows = examples(16)
    model, twin = make_model(**MODELS["plain"]), make_model(**MODELS["plain"])
    ga = config(init_lora_weights="lora_ga", lora_ga_config=LoraGAConfig())
    preprocess_loraga(twin, ga, lambda: [token_loss(twin, [row]).backward() for row in rows])
    grads = {name: twin.get_submodule(name)._peft_loraga_grad for name in select(twin)}
    assert widest(observe.gradients(model, select(model), calibration(model, rows)), grads) < GRADS
    wrapped = get_peft_model(twin, ga)
    adapter = attached(model, "lora-ga", rows)
    for name, site in adapter.sites.items():
        layer = wrapped.get_submodule(PREFIX + name)
        A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        c, S = len(B) ** 0.25 / 4, torch.linalg.svdvals(grads[name])[RANK : 2 * RANK]
        assert gap(turned(site.A / c, A, 0), A) < DIRECTIONS["lora-ga"], name
        assert gap(turned(site.B * S, B, 1), B) < DIRECTIONS["lora-ga"], name


@pytest.mark.parametrize("mode", ["ipm", "kpm"])
def test_corda(mode, make_model):
    """The same product and balance of the factors; then, at peft's factors, the same first gradients."""
    rows = examples(32)
    model, twin = make_model(**MODELS["plain"]), make_model(**MODELS["plain"])
    corda = {"init_lora_weights": "corda", "corda_config": CordaConfig(corda_method=mode)}
    preprocess_corda(twin, config(**corda), lambda: [token_loss(twin, [row]) for row in rows])
    peer = Peer(twin, **corda)
    adapter = attached(model, "corda", rows, mode=mode)
    for name, site in adapter.sites.items():
        A, B = peer.factors(name).values()
        assert gap(site.B @ site.A, B @ A) < DIRECTIONS["corda"], name
        assert gap(site.A.norm(dim=1), A.norm(dim=1)) < DIRECTIONS["corda"]
        assert gap(site.B.norm(dim=0), B.norm(dim=0)) < DIRECTIONS["corda"]
    same_start(adapter, peer)
    token_loss(peer.model, rows).backward()
    assert widest(backward(adapter, rows), peer.gradients()) < GRADS
