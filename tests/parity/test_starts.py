"""Where a method starts, layer by layer, beside peft's init of the same weight, at s = 1.5 and 12/sqrt(8).

Tolerances, measured in brackets, relative to the largest entry. Beside float64 3e-6 (5.5e-7: float32). Beside
peft, whose SVD is float32 on spectra that are nearly flat: s*B0 A0 1e-4 (1.9e-5), A and B 2e-4 (3.3e-5). A
and B are compared up to the sign of each direction for PiSSA (the signs of an SVD mean nothing), with their
signs for OLoRA. The randomised start is peft's operation by operation: 1e-5 (0). DoRA's magnitudes: 1e-6
(1.3e-7).
"""

from __future__ import annotations

import pytest
import torch

from tests.parity.peers import CASES, MODELS, RANK, Peer, gap, turned
from variants import build

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def layers(case, make_model):
    """(our site, peft's factors, the pretrained weight) of every layer."""
    peer = Peer(make_model(**MODELS["plain"]), **case.config)
    adapter = build(case.name, case.settings).attach(make_model(**MODELS["plain"]), seed=0)
    assert list(peer.layers) == adapter.adapted()
    for name, site in adapter.sites.items():
        assert site.scale == peer.layers[name].scaling["default"]
        yield site, peer.factors(name), peer.pretrained[f"{name}.weight"]


def pissa_float64(weight, scale):
    U, S, Vh = torch.linalg.svd(weight.double(), full_matrices=False)
    root = (S[:RANK] / scale).sqrt()
    return (root[:, None] * Vh[:RANK]).float(), (U[:, :RANK] * root).float()


def olora_float64(weight, scale):
    Q, R = torch.linalg.qr(weight.double())
    return R[:RANK].float(), Q[:, :RANK].float()


@pytest.mark.parametrize(
    ("name", "exact"), [("pissa", pissa_float64), ("pissa-rslora", pissa_float64), ("olora", olora_float64)]
)
def test_exact_starts(name, exact, make_model):
    """Beside peft, and both beside float64."""
    for site, factors, weight in layers(CASES[name], make_model):
        for A, B, product, each in (
            (factors["A"], factors["B"], 1e-4, 2e-4),
            (*exact(weight, site.scale), 3e-6, 3e-6),
        ):
            assert gap(site.B @ site.A, B @ A) < product
            mine = (site.A, site.B) if name == "olora" else (turned(site.A, A, 0), turned(site.B, B, 1))
            assert gap(mine[0], A) < each
            assert gap(mine[1], B) < each


def test_randomised_start(make_model):
    """pissa_niter_4: peft draws from torch's global generator, we from one that we are given. Where both
    stand at the same seed, they draw the same matrix."""
    case = CASES["pissa-niter"]
    variant = build(case.name, case.settings)
    peer = Peer(make_model(**MODELS["plain"]), **case.config)
    for name, layer in peer.layers.items():
        weight = peer.pretrained[f"{name}.weight"]
        layer.get_base_layer().weight.data = weight.clone()
        torch.manual_seed(11)
        layer.pissa_init("default", case.config["init_lora_weights"])
        factors = peer.factors(name)
        start = variant.start(weight, torch.Generator().manual_seed(11))
        assert gap(start.B @ start.A, factors["B"] @ factors["A"]) < 1e-5
        least = torch.linalg.svdvals(weight)[RANK:].norm()
        left = (weight - variant.scale * start.B @ start.A).norm()
        assert least < left < 1.05 * least, "this many iterations come near the best, and do not reach it"


def test_magnitudes(make_model):
    for site, factors, weight in layers(CASES["dora"], make_model):
        assert gap(site.magnitude, factors["magnitude"]) < 1e-6
        assert gap(site.magnitude, weight.double().norm(dim=1).float()) < 1e-6


@pytest.mark.parametrize("name", ["lora", "rslora", "lora-plus", "dora"])
def test_random_starts_follow_one_law(name, make_model):
    """A is uniform with the same bound on both sides, B zero: the draws differ, their spread does not."""
    mine, other = [], []
    for site, factors, weight in layers(CASES[name], make_model):
        bound = weight.shape[1] ** -0.5
        mine.append(site.A.detach().flatten() / bound), other.append(factors["A"].detach().flatten() / bound)
        assert not site.B.any() and not factors["B"].any()
    for drawn in (torch.cat(mine), torch.cat(other)):
        assert 0.999 < drawn.abs().max() <= 1
        assert drawn.std().item() == pytest.approx(3**-0.5, rel=0.02)
