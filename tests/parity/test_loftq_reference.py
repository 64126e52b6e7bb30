"""LoftQ beside peft's own loftq_init: its loop and SVD run as they are, on the CPU.

peft's loop asks bitsandbytes for the quantised weight, on an accelerator. Here a stand-in quantises by
`normalfloat.quantise` with the table that bitsandbytes ships (test_nf_codebooks shows that our codes are its
codes), and tensors stay where they are. What is compared: Q and with it every code, A and B up to the sign of
each direction, s*B A, outputs, gradients, and 20 steps of training. peft does not divide by s, so the
comparison is at alpha = r, where s = 1.

Differences that stay: peft knows 4 and 8 bits only and no scale; it takes the table of float32 steps, which
lies within 1.1e-7 of ours (test_nf_codebooks).

Tolerances, measured in brackets. Q: 2e-6 of its largest number (4e-7: the table's 1.1e-7, float32). Codes:
none may differ (0 of 73,728; another machine's SVD may turn one over, hence at most 2). Norms of A's rows,
which are the square roots of the singular values: 5e-6 (1e-6). s*B A: 1e-4 (2.2e-5) and A and B up to sign:
2e-3 (2.5e-4), because the error's singular values are nearly equal, so that rounding turns the directions.
Outputs, gradients and training are compared from equal factors: 5e-6 (1e-6), 1e-5 (1.5e-6), losses 1e-6
(1.9e-7), deltas, in Frobenius norm, 3e-5 (3.6e-6).
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from peft.tuners.lora import layer
from peft.utils import loftq_utils

from tests.parity.normalfloat import TABLE, dense
from tests.parity.peers import (
    MODELS,
    RANK,
    RATE,
    RECIPE,
    Peer,
    adamw,
    apart,
    backward,
    biased,
    examples,
    gap,
    loss_gap,
    move,
    ours,
    same_start,
    theirs,
    token_loss,
    turned,
    widest,
)
from variants import build, routed

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


class Here(torch.Tensor):
    """A tensor that stays on the CPU when it is sent to an accelerator."""

    def to(self, *args, **kwargs):
        kept = [arg for arg in args if arg != "cuda"]
        kwargs = {key: value for key, value in kwargs.items() if value != "cuda"}
        return super().to(*kept, **kwargs) if kept or kwargs else self


def stand_in() -> ModuleType:
    """The two functions of bitsandbytes that loftq_init calls."""

    class Params4bit:
        quant_state = None

        def __init__(self, weight, requires_grad, compress_statistics, quant_type):
            assert (requires_grad, compress_statistics, quant_type) == (False, False, "nf4")
            plain = weight.as_subclass(torch.Tensor)
            self.data = dense(plain, np.array(TABLE)).as_subclass(Here)

        def to(self, device):
            return self

    module = ModuleType("bitsandbytes")
    module.nn = SimpleNamespace(Params4bit=Params4bit)  # type: ignore[attr-defined]
    module.functional = SimpleNamespace(dequantize_4bit=lambda data, state: data)  # type: ignore[attr-defined]
    return module


@pytest.fixture
def peft_loftq(monkeypatch):
    """`peft_loftq(model, iterations)` is a Peer started by peft's loftq_init on the stand-in."""

    def init(weight, **kwargs):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "bitsandbytes", stand_in())
            found = loftq_utils.loftq_init(weight.detach().as_subclass(Here), **kwargs)
        return tuple(tensor.as_subclass(torch.Tensor) for tensor in found)

    monkeypatch.setattr(layer, "loftq_init", init)
    monkeypatch.setattr(loftq_utils, "is_bnb_available", lambda: True)
    monkeypatch.setattr(loftq_utils, "is_bnb_4bit_available", lambda: True)

    def make(model, iterations, lora_alpha=RANK):
        loftq = {"loftq_bits": 4, "loftq_iter": iterations}
        return Peer(model, lora_alpha=lora_alpha, init_lora_weights="loftq", loftq_config=loftq)

    return make


@pytest.fixture(params=[1, 5], ids=["iterations=1", "iterations=5"])
def pair(request, make_model, peft_loftq):
    """(our adapter, peft's) on equal models with biases."""
    peer = peft_loftq(biased(make_model(**MODELS["biases"])), request.param)
    settings = {"rank": RANK, "alpha": RANK, "bits": 4, "iterations": request.param}
    adapter = build("loftq", settings).attach(biased(make_model(**MODELS["biases"])), seed=0)
    return adapter, peer


def test_start(pair):
    """Q and its codes, A, B and their product on every layer."""
    adapter, peer = pair
    assert list(peer.layers) == adapter.adapted()
    for name, site in adapter.sites.items():
        A, B = peer.factors(name)["A"], peer.factors(name)["B"]
        Q, other = site.base.dense(), peer.layers[name].get_base_layer().weight
        assert ((Q - other).abs() > 2e-6 * other.abs().max()).sum() <= 2, "codes"
        assert gap(site.A.norm(dim=1), A.norm(dim=1)) < 5e-6
        assert gap(site.B.norm(dim=0), B.norm(dim=0)) < 5e-6
        assert gap(site.B @ site.A, B @ A) < 1e-4
        assert gap(turned(site.A, A, 0), A) < 2e-3
        assert gap(turned(site.B, B, 1), B) < 2e-3


def test_peft_leaves_out_the_division_by_s(make_model, peft_loftq):
    """At s = 2 our s*B A is what it is at s = 1, and peft's B A is, so that its s*B A is twice that."""
    peer = peft_loftq(make_model(**MODELS["plain"]), 1, lora_alpha=2 * RANK)
    adapter = build("loftq", {"rank": RANK, "alpha": "2r", "iterations": 1}).attach(
        make_model(**MODELS["plain"]), seed=0
    )
    for name, site in adapter.sites.items():
        assert site.scale == 2 == peer.layers[name].scaling["default"]
        factors = peer.factors(name)
        assert gap(2 * site.B @ site.A, factors["B"] @ factors["A"]) < 1e-4


def test_outputs_and_gradients(pair, tokens):
    adapter, peer = pair
    same_start(adapter, peer)
    move(adapter, peer)
    with torch.no_grad(), routed(adapter.model, adapter):
        assert gap(adapter.model(tokens).logits, peer.model(tokens).logits) < 5e-6
    token_loss(peer.model, examples()).backward()
    assert widest(backward(adapter, examples()), peer.gradients()) < 1e-5


def test_trajectory(pair):
    adapter, peer = pair
    same_start(adapter, peer)
    path = theirs(peer, adamw(peer.parameters(), RECIPE, RATE))
    assert loss_gap(ours(adapter, RATE), path) < 1e-6
    assert apart(dict(adapter.deltas()), peer.deltas()) < 3e-5
