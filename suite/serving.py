"""What vLLM makes of an exported folder: its LoRA limits, checked against the folder's own files.

Source: vLLM 0.22 (docs.vllm.ai, api/vllm/config/lora; vllm/lora/peft_helper.py and lora_model.py). The rank
must fit one of `MaxLoRARanks`. Of an adapter's configuration r, lora_alpha, use_rslora, use_dora, bias and
modules_to_save are read and no patterns, so that one scale alpha/r holds for all layers. DoRA, biases and
modules_to_save are refused. Models take embed_tokens and lm_head only as their `embedding_modules`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from suite.weights import ADAPTER, BASE

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
MERGED = "export with --merged to serve it"


def vllm(folder: Path) -> list[str]:
    """One line a note: how vLLM serves this folder, or why it does not."""
    if not (folder / ADAPTER).is_file():
        return ["vLLM: plain weights, served as they are: vllm serve FOLDER"]
    config = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    faults = _faults(config)
    if faults:
        return [f"vLLM: does not load it ({'; '.join(faults)}); {MERGED}"]
    rank = max(_ranks(config))
    least = next(known for known in RANKS if known >= rank)
    model = f"FOLDER/{BASE}" if (folder / BASE).is_dir() else "BASE"
    notes = [f"vLLM: loads with --enable-lora --max-lora-rank {least} (rank {rank}) on {model}"]
    ends = sorted({name for name in _adapted(folder) if name in ("embed_tokens", "lm_head")})
    if ends:
        notes.append(
            f"vLLM: adapts {' and '.join(ends)} only in models that list them as embedding modules (Llama "
            f"does, Gemma does not); if yours does not, {MERGED}"
        )
    return notes


def _faults(config: dict[str, Any]) -> list[str]:
    """What of this configuration vLLM refuses, or would compute wrongly."""
    if (kind := config.get("peft_type")) != "LORA":
        return [f"it serves LoRA, not {kind}"]
    found = []
    if config.get("use_dora"):
        found.append("it has no DoRA")
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        found.append("it takes no trained biases")
    for name in ("modules_to_save", "target_parameters"):
        if config.get(name):
            found.append(f"it takes no {name}")
    if (rank := max(_ranks(config))) > RANKS[-1]:
        found.append(f"rank {rank} is above its largest, {RANKS[-1]}")
    if not _one_scale(config):
        found.append("it uses one alpha/r for all layers, and these differ")
    return found


def _ranks(config: dict[str, Any]) -> list[int]:
    return [config["r"], *(config.get("rank_pattern") or {}).values()]


def _one_scale(config: dict[str, Any]) -> bool:
    """Whether alpha/r (or alpha/sqrt r) is the same wherever a pattern says otherwise."""
    ranks, alphas = config.get("rank_pattern") or {}, config.get("alpha_pattern") or {}
    power = 0.5 if config.get("use_rslora") else 1.0
    usual = config["lora_alpha"] / config["r"] ** power
    scales = (
        alphas.get(name, config["lora_alpha"]) / ranks.get(name, config["r"]) ** power
        for name in {*ranks, *alphas}
    )
    return all(abs(scale - usual) <= 1e-6 * abs(usual) for scale in scales)


def _adapted(folder: Path) -> set[str]:
    """Last parts of the names of the adapted modules."""
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", framework="np") as file:
        return {part for name in file.keys() for part in name.split(".")}  # noqa: SIM118 - no mapping
