"""Checks of an adapter and its model: what it computes, what it leaves alone, what can be taken out of it."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from variants import export
from variants.conformance.gradients import distance, gradients
from variants.conformance.picture import changed, picture
from variants.conformance.probes import (
    CLOSE,
    Fault,
    NotClaimed,
    Probe,
    agree,
    attach,
    gap,
    logits,
    outputs,
    state,
    telling,
    unlike,
)
from variants.conformance.steps import stepping, train, trained
from variants.interface import Adapter, Variant, VariantError
from variants.lora import LoRA
from variants.route import routed

PACKED = 1e-4  # of a tensor's largest gradient; with rows of somebody else it is about 1


def starts_at_base(variant: Variant, probe: Probe) -> str:
    """Where claimed: before the first step the adapted model computes what the pretrained one does."""
    model = probe.make_model()
    base = logits(model, probe.few)
    now = logits(model, probe.few, attach(variant, probe, model))
    if not variant.starts_at_base:
        raise NotClaimed(f"not claimed; logits start {gap(now, base):.1g} away")
    return agree(now, base, "attached and not trained")


def base_outside(variant: Variant, probe: Probe) -> str:
    """Outside a route the model has the weights and gives the logits that it had, bit for bit."""
    model = probe.make_model()
    before = logits(model, probe.few)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}

    def look(when: str) -> None:
        if name := unlike(weights, model.state_dict()):
            raise Fault(f"{when}, the model's state_dict() differs in {name}")
        if not torch.equal(logits(model, probe.few), before):
            raise Fault(f"{when}, the model outside a route gives other logits")

    adapter = attach(variant, probe, model)
    look("attached")
    train(model, adapter, probe.few)
    look("trained")
    with suppress(InterruptedError), routed(model, adapter):
        raise InterruptedError
    look("after an exception inside a route")
    return "bit-equal"


def detaches(variant: Variant, probe: Probe) -> str:
    """Detached after a step of training, the model is what it was.

    Weights, flags, gradients, modules, attributes, hooks, logits. Members of a pack go in the order in which
    they came. A second detach does nothing.
    """
    model = probe.make_model()
    for i, p in enumerate(model.parameters()):
        p.requires_grad_(i % 2 == 0)
    before_logits, before = logits(model, probe.few), picture(model)
    adapters = [attach(variant, probe, model)]
    if adapters[0].packable:
        adapters.append(attach(variant, probe, model, seed=1))
    for adapter in adapters:
        logits(model, probe.few, adapter)
        train(model, adapter, probe.few, steps=1)
    for adapter in (*adapters, adapters[0]):
        adapter.detach()
    if difference := changed(before, picture(model)):
        raise Fault(f"detached, {difference}")
    if not torch.equal(logits(model, probe.few), before_logits):
        raise Fault("detached, the model gives other logits")
    if adapters[0].attached:
        raise Fault("detached, it still says attached")
    return "bit-equal"


def _with_deltas(adapter: Adapter, probe: Probe) -> nn.Module:
    """A fresh model with the deltas merged in; tied weights change together only where the base trains."""
    twin = probe.make_model()
    for name, weight in export.merge(adapter).items():
        if adapter.variant.trains_base:
            twin.get_parameter(name).data.copy_(weight)
        else:
            owner, _, key = name.rpartition(".")
            twin.get_submodule(owner)._parameters[key] = nn.Parameter(weight)
    return twin


def _well_formed(adapter: Adapter, probe: Probe) -> None:
    """deltas() gives float32 tensors in the shape of the weights that they name."""
    for name, delta in adapter.deltas():
        weight = adapter.model.get_parameter(name)
        if delta.shape != weight.shape or delta.dtype != torch.float32:
            found, expected = f"{list(delta.shape)} {delta.dtype}", f"{list(weight.shape)} torch.float32"
            raise Fault(f"the delta of {name} is {found}, expected {expected}")
        most = float(delta.abs().max() / weight.abs().max().clamp_min(1e-30))
        if adapter.variant.starts_at_base and not most <= CLOSE:
            raise Fault(f"not trained, the delta of {name} is {most:.1g} of the weight and not zero")


def deltas_merge(variant: Variant, probe: Probe) -> str:
    """W + delta, put into a second model, computes what the route computes; before training it is W."""
    variant, model = telling(variant, probe), probe.make_model()
    adapter = attach(variant, probe, model)
    _well_formed(adapter, probe)
    train(model, adapter, probe.few)
    return agree(
        logits(_with_deltas(adapter, probe), probe.few),
        logits(model, probe.few, adapter),
        "merged",
    )


def names_what_it_adapts(variant: Variant, probe: Probe) -> str:
    """adapted() names modules of the model, in its order, and just those whose weights have deltas."""
    model, adapter = trained(variant, probe)
    order = [
        name
        for place, module in model.named_modules()
        for name in (place, *(f"{place}.{key}" for key, _ in module.named_parameters(recurse=False)))
    ]
    names = adapter.adapted()
    for name in names:
        if name not in order:
            raise Fault(f"adapted() names {name!r}, which the model does not have")
    if names != sorted(set(names), key=order.index) or not names:
        raise Fault("adapted() must name at least one module, each once, in the model's order")
    deltas = {name: bool(delta.any()) for name, delta in adapter.deltas()}
    for name, moved in deltas.items():
        if moved and not any(_inside(name, module) for module in names):
            raise Fault(f"{name} changes, but adapted() names no module that has it")
    for module in names:
        if not any(_inside(name, module) for name in deltas):
            raise Fault(f"adapted() names {module}, but deltas() has no weight of it")
    return f"{len(names)} modules"


def _inside(weight: str, module: str) -> bool:
    return weight == module or weight.startswith(f"{module}.")


def exports(variant: Variant, probe: Probe) -> str:
    """What export() writes, loaded again, computes what the route computes; writing changes nothing."""
    if probe.reload is None:
        raise NotClaimed("nothing was given that reloads a folder")
    model, adapter = trained(telling(variant, probe), probe)
    expected, before = logits(model, probe.few, adapter), picture(model)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(adapter.export(Path(place) / "adapter"))
        if difference := changed(before, picture(model)):
            raise Fault(f"export() changed the model: {difference}")
        again = probe.reload(folder)
        kind = "PEFT folder" if (folder / "adapter_config.json").is_file() else "plain weights"
        return f"{kind}, {agree(logits(again, probe.few), expected, 'reloaded')}"


def packs(variant: Variant, probe: Probe) -> str:
    """Where claimed: in a pack with others each member has the gradients that it has alone.

    Members: plain LoRA as much like the variant as can be, and the variant under two seeds, with two rows
    each, so that whatever can be computed together is; plain LoRA of another rank with one row; one row is
    nobody's. With each other's rows gradients must be others, or the comparison would say nothing.
    """
    variant, model = telling(variant, probe), probe.make_model()
    first = attach(variant, probe, model)
    if not first.packable:
        raise NotClaimed("not claimed: packable is False")
    second = attach(variant, probe, model, seed=1)
    members = [_plain_like(first).attach(model, 2), first, second, LoRA(rank=4).attach(model, 3)]
    for member in members:
        train(model, member, probe.few, steps=2)
    rows = [slice(0, 2), slice(2, 4), slice(4, 6), slice(7, 8)]
    batch = probe.few
    packed = gradients(model, members, batch, rows)
    worst = 0.0
    for member, span, found in zip(members, rows, packed, strict=True):
        (alone,) = gradients(model, [member], batch[span], [slice(0, span.stop - span.start)])
        worst = max(worst, distance(found, alone))
    if not worst <= PACKED:
        raise Fault(
            f"packed and alone, gradients differ by {worst:.2g} of the largest (allowed {PACKED:.0e})"
        )
    swapped = gradients(model, members, batch, [rows[0], rows[2], rows[1], rows[3]])
    if not min(distance(swapped[k], packed[k]) for k in (1, 2)) > 100 * PACKED:
        raise Fault("its gradients are the same with the rows of another member")
    with torch.no_grad(), routed(model, *members, rows=rows):
        free = outputs(model, batch)[6:7].float()
    agree(free, logits(model, batch[6:7]), "a row that nobody owns")
    return f"gradients differ by {worst:.1g}"


def _plain_like(adapter: Adapter) -> LoRA:
    """Plain LoRA with the rank and scale of the adapter's factors, if a layer can hold them."""
    found = [factors for site in adapter.sites.values() if (factors := site.factors()) is not None]
    try:
        rank = len(found[0].A)
        plain = LoRA(rank=rank, alpha=found[0].scale * rank)
        plain.check(adapter.model)
    except (IndexError, VariantError):
        return LoRA(rank=8)
    return plain


def rows_are_apart(variant: Variant, probe: Probe) -> str:
    """A row gives the same logits alone as among others, and twice the same.

    Neither do the other rows count in training, nor what comes later in a row.
    """
    model, adapter = trained(variant, probe)
    together = logits(model, probe.few, adapter)
    if not torch.equal(together, logits(model, probe.few, adapter)):
        raise Fault("the same rows twice give other logits; outside training nothing may be drawn")
    alone = torch.cat([logits(model, probe.few[i : i + 1], adapter) for i in range(2)])
    told = agree(alone, together[:2], "a row alone and among others")
    others, later = probe.few.clone(), probe.few.clone()
    others[1:], later[:, -1] = others[1:].roll(1, dims=1), later[:, -1].roll(1)
    for step in (None, 0):
        with stepping(adapter, step):
            now, beside, before = (logits(model, rows, adapter) for rows in (probe.few, others, later))
        agree(beside[:1], now[:1], "a row beside other rows" + (" in training" if step == 0 else ""))
        agree(before[:, :-1], now[:, :-1], "positions before another last token")
    return told


def adapters_are_apart(variant: Variant, probe: Probe) -> str:
    """A second adapter on the model, trained and taken off, leaves the first as it was, and the other way."""
    model = probe.make_model()
    one = attach(variant, probe, model)
    before = {**state(one), "the logits": logits(model, probe.few, one)}
    two = attach(variant, probe, model, seed=1)
    train(model, two, probe.few, steps=2)
    if name := unlike(before, {**state(one), "the logits": logits(model, probe.few, one)}):
        raise Fault(f"training a second adapter changed the first: {name}")
    after = state(two)
    train(model, one, probe.few, steps=2)
    if name := unlike(after, state(two)):
        raise Fault(f"training the first adapter changed the second: {name}")
    two.detach()
    logits(model, probe.few, one)
    return "bit-equal"
