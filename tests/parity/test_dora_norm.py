"""DoRA's norm is a constant in the backward (section 4.3 of the paper): shown on one layer, written out.

Outputs and gradients beside float64: 2e-6 of the largest entry (measured 3.3e-7), float32's own rounding.
With the norm inside the graph the gradients of A and B differ by half of theirs, so that the check can fail.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.parity.peers import ALPHA, MODELS, RANK, biased, gap
from variants import build, routed

NAME = "model.layers.1.self_attn.q_proj"


def written_out(layer, site, x, detached):
    """m * (V x) / |V| + bias with V = W + s*B A in float64; gradients of its sum of squares by A, B, m."""
    A, B, m = (p.detach().double().requires_grad_() for p in (site.A, site.B, site.magnitude))
    V = layer.weight.double() + ALPHA / RANK * B @ A
    norm = V.norm(dim=1)
    if detached:
        norm = norm.detach()
    y = F.linear(x.double(), (m / norm)[:, None] * V, layer.bias.double())
    return y, torch.autograd.grad(y.square().sum(), (A, B, m))


def test_norm_is_detached(make_model):
    model = biased(make_model(**MODELS["biases"]))
    layer = model.get_submodule(NAME)
    adapter = build("dora", {"rank": RANK, "alpha": ALPHA}).attach(model, seed=0)
    site = adapter.sites[NAME]
    with torch.no_grad():
        site.B.copy_(0.1 * torch.randn_like(site.B))
        site.magnitude.mul_(1 + 0.3 * torch.rand_like(site.magnitude))
    x = torch.randn(3, 5, 64)
    with routed(model, adapter):
        y = layer(x)
        y.square().sum().backward()
    mine = (site.A.grad, site.B.grad, site.magnitude.grad)
    want, constant = written_out(layer, site, x, detached=True)
    _, whole = written_out(layer, site, x, detached=False)
    assert gap(y, want.float()) < 2e-6
    for grad, other in zip(mine, constant, strict=True):
        assert gap(grad, other.float()) < 2e-6
    assert gap(mine[0], whole[0].float()) > 0.3
    assert gap(mine[1], whole[1].float()) > 0.3
