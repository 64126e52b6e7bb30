"""Taking what was learned out: merged plain weights, or a folder that peft loads on the untouched base."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from variants.interface import Adapter


@contextmanager
def replaced(model: nn.Module, params: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Inside, the named parameters stand in the place of the model's own, wherever the model uses them."""
    substitute = {id(model.get_parameter(name)): p for name, p in params.items()}
    slots = [
        (module, key, own)
        for module in model.modules()
        for key, own in module._parameters.items()
        if id(own) in substitute
    ]
    try:
        for module, key, own in slots:
            module._parameters[key] = substitute[id(own)]
        yield
    finally:
        for module, key, own in slots:
            module._parameters[key] = own


@torch.no_grad()
def merge(adapter: Adapter) -> dict[str, Tensor]:
    """The changed weights by name, W + delta summed in float32 and given back in W's type."""
    merged = {}
    for name, delta in adapter.deltas():
        weight = adapter.model.get_parameter(name)
        merged[name] = (weight.float() + delta).to(weight.dtype)
    return merged


def write(adapter: Adapter, folder: Path) -> Path:
    """A PEFT folder if every site has low-rank factors of one rank and scale, else merged plain weights."""
    found = {name: site.factors() for name, site in adapter.sites.items()}
    factors = {
        name: (f.A, f.B, f.scale)
        for name, f in found.items()
        if f is not None and adapter.sites[name].base is None
    }
    kinds = {(len(A), scale) for A, _, scale in factors.values()}
    if len(factors) == len(found) and len(kinds) == 1:
        return write_peft(adapter.model, factors, folder)
    merged = {name: nn.Parameter(w, requires_grad=False) for name, w in merge(adapter).items()}
    return write_plain(adapter.model, merged, folder)


def write_plain(model: nn.Module, params: Mapping[str, nn.Parameter], folder: Path) -> Path:
    """The whole model with `params` in place, through its own save_pretrained where it has one."""
    folder.mkdir(parents=True, exist_ok=True)
    with replaced(model, params):
        save = getattr(model, "save_pretrained", None)
        if callable(save):
            save(folder)
        else:
            tensors = {name: p.detach().contiguous() for name, p in model.named_parameters()}
            save_file(tensors, folder / "model.safetensors")
    return folder


def write_peft(model: nn.Module, factors: Mapping[str, tuple[Tensor, Tensor, float]], folder: Path) -> Path:
    """adapter_config.json and adapter_model.safetensors, as peft names them: W + s*B*A, s = alpha / r."""
    folder.mkdir(parents=True, exist_ok=True)
    A, _, scale = next(iter(factors.values()))
    rank, alpha = len(A), round(scale * len(A), 9)
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": getattr(getattr(model, "config", None), "_name_or_path", "") or None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "use_rslora": False,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "target_modules": _targets(model, list(factors)),
    }
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / "adapter_config.json").write_text(text, encoding="utf-8")
    tensors = {}
    for name, (A, B, _) in factors.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = A.contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = B.contiguous()
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def _targets(model: nn.Module, names: list[str]) -> list[str]:
    """The short layer names ("q_proj") where they select exactly `names`, else the full ones."""
    leaves = sorted({name.rpartition(".")[2] for name in names})
    chosen = {name for name, _ in model.named_modules() if name.rpartition(".")[2] in leaves}
    return leaves if chosen == set(names) else names
