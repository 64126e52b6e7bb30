"""What a model's config.json says of it, and which models the suite does not train: read without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from suite.errors import UserError, one_line

CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
OTHER_SENSES = ("vision_config", "audio_config", "speech_config", "image_config", "video_config")


def unreadable(folder: Path, why: str) -> UserError:
    """That a folder holds no model that can be used."""
    return UserError(f"model folder {str(folder)!r} cannot be read: {why}")


def config(folder: Path) -> dict[str, Any]:
    """The object in config.json. Raises UserError."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(folder, f"config.json: {one_line(error)}") from None
    if not isinstance(found, dict):
        raise unreadable(folder, "config.json holds no object")
    return found


def context_length(folder: Path) -> int | None:
    """Tokens that the model can attend to, where its configuration says so."""
    found = config(folder)
    key = next((key for key in CONTEXT if found.get(key) is not None), None)
    if key is None:
        return None
    length = found[key]
    if not (isinstance(length, int) and length > 0):
        raise unreadable(folder, f"config.json: {key} is {str(length)[:60]!r}")
    return length


def check(folder: Path) -> None:
    """Raise UserError for a model that is no plain causal language model of transformers."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    found = config(folder)
    kind = found.get("model_type")
    context_length(folder)
    if held := found.get("quantization_config"):
        method = held.get("quant_method", "unknown method") if isinstance(held, dict) else "unknown method"
        raise UserError(
            f"model in {str(folder)!r} is stored quantised ({str(method)[:40]}); give the unquantised one, "
            "which variants on a quantised base quantise themselves"
        )
    if kind not in CONFIG_MAPPING:
        own = "needs code of its own, which is not run" if found.get("auto_map") else "is not known"
        raise UserError(
            f"model in {str(folder)!r}: model_type {str(kind)[:60]!r} {own}; expected an architecture of "
            "transformers, such as llama or qwen3"
        )
    if sense := next((key for key in OTHER_SENSES if found.get(key)), None):
        raise UserError(
            f"model in {str(folder)!r} ({kind}) takes more than text ({sense}); give a text-only model, "
            f"such as one of model_type '{kind}_text'"
        )
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or found.get("is_encoder_decoder"):
        raise UserError(f"model in {str(folder)!r}: {kind} is no causal language model; give one that is")
