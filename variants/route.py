"""Turning adapters on: which rows of a batch belong to which of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import cast
from weakref import WeakSet

from torch import nn

from variants.forward import AdaptedForward, BatchSize
from variants.interface import Adapter

_busy: WeakSet[nn.Module] = WeakSet()


@contextmanager
def routed(model: nn.Module, *adapters: Adapter, rows: Sequence[slice] | None = None) -> Iterator[None]:
    """Turn adapters on: inside, rows of the batch (dimension 0 of every layer's input) belong to them.

    One adapter takes all rows, whatever the batch. Of K adapters member k takes `rows[k]`, or the k-th of K
    equal contiguous shares. Rows that nobody owns see the pretrained model. Run the backward inside too:
    gradient checkpointing computes the forward again. Routes on one model do not nest (RuntimeError).
    """
    _check_route(model, adapters, rows)
    names = dict.fromkeys(
        n for adapter in adapters for n, site in adapter.sites.items() if not site.of_parameter
    )
    layers = {name: cast(nn.Linear, model.get_submodule(name)) for name in names}
    touched = [model, *layers.values()]
    if any(module in _busy for module in touched):
        raise RuntimeError("this model is already inside a route; routes do not nest, so leave the first one")
    with ExitStack() as stack:
        for module in touched:
            _busy.add(module)
            stack.callback(_busy.discard, module)
        batch = BatchSize() if rows is not None else None
        if batch is not None:
            stack.callback(model.register_forward_pre_hook(batch.look, with_kwargs=True).remove)
        for adapter in adapters:
            stack.enter_context(adapter.installed())
        for name, layer in layers.items():
            sites = [adapter.sites.get(name) for adapter in adapters]
            stack.callback(restore, layer, layer.__dict__.get("forward"))
            layer.__dict__["forward"] = AdaptedForward(layer, sites, rows, batch)
        yield


def restore(layer: nn.Module, forward: object | None) -> None:
    """Give a layer the forward back that it had on the instance, or none."""
    del layer.__dict__["forward"]
    if forward is not None:
        layer.__dict__["forward"] = forward


def _check_route(model: nn.Module, adapters: Sequence[Adapter], rows: Sequence[slice] | None) -> None:
    """Refuse a route that cannot mean anything."""
    for adapter in adapters:
        if not adapter.attached or adapter.model is not model:
            where = "another model" if adapter.attached else "no model any more"
            raise RuntimeError(f"this {adapter.variant.name} adapter is attached to {where}; attach it first")
        if len(adapters) > 1 and not adapter.packable:
            raise RuntimeError(f"{adapter.variant.name} cannot share a pass; route it alone")
    if rows is None:
        return
    if len(rows) != len(adapters):
        raise RuntimeError(f"{len(rows)} spans of rows for {len(adapters)} adapters; give one each")
    if any(span.start is None or span.stop is None or span.step not in (None, 1) for span in rows):
        raise RuntimeError(f"rows must be slices with a start and a stop, got {list(rows)}")
    spans = sorted((span.start, span.stop) for span in rows)
    if any(a[1] > b[0] for a, b in pairwise(spans)):
        raise RuntimeError(f"rows overlap: {list(rows)}; a row belongs to one adapter")
