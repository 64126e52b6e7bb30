"""Checks of an adapter in itself: its class and settings, its parameters, its training."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import cached_property

import torch
from torch import Tensor, nn

from variants import plugins
from variants.conformance.gradients import leaves
from variants.conformance.probes import (
    Fault,
    NotClaimed,
    Probe,
    attach,
    gap,
    logits,
    state,
    telling,
    unlike,
)
from variants.conformance.steps import STEPS, train
from variants.conformance.surroundings import elsewhere, surroundings
from variants.interface import Adapter, Variant

MOVED = 1e-4  # of the largest logit: what a few steps change at least
MANY = 40  # steps, where a few leave numbers unmoved
VOCABULARY = 8192  # more tokens do not fit into one batch


def the_class(variant: Variant, probe: Probe) -> str:
    """The class is a frozen dataclass with name, summary and facts of the right kinds."""
    if wrong := plugins.fault(type(variant)):
        raise Fault(wrong)
    return f"{type(variant).__name__}, {len(fields(variant))} settings"


def settings_survive(variant: Variant, probe: Probe) -> str:
    """settings() as JSON and back builds an equal variant, and a life on a model changes none of them."""
    text = json.dumps(variant.settings(), allow_nan=False)
    again = type(variant).build(json.loads(text))
    if again != variant or json.dumps(again.settings()) != text:
        raise Fault(f"built again from JSON it is {again}, was {variant}")
    fresh = {key: repr(value) for key, value in vars(again).items()}
    model = probe.make_model()
    train(model, attach(variant, probe, model), probe.few, steps=1)
    for key, value in vars(variant).items():
        cached = isinstance(getattr(type(variant), key, None), cached_property)
        if not cached and fresh.get(key) != repr(value):
            raise Fault(f"attaching and training changed its {key}; keep on the adapter what changes")
    return f"{len(fields(variant))} settings"


def attaches(variant: Variant, probe: Probe) -> str:
    """attach() gives an adapter of this variant, on this model, with this seed."""
    model = probe.make_model()
    variant.check(model)
    adapter = attach(variant, probe, model, seed=3)
    for wrong, right in (
        ("no Adapter", isinstance(adapter, Adapter)),
        ("another variant's", getattr(adapter, "variant", None) == variant),
        ("on another model", getattr(adapter, "model", None) is model),
        ("of another seed", getattr(adapter, "seed", None) == 3),
        ("not attached", getattr(adapter, "attached", False)),
    ):
        if not right:
            raise Fault(f"what attach() gives is {wrong}")
    return f"{len(adapter.adapted())} modules"


def trains(variant: Variant, probe: Probe) -> str:
    """A few steps of every phase raise nothing; losses and gradients are finite, and not all are zero."""
    model = probe.make_model()
    adapter = attach(variant, probe, model)
    losses: list[float] = []
    train(model, adapter, probe.few, watch=lambda *told: losses.append(float(told[-1].detach())))
    return f"loss {losses[0]:.2f} to {losses[-1]:.2f}"


def phases_in_order(variant: Variant, probe: Probe) -> str:
    """Phases are entered one after the other, know their number, and each has something to train."""
    model = probe.make_model()
    adapter = attach(variant, probe, model)

    def watch(moment: str, adapter: Adapter, phase: int, total: Tensor) -> None:
        if adapter.phase != phase:
            raise Fault(f"in phase {phase} adapter.phase is {adapter.phase}; call super().enter(phase)")

    train(model, adapter, probe.few, steps=1, watch=watch)
    return f"{variant.phases} phase{'s' * (variant.phases > 1)}"


def same_seed(variant: Variant, probe: Probe) -> str:
    """One seed gives bit-equal adapters and training, wherever the global random numbers and hash() stand.

    Nothing global is changed. Another seed in between shows what one adapter leaves behind for the next.
    """
    found, variant = [], telling(variant, probe)
    for number, seed in ((11, 0), (12, 1), (13, 0)):
        model = probe.make_model()
        with elsewhere(number):
            before = surroundings()
            adapter = attach(variant, probe, model, seed)
            _look_around(before, "attach()")
            start = state(adapter)
            train(model, adapter, probe.few, steps=2)
            _look_around(before, "training")
            found.append((start, {**state(adapter), "the logits": logits(model, probe.few, adapter)}))
    for when, one, two in zip(("attached", "trained"), found[0], found[2], strict=True):
        if name := unlike(one, two):
            raise Fault(f"{when} twice with seed 0, {name} differs")
    return "bit-equal"


def _look_around(before: dict[str, object], who: str) -> None:
    after = surroundings()
    for name in before:
        if before[name] != after[name]:
            raise Fault(f"{who} changes {name}; draw from variants.site.generator(seed, ...) instead")


def groups_are_complete(variant: Variant, probe: Probe) -> str:
    """What a backward reaches is in groups(), once; the base's own weights are frozen."""
    model = probe.make_model()
    adapter = attach(variant, probe, model)
    own = {id(p): name for name, p in model.named_parameters()}

    def watch(moment: str, adapter: Adapter, phase: int, total: Tensor) -> None:
        if moment != "backward":
            return
        known = {id(p) for group in adapter.groups() for p in group.params.values()}
        for leaf in leaves(total):
            if id(leaf) in own and id(leaf) not in known:
                raise Fault(f"phase {phase}: {own[id(leaf)]} of the base gets gradients; freeze the model")
            if id(leaf) not in known:
                raise Fault(
                    f"phase {phase}: a parameter {list(leaf.shape)} gets gradients but is in no group"
                )
        if not all(0 < group.lr_scale < float("inf") for group in adapter.groups()):
            raise Fault(f"phase {phase}: an lr_scale is no number above 0")

    train(model, adapter, probe.few, steps=2, watch=watch)
    return f"{sum(len(group.params) for group in adapter.groups())} parameters"


class Movement:
    """Counts the numbers that move in a phase, and holds them against what the adapter says.

    Rows of a table that no batch looks up, such as positions beyond its length, count as if they moved. The
    input embedding is no such table: the probe names every token.
    """

    def __init__(self, model: nn.Module) -> None:
        self.last: dict[int, Tensor] = {}
        self.moved: dict[int, Tensor] = {}
        self.reached: dict[int, Tensor] = {}
        self.count = 0
        words = getattr(model, "get_input_embeddings", lambda: None)()
        for module in model.modules():
            if isinstance(module, nn.Embedding) and module is not words:
                module.register_forward_hook(self._look_up)

    def _look_up(self, table: nn.Module, args: object, found: object) -> None:
        weight = table.get_parameter("weight")
        self.reached.setdefault(id(weight), torch.zeros(len(weight), dtype=torch.bool, device=weight.device))

    def __call__(self, moment: str, adapter: Adapter, phase: int, total: Tensor) -> None:
        params = {id(p): p.detach() for group in adapter.groups() for p in group.params.values()}
        if moment == "backward":
            self.last = {key: p.clone() for key, p in params.items()}
            for group in adapter.groups():
                for p in group.params.values():
                    if id(p) in self.reached and p.grad is not None:
                        self.reached[id(p)] |= p.grad.any(dim=1)
        elif moment == "step":
            for key, p in params.items():
                self.moved[key] = self.moved.get(key, torch.zeros_like(p, dtype=torch.bool)) | (
                    p != self.last[key]
                )
        else:
            for key in self.reached.keys() & self.moved.keys():
                self.moved[key][~self.reached[key]] = True
            self.count = sum(int(entries.sum()) for entries in self.moved.values())
            self.moved, self.reached = {}, {}
            if adapter.trainable() != self.count:
                raise Fault(
                    f"phase {phase}: trainable() says {adapter.trainable()}, {self.count} numbers move"
                )


def counts_are_true(variant: Variant, probe: Probe) -> str:
    """trainable() is how many numbers really move in a few steps, in every phase; some move late."""
    try:
        return _count(variant, probe, STEPS)
    except Fault:
        return _count(variant, probe, MANY)


def _count(variant: Variant, probe: Probe, steps: int) -> str:
    model = probe.make_model()
    sizes = [module.num_embeddings for module in model.modules() if isinstance(module, nn.Embedding)]
    if max(sizes, default=0) > VOCABULARY:
        raise NotClaimed(f"a vocabulary of {max(sizes)} does not fit into one batch (at most {VOCABULARY})")
    adapter = attach(variant, probe, model)
    movement = Movement(model)
    train(model, adapter, probe.tokens, steps, movement)
    return f"{movement.count} numbers"


def has_an_effect(variant: Variant, probe: Probe) -> str:
    """A few steps of training move the logits."""
    model = probe.make_model()
    adapter = attach(variant, probe, model)
    start = logits(model, probe.few, adapter)
    train(model, adapter, probe.few)
    moved = gap(logits(model, probe.few, adapter), start)
    if not moved >= MOVED:
        raise Fault(f"training moved the logits by {moved:.2g} of the largest (expected {MOVED:.0e} or more)")
    return f"logits moved by {moved:.1g}"
