"""LoRA-FA beside peft's LoraFAOptimizer: the projected gradient, and 20 steps.

peft multiplies by the projection in bfloat16 where the machine has it; here that is switched off, and shown
apart. It clips before the projection, adds eps to the root of an uncorrected second moment (so that at first
a given eps weighs 30 times as much as in torch) and decays after the step; ours is the recipe's AdamW after
the projection. Compared is what is left: no clipping, no decay, and peft's eps set to torch's at every step.

Tolerances, measured in brackets: projected gradients 1e-5 of the largest entry (1.0e-6; peft inverts, we
solve), losses 2e-6 (1.9e-7), deltas 3e-5 of their norm (2.8e-6).
"""

from __future__ import annotations

import math

import pytest
from peft.optimizers import create_lorafa_optimizer

from tests.parity.peers import (
    ALPHA,
    MODELS,
    PREFIX,
    RANK,
    RATE,
    RECIPE,
    Peer,
    apart,
    backward,
    examples,
    loss_gap,
    ours,
    same_start,
    theirs,
    token_loss,
    widest,
)
from variants import build

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

UNCLIPPED = RECIPE.model_copy(update={"clip": 1e9, "weight_decay": 0.0})


@pytest.fixture(params=MODELS)
def pair(request, make_model):
    config = MODELS[request.param]
    peer = Peer(make_model(**config))
    adapter = build("lora-fa", {"rank": RANK, "alpha": ALPHA}).attach(make_model(**config), seed=0)
    same_start(adapter, peer)
    return adapter, peer


def optimizer(peer):
    """peft's, with the eps that makes its Adam torch's."""
    made = create_lorafa_optimizer(peer.model, r=RANK, lora_alpha=ALPHA, lr=RATE)
    group, taken = made.param_groups[0], iter(range(1, 1000))

    def corrected(*_):
        group["eps"] = 1e-8 * math.sqrt(1 - group["betas"][1] ** next(taken))

    made.register_step_pre_hook(corrected)
    return made


def projected(peer):
    """The gradients that peft's first step puts into Adam, by our parameter names."""
    made = optimizer(peer)
    token_loss(peer.model, examples()).backward()
    made.step()
    return {f"{n}.B": made.state[f"{PREFIX}{n}.lora"]["exp_avg_B"] / (1 - 0.9) for n in peer.layers}


def test_projected_gradient(pair, monkeypatch):
    monkeypatch.setattr("peft.optimizers.lorafa.is_bf16_available", lambda: False)
    adapter, peer = pair
    assert widest(backward(adapter, examples()), projected(peer)) < 1e-5


def test_peft_projects_in_bfloat16(pair):
    """What the reference loses by it: its gradients are 0.9 % of the largest entry away."""
    adapter, peer = pair
    assert 1e-3 < widest(backward(adapter, examples()), projected(peer)) < 3e-2


def test_trajectory(pair, monkeypatch):
    monkeypatch.setattr("peft.optimizers.lorafa.is_bf16_available", lambda: False)
    adapter, peer = pair
    path = theirs(peer, optimizer(peer), UNCLIPPED)
    assert loss_gap(ours(adapter, RATE, UNCLIPPED), path) < 2e-6
    assert apart(dict(adapter.deltas()), peer.deltas()) < 3e-5
