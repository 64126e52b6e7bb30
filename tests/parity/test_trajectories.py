"""Twenty steps of training beside peft's, from the same start, on the same batches.

Ours is the suite's own loop: its batches, loss, MemberOptimizer. Theirs is peft's model under torch's AdamW
(for LoRA+ in the groups of peft's create_loraplus_optimizer), clip_grad_norm_ and a LambdaLR, with whole
logits, an attention mask and a loss written apart. Both: rate 5e-3, cosine with two steps of warm-up, clip 1,
decay 0.01.

Tolerances, measured in brackets: every loss 2e-6 of its value (3e-7); the deltas after the last step 1e-4 of
their Frobenius norm (1.0e-5 for pissa at s = 12/sqrt(8), 6e-6 elsewhere). Gradients that agree to 1e-6 part
further here because Adam divides by the root of the second moment: where a gradient is near zero its rounding
decides on a step of full size.
"""

from __future__ import annotations

import pytest
from peft.optimizers import create_loraplus_optimizer
from torch.optim import AdamW

from tests.parity.peers import (
    CASES,
    MODELS,
    RATE,
    RECIPE,
    Peer,
    adamw,
    apart,
    biased,
    loss_gap,
    ours,
    same_start,
    theirs,
)
from variants import build

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

RATIO = 16
LOSSES, DELTAS = 2e-6, 1e-4


def optimizer(case, peer):
    if case.name == "lora-plus":
        return create_loraplus_optimizer(
            peer.model,
            AdamW,
            lr=RATE,
            loraplus_lr_ratio=RATIO,
            loraplus_weight_decay=RECIPE.weight_decay,
            betas=RECIPE.betas,
            foreach=False,
        )
    return adamw(peer.parameters(), RECIPE, RATE)


@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_trajectory(case, config, make_model):
    peer = Peer(biased(make_model(**config)), **case.config)
    adapter = build(case.name, case.settings).attach(biased(make_model(**config)), seed=0)
    same_start(adapter, peer)
    path = theirs(peer, optimizer(case, peer))
    mine = ours(adapter, RATE)
    assert path.losses[-1] < 0.9 * path.losses[0], "it learns"
    assert loss_gap(mine, path) < LOSSES
    assert apart(dict(adapter.deltas()), peer.deltas()) < DELTAS
    assert max(path.norms) > RECIPE.clip, "clipping was on"
