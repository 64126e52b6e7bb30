"""Pretrained weights that every member of a route replaces wait in host memory, and the GPU has their room.

A layer's weight is parked when an adapter that brings its own is turned on. Whoever needs it calls the layer:
the model without adapters, or another member of the route. Then it comes back, bit for bit, and is not parked
again where it was a member of a route (it would go to and fro at every step). Detaching brings all back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn

_places: WeakKeyDictionary[nn.Module, torch.device] = WeakKeyDictionary()  # layer -> where its weight belongs
_wanted: WeakSet[nn.Module] = WeakSet()  # layers whose weight a member of a route has asked for


class Comeback:
    """Stands in for the forward of a layer whose weight is parked: the first call brings it back."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.layer in _places:
            if self.layer.__dict__.get("forward") is not self:  # a route stands before it
                _wanted.add(self.layer)
            bring_back([self.layer])
        return type(self.layer).forward(self.layer, *args, **kwargs)


def park(model: nn.Module, names: Iterable[str]) -> None:
    """Send the weights of these layers to host memory, but for those that others use too."""
    layers = [model.get_submodule(name) for name in names]
    layers = [layer for layer in layers if layer not in _places and layer not in _wanted]
    layers = [layer for layer in layers if away(layer.get_parameter("weight"))]
    if not layers:
        return
    uses = Counter(id(p) for module in model.modules() for p in module._parameters.values())
    for layer in layers:
        weight, forward = layer.get_parameter("weight"), layer.__dict__.get("forward")
        if uses[id(weight)] > 1 or not (forward is None or isinstance(forward, Comeback)):
            continue
        _places[layer] = weight.device
        weight.data = to_host(weight.data)
        layer.__dict__["forward"] = forward or Comeback(layer)


def bring_back(layers: Iterable[nn.Module]) -> None:
    """The weights of these layers, where they belong; nothing for those that are not parked."""
    for layer in layers:
        device = _places.pop(layer, None)
        if device is not None:
            weight = layer.get_parameter("weight")
            weight.data = weight.data.to(device)
        if isinstance(layer.__dict__.get("forward"), Comeback):
            del layer.__dict__["forward"]


def release(model: nn.Module, names: Iterable[str]) -> None:
    """An adapter goes: the weights of its layers come back, and may be parked again for another."""
    layers = [model.get_submodule(name) for name in names]
    bring_back(layers)
    for layer in layers:
        _wanted.discard(layer)


def away(weight: Tensor) -> bool:
    """Whether a weight takes room on an accelerator."""
    return weight.device.type != "cpu"


def to_host(weight: Tensor) -> Tensor:
    """The weight in host memory."""
    return weight.to("cpu")
