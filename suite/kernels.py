"""How a model's forward is computed: the attention kernel, and activations kept or computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from suite.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

FLASH = "flash_attention_2"
CACHES = ("past_key_values", "past_key_value", "layer_past", "cache_params")


def check_attention(attention: str | None, precision: str, device: str) -> None:
    """Raise UserError where flash attention is asked for and cannot be had."""
    if attention != FLASH:
        return
    from transformers.utils.import_utils import is_flash_attn_2_available

    why = None
    if not device.startswith("cuda"):
        why = f"it needs a GPU, and the device is {device}"
    elif precision == "float32":
        why = "it does not compute in float32"
    elif not is_flash_attn_2_available():
        why = "the package flash-attn is not installed"
    if why:
        raise UserError(f"--attention {FLASH}: {why}; use sdpa")


def narrowed(device: torch.device) -> bool:
    """Whether products of float32 tensors are computed in another type here: inside autocast."""
    import torch

    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


@contextmanager
def checkpointing(model: PreTrainedModel, on: bool) -> Iterator[None]:
    """Inside, if `on`, the blocks keep only their inputs and compute again in the backward.

    Run forward and backward inside, and any route around or inside as usual. The blocks are those that
    transformers itself would checkpoint; unlike there the model stays in evaluation mode.
    """
    if not on:
        yield
        return
    from torch.utils.checkpoint import checkpoint
    from transformers.modeling_layers import GradientCheckpointingLayer

    from variants.route import restore

    blocks = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not blocks:
        raise UserError(f"{type(model).__name__} has no blocks to checkpoint; leave --checkpointing out")
    with ExitStack() as stack:
        for block in blocks:
            stack.callback(restore, block, block.__dict__.get("forward"))
            block.__dict__["forward"] = partial(_again, checkpoint, block.forward)
        yield


def _again(checkpoint: Callable[..., Any], forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A block's forward under a checkpoint, without the cache, which a second forward would fill again."""
    import torch

    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    off = {key: None for key in CACHES if kwargs.get(key) is not None}
    off |= {"use_cache": False} if kwargs.get("use_cache") else {}
    return checkpoint(forward, *args, use_reentrant=False, **(kwargs | off))
