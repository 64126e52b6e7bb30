"""The conformance checks' small training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from variants.conformance.probes import Fault, Probe, attach, loss
from variants.interface import Adapter, Variant
from variants.route import routed
from variants.spec import said

STEPS = 4  # of each phase; a product of two factors of which one starts at zero moves from the second on
RATE = 3e-3

Watch = Callable[[str, Adapter, int, Tensor], None]


def trained(variant: Variant, probe: Probe) -> tuple[nn.Module, Adapter]:
    """A fresh model and the variant on it after a few steps of every phase."""
    model = probe.make_model()
    adapter = attach(variant, probe, model)
    train(model, adapter, probe.few)
    return model, adapter


def train(
    model: nn.Module, adapter: Adapter, tokens: Tensor, steps: int = STEPS, watch: Watch | None = None
) -> None:
    """Every phase as the suite trains it: AdamW without decay, all rows in each step.

    `watch(moment, adapter, phase, loss)` is called at "backward" (gradients are there), "step" (the step is
    taken) and "end" (of the phase).
    """
    tell = watch or (lambda *_: None)
    for phase in range(adapter.variant.phases):
        try:
            for moment, found in _phase(model, adapter, tokens, phase, steps):
                tell(moment, adapter, phase, found)
        except Fault:
            raise
        except (Exception, SystemExit) as error:
            raise Fault(f"phase {phase}: {said(error)}", of="trains") from error


def _phase(
    model: nn.Module, adapter: Adapter, tokens: Tensor, phase: int, steps: int
) -> Iterator[tuple[str, Tensor]]:
    if phase:
        adapter.enter(phase)
    adapter.begin(steps)
    groups = [(list(group.params.values()), RATE * group.lr_scale) for group in adapter.groups()]
    if not any(params for params, _ in groups):
        raise Fault(f"nothing trains in phase {phase}: groups() is empty", of="phases")
    optimizer = torch.optim.AdamW(
        [{"params": params, "lr": rate} for params, rate in groups], weight_decay=0, eps=1e-12
    )
    total, alive = torch.zeros(()), False
    for step in range(steps):
        with stepping(adapter, step), routed(model, adapter):
            total = loss(model, tokens)
            penalty = adapter.penalty()
            total = total if penalty is None else total + penalty
            total.backward()
        alive = (
            _alive(total, [p for params, _ in groups for p in params], f"phase {phase}, step {step}") or alive
        )
        yield "backward", total
        optimizer.step()
        adapter.stepped(step)
        optimizer.zero_grad(set_to_none=True)
        yield "step", total
    if not alive:
        raise Fault(f"phase {phase}: every gradient is zero", of="trains")
    yield "end", total


def _alive(total: Tensor, params: list[nn.Parameter], when: str) -> bool:
    """Whether any gradient is not zero; a Fault if one is not finite."""
    grads = [p.grad for p in params if p.grad is not None]
    if not all(torch.isfinite(number).all() for number in (total, *grads)):
        raise Fault(f"{when}: the loss or a gradient is not finite", of="trains")
    return any(grad.any() for grad in grads)


@contextmanager
def stepping(adapter: Adapter, step: int | None) -> Iterator[None]:
    """Inside, the adapter knows that it trains, and at which step."""
    adapter.step = step
    try:
        yield
    finally:
        adapter.step = None
