"""A picture of a model: what an adapter has to give back when it is taken off, bit for bit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

PLAIN = (int, float, str, bool, tuple, type(None))
FILLED_IN = ("architectures", "dtype", "transformers_version")  # by save_pretrained, in a config without them

Picture = dict[str, Any]


def picture(model: nn.Module) -> Picture:
    """Facts by name: parameters and buffers (which ones, their bits, flags, gradients, hooks), modules (which
    ones, their classes, the forward of the class, what hangs on the instance, hooks), the state_dict's keys.
    """
    found: Picture = {"the keys of state_dict()": list(model.state_dict())}
    for name, hooks in vars(nn.modules.module).items():
        if name.startswith("_global_") and isinstance(hooks, dict):
            found[f"{name} of torch"] = _attribute(hooks)
    if (to_dict := getattr(getattr(model, "config", None), "to_dict", None)) is not None:
        found["the model's config"] = repr({k: v for k, v in to_dict().items() if k not in FILLED_IN})
    for name, p in model.named_parameters(remove_duplicate=False):
        found[f"parameter {name}"] = Same(p)
        found[f"the bits of {name}"] = _bits(p)
        found[f"requires_grad of {name}"] = p.requires_grad
        found[f"the gradient of {name}"] = None if p.grad is None else _bits(p.grad)
        found[f"a hook on {name}"] = [Same(h) for h in (p._backward_hooks or {}).values()]
    for name, buffer in model.named_buffers(remove_duplicate=False):
        found[f"the bits of {name}"] = _bits(buffer)
    for name, module in model.named_modules(remove_duplicate=False):
        shown = name or "the model"
        found[f"module {shown}"] = Same(module)
        found[f"the class of {shown}"] = Same(type(module))
        found[f"the forward of class {type(module).__name__}"] = Same(type(module).forward)
        for key, value in vars(module).items():
            found[f"{key} of {shown}"] = _attribute(value)
    return found


def changed(before: Picture, after: Picture) -> str | None:
    """The first fact that differs, in words, or None."""
    for name in [*before, *after]:
        if name not in after:
            return f"{name} is gone"
        if name not in before:
            return f"{name} is left over"
        one, two = before[name], after[name]
        if isinstance(one, Tensor) and isinstance(two, Tensor):
            if not torch.equal(one, two):
                return f"{name} changed"
        elif type(one) is not type(two) or one != two:
            return f"{name} changed"
    return None


class Same:
    """Equal to another only if both hold the very same object."""

    def __init__(self, held: object) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.held is other.held

    def __hash__(self) -> int:
        return id(self.held)


def _attribute(value: object) -> object:
    """Plain values by value, dictionaries (parameters, modules, hooks) by what they hold, the rest itself."""
    if isinstance(value, dict):
        return {
            key: _attribute(inner) if isinstance(inner, PLAIN) else Same(inner)
            for key, inner in value.items()
        }
    return value if isinstance(value, PLAIN) else Same(value)


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().contiguous().flatten().view(torch.uint8)
