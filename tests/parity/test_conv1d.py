"""GPT-2's Conv1D, a linear layer stored transposed: our LoRA against peft's with fan_in_fan_out."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from torch.nn import functional as F

from tests.parity.peers import Peer, move, same_start
from tests.variants.families import build, rows
from variants import registry, routed
from variants.export import write_merged

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings:UserWarning"),
]
GPT2 = "gpt2, Conv1D"
TARGETS = ["c_attn", "c_proj", "c_fc"]
TOKENS = torch.tensor([row.ids[:8] for row in rows()])


def loss(logits):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten())


@pytest.mark.parametrize("dora", [False, True])
def test_outputs_and_first_gradients_are_peft_s(dora):
    model = build(GPT2)
    adapter = registry.parse(f"{'dora' if dora else 'lora'}:rank=8,alpha=12").attach(model, 0)
    peer = Peer(build(GPT2), target_modules=TARGETS, fan_in_fan_out=True, use_dora=dora)
    same_start(adapter, peer)
    move(adapter, peer)
    theirs = peer.model(TOKENS).logits
    loss(theirs).backward()
    with routed(model, adapter):
        ours = model(TOKENS).logits
        loss(ours).backward()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    params = {key: p for group in adapter.groups() for key, p in group.params.items()}
    wanted = peer.gradients()
    assert params.keys() == wanted.keys() and len(params) == (24 if dora else 16)
    for key, p in params.items():
        torch.testing.assert_close(p.grad, wanted[key], rtol=0, atol=1e-5)
    for name, delta in adapter.deltas():
        torch.testing.assert_close(delta, peer.deltas()[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["lora", "pissa", "loftq", "lori-d", "dora", "vera"])
def test_a_folder_of_gpt2_loads_in_peft_and_merges(name, tmp_path):
    model = build(GPT2)
    adapter = registry.parse(f"{name}:rank=4").attach(model, 0)
    torch.manual_seed(5)
    with torch.no_grad():
        for group in adapter.groups():
            for p in group.params.values():
                p.add_(0.1 * torch.randn_like(p))
        with routed(model, adapter):
            want = model(TOKENS).logits
        assert (want - model(TOKENS).logits).abs().max() > 1e-2
    folder = adapter.export(tmp_path / "peft")
    assert json.loads((folder / "adapter_config.json").read_text())["fan_in_fan_out"]
    base = type(model).from_pretrained(folder / "base") if (folder / "base").exists() else build(GPT2)
    with torch.no_grad():
        torch.testing.assert_close(
            PeftModel.from_pretrained(base, folder).eval()(TOKENS).logits, want, rtol=0, atol=1e-5
        )
        merged = type(model).from_pretrained(write_merged(adapter, tmp_path / "plain"))
        torch.testing.assert_close(merged(TOKENS).logits, want, rtol=0, atol=1e-5)
