"""The base does not train while an adapter is on it."""

from __future__ import annotations

from typing import ClassVar
from weakref import WeakKeyDictionary

from torch import nn

from variants.interface import Adapter


class Freeze:
    """The base's requires_grad flags: off while any adapter is attached, restored with the last one."""

    _held: ClassVar[WeakKeyDictionary[nn.Module, list[bool]]] = WeakKeyDictionary()
    _count: ClassVar[WeakKeyDictionary[nn.Module, int]] = WeakKeyDictionary()

    @classmethod
    def add(cls, adapter: Adapter) -> None:
        """Freeze the model of `adapter`."""
        model = adapter.model
        cls._held.setdefault(model, [p.requires_grad for p in model.parameters()])
        cls._count[model] = cls._count.get(model, 0) + 1
        model.requires_grad_(False)

    @classmethod
    def remove(cls, adapter: Adapter) -> None:
        """Give the flags back if `adapter` was the last one on its model."""
        model = adapter.model
        cls._count[model] -= 1
        if not cls._count[model]:
            for p, flag in zip(model.parameters(), cls._held.pop(model), strict=True):
                p.requires_grad_(flag)
