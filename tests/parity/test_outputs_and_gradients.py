"""Outputs, first gradients and gradients away from the start, against peft's layers at equal parameters.

Tolerances, measured in brackets, all relative to the largest entry of a tensor: outputs 1e-5 (1.5e-6),
gradients 1e-5 (1.9e-6), merged deltas 2e-5 (2.7e-6, DoRA's). Both sides compute in float32, in another order:
pinned starts (PiSSA, OLoRA) add a difference of factors to the untouched weight where peft stores the
residual, and DoRA's norms come from a sum of squares. Without either the gap is 4e-7.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import peft
import pytest
import torch

from tests.parity.peers import (
    ALPHA,
    CASES,
    LEAVES,
    MODELS,
    RANK,
    Case,
    Peer,
    backward,
    biased,
    examples,
    gap,
    move,
    same_start,
    token_loss,
    widest,
)
from variants import build, routed

# peft asks transformers 5 for a property by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

OUTPUTS, GRADIENTS, DELTAS = 1e-5, 1e-5, 2e-5


def both(case, make_model, **config):
    """(our adapter, peft's) at the same start on two models with the same weights."""
    peer = Peer(biased(make_model(**config)), **case.config)
    adapter = build(case.name, case.settings).attach(biased(make_model(**config)), seed=0)
    same_start(adapter, peer)
    return adapter, peer


def logits(adapter, tokens):
    with torch.no_grad(), routed(adapter.model, adapter):
        return adapter.model(tokens).logits


def test_peft_is_the_pinned_one():
    """What is said here of peft is said of this version."""
    constraints = (Path(__file__).parents[2] / "constraints.txt").read_text()
    pinned = re.search(r"^peft==(.+)$", constraints, re.MULTILINE)
    assert pinned is not None
    assert version("peft") == peft.__version__ == pinned[1]


@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_at_the_start(case, config, make_model, tokens):
    """The same function, the same parameters that train, the same first gradients."""
    adapter, peer = both(case, make_model, **config)
    assert adapter.trainable() == sum(p.numel() for p in peer.parameters())
    outputs = gap(logits(adapter, tokens), peer.model(tokens).logits)
    token_loss(peer.model, examples()).backward()
    gradients = widest(backward(adapter, examples()), peer.gradients())
    assert outputs < OUTPUTS
    assert gradients < GRADIENTS


@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_away_from_the_start(case, config, make_model, tokens):
    adapter, peer = both(case, make_model, **config)
    move(adapter, peer)
    outputs = gap(logits(adapter, tokens), peer.model(tokens).logits)
    token_loss(peer.model, examples()).backward()
    gradients = widest(backward(adapter, examples()), peer.gradients())
    deltas = widest(dict(adapter.deltas()), peer.deltas())
    assert gap(logits(adapter, tokens), adapter.model(tokens).logits) > 1e-2, "the adapter does something"
    assert outputs < OUTPUTS
    assert gradients < GRADIENTS
    assert deltas < DELTAS


def test_embedding_and_head(make_model, tokens):
    """The two layers that no other case adapts. peft starts an embedding at A = 0 and B random, we the other
    way round, as everywhere; it holds both transposed."""
    targets = {"target_modules": [*LEAVES, "lm_head", "embed_tokens"]}
    settings = {"rank": RANK, "alpha": ALPHA, "targets": "all+lm_head+embed_tokens"}
    adapter, peer = both(Case("lora", settings, targets), make_model, **MODELS["plain"])
    assert {"lm_head", "model.embed_tokens"} < set(adapter.adapted())
    move(adapter, peer)
    assert gap(logits(adapter, tokens), peer.model(tokens).logits) < OUTPUTS
    token_loss(peer.model, examples()).backward()
    assert widest(backward(adapter, examples()), peer.gradients()) < GRADIENTS
    assert widest(dict(adapter.deltas()), peer.deltas()) < DELTAS
