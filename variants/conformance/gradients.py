"""Gradients of a pack, and what a backward reaches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from variants.conformance.probes import Fault, mean_loss, outputs
from variants.interface import Adapter
from variants.route import routed


def gradients(
    model: nn.Module, members: Sequence[Adapter], tokens: Tensor, rows: Sequence[slice]
) -> list[dict[str, Tensor]]:
    """Each member's gradients for the sum of the members' own mean losses, in one pass of training step 0.

    Member k owns `rows[k]` of the batch; its loss is that of these rows.
    """
    for member in members:
        member.step = 0
    try:
        with routed(model, *members, rows=rows):
            found = outputs(model, tokens)
            extra = [e for member in members if (e := member.penalty()) is not None]
            torch.stack([*(mean_loss(found[span], tokens[span]) for span in rows), *extra]).sum().backward()
    finally:
        for member in members:
            member.step = None
    return [_taken(member) for member in members]


def _taken(member: Adapter) -> dict[str, Tensor]:
    """The member's gradients by name, taken off its parameters."""
    found = {}
    for group in member.groups():
        for name, p in group.params.items():
            found[name] = torch.zeros_like(p) if p.grad is None else p.grad.clone()
            p.grad = None
    return found


def distance(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """Largest difference of two sets of gradients, relative to the largest gradient of its tensor.

    A tensor whose gradients are a millionth of the largest and less is measured against that millionth.
    """
    most = max(float(grad.abs().max()) for grad in two.values())
    if not most:
        raise Fault("all gradients are zero", of="trains")
    return max(
        float((one[name] - grad).abs().max()) / max(float(grad.abs().max()), 1e-6 * most)
        for name, grad in two.items()
    )


def leaves(total: Tensor) -> list[Tensor]:
    """Every tensor that a backward from `total` gives a gradient to."""
    found, seen, stack = [], set(), [total.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if type(node).__name__ == "AccumulateGrad":
            found.append(node.variable)  # pyright: ignore[reportAttributeAccessIssue]
        stack += [after for after, _ in node.next_functions]
    return found
