"""What several tests of methods need: calibration rows, adapters away from their start, packs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from variants import Calibration, build, routed


def rows_of(tokens: Tensor) -> list[Tensor]:
    """Single rows of other lengths, one batch each."""
    return [row[None, : len(row) - i % 4] for i, row in enumerate(tokens)]


def calibration(model, tokens) -> Calibration:
    """The training loss of each row, every token but the first learned."""

    def losses() -> Iterator[Tensor]:
        for row in rows_of(tokens):
            logits = model(input_ids=row).logits
            yield F.cross_entropy(logits[0, :-1].float(), row[0, 1:])

    return Calibration(losses)


def attached(model, name, seed=0, shown=None, **settings):
    """A variant on a model; `shown` are the tokens that a data-driven start sees."""
    return build(name, settings).attach(model, seed, None if shown is None else calibration(model, shown))


def moved(adapter, noise=0.05):
    """The adapter away from its start, so that no gradient is zero by construction."""
    rng = torch.Generator().manual_seed(adapter.seed)
    with torch.no_grad():
        for group in adapter.groups():
            for p in group.params.values():
                p.add_(noise * torch.randn(p.shape, generator=rng))
    return adapter


def gradients(model, adapters, tokens, rows=None):
    """Each member's gradients by name, for the sum of the members' own mean losses."""
    rows = rows or [slice(0, len(tokens))]
    with routed(model, *adapters, rows=rows):
        logits = model(tokens).logits
        losses = [F.cross_entropy(logits[s, :-1].flatten(0, 1), tokens[s, 1:].flatten()) for s in rows]
        torch.stack(losses).sum().backward()
    found = []
    for adapter in adapters:
        params = {k: p for g in adapter.groups() for k, p in g.params.items()}
        found.append({k: p.grad.clone() for k, p in params.items()})
        for p in params.values():
            p.grad = None
    return found


def pack_against_solo(model, adapters, tokens) -> float:
    """The largest difference of gradients in a pack and alone, relative to the largest of their tensor."""
    share = len(tokens) // len(adapters)
    rows = [slice(i * share, (i + 1) * share) for i in range(len(adapters))]
    worst = 0.0
    for adapter, span, packed in zip(adapters, rows, gradients(model, adapters, tokens, rows), strict=True):
        (alone,) = gradients(model, [adapter], tokens[span])
        assert packed.keys() == alone.keys() and packed
        for key, grad in alone.items():
            worst = max(worst, ((packed[key] - grad).abs().max() / grad.abs().max()).item())
    return worst


def far(one: Tensor, two: Tensor) -> float:
    """The largest difference relative to the largest entry of `two`."""
    return ((one.double() - two.double()).abs().max() / two.double().abs().max()).item()


def seen_inputs(model, names, tokens):
    """What each layer is given, example by example, float64 [tokens, d_in]."""
    found = {name: [] for name in names}
    handles = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, args, name=name: found[name].append(args[0].detach()[0].double())
        )
        for name in names
    ]
    for row in rows_of(tokens):
        model(input_ids=row)
    for handle in handles:
        handle.remove()
    return found


def weight_gradients(model, names, tokens):
    """The mean over rows of each weight's gradient, by autograd, in the model's own type."""
    total = dict.fromkeys(names, 0.0)
    losses = list(calibration(model, tokens).losses())
    for loss in losses:
        grads = torch.autograd.grad(loss, [model.get_submodule(name).weight for name in names])
        total = {name: total[name] + grad for name, grad in zip(names, grads, strict=True)}
    return {name: grad / len(losses) for name, grad in total.items()}
