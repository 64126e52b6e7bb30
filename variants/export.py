"""Taking what was learned out: merged plain weights, or a folder that peft loads on the untouched base."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from variants import targets
from variants.frozen import FrozenWeight
from variants.interface import Adapter
from variants.plain import write_plain
from variants.site import Factors

PREFIX = "base_model.model."
BASE = "base"  # the folder beside an adapter's files that holds its own base, if it has one


@torch.no_grad()
def merge(adapter: Adapter) -> dict[str, Tensor]:
    """The changed weights by name, W + delta summed in float32 and given back in W's type."""
    merged = {}
    for name, delta in adapter.deltas():
        weight = adapter.model.get_parameter(name)
        merged[name] = (weight.float() + delta).to(weight.dtype)
    return merged


def write(adapter: Adapter, folder: Path) -> Path:
    """A PEFT folder where every site's change is low-rank (against its own base, if it has one).

    What peft has no name for, such as fused experts, is written as merged plain weights.
    """
    found = {name: site.factors() for name, site in adapter.sites.items()}
    factors = {name: f for name, f in found.items() if f is not None}
    if not factors or len(factors) < len(found) or not _one_kind(adapter, factors):
        return write_merged(adapter, folder)
    write_peft(adapter.model, factors, folder)
    own = {f"{n}.weight": _dense(adapter.model, n, s.base) for n, s in adapter.sites.items() if s.base}
    if own:
        write_plain(adapter.model, _parameters(own), folder / BASE, apart=True)
    return folder


def _dense(model: nn.Module, name: str, base: FrozenWeight) -> Tensor:
    """A layer's own base as the model would store it."""
    dense = base.dense().to(model.get_parameter(f"{name}.weight").dtype)
    return dense.T.contiguous() if targets.turned(model, name) else dense


def write_merged(adapter: Adapter, folder: Path) -> Path:
    """The whole model with the deltas added, for any variant.

    A weight that the model uses in two places (tied embeddings) changes only where it was adapted, and is
    then written untied; it changes in both where the model's own weights train.
    """
    apart = not adapter.variant.trains_base
    return write_plain(adapter.model, _parameters(merge(adapter)), folder, apart=apart)


def write_peft(model: nn.Module, factors: Mapping[str, Factors], folder: Path) -> Path:
    """adapter_config.json and adapter_model.safetensors as peft names them: W + s*B*A, with s = alpha / r.

    The largest rank and its alpha stand in `r` and `lora_alpha`, others in patterns of full names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {name: (len(f.A), _whole(f.scale * len(f.A))) for name, f in factors.items()}
    rank, alpha = max(kinds.values())
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": getattr(getattr(model, "config", None), "_name_or_path", "") or None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {name: r for name, (r, _) in kinds.items() if r != rank},
        "alpha_pattern": {name: a for name, (_, a) in kinds.items() if a != alpha},
        "use_rslora": False,
        "use_dora": any(f.magnitude is not None for f in factors.values()),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(targets.turned(model, name) for name in factors),
        "init_lora_weights": True,
        "target_modules": _targets(model, list(factors)),
    }
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / "adapter_config.json").write_text(text, encoding="utf-8")
    tensors = {
        f"{PREFIX}{name}.{key}": tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, f in factors.items()
        for key, tensor in _tensors(f, isinstance(model.get_submodule(name), nn.Embedding)).items()
    }
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def _tensors(factors: Factors, embedding: bool) -> dict[str, Tensor]:
    """One layer's tensors by peft's names; peft holds an embedding as [d, vocabulary], so factors swap."""
    if embedding:
        return {"lora_embedding_A": factors.B.T, "lora_embedding_B": factors.A.T}
    found = {"lora_A.weight": factors.A, "lora_B.weight": factors.B}
    return found if factors.magnitude is None else {**found, "lora_magnitude_vector": factors.magnitude}


def _one_kind(adapter: Adapter, factors: Mapping[str, Factors]) -> bool:
    """Whether peft can hold these: magnitudes on every layer or on none, and not on an embedding."""
    dora = {f.magnitude is not None for f in factors.values()}
    embedded = any(isinstance(adapter.model.get_submodule(n), nn.Embedding) for n in factors)
    return dora == {False} or (dora == {True} and not embedded)


def _targets(model: nn.Module, names: list[str]) -> list[str]:
    """The short layer names ("q_proj") where they select exactly `names`, else the full ones."""
    leaves = sorted({name.rpartition(".")[2] for name in names})
    chosen = {name for name, _ in model.named_modules() if name.rpartition(".")[2] in leaves}
    return leaves if chosen == set(names) else names


def _whole(alpha: float) -> int | float:
    rounded = round(alpha, 9)
    return int(rounded) if rounded == int(rounded) else alpha


def _parameters(tensors: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(tensor, requires_grad=False) for name, tensor in tensors.items()}
