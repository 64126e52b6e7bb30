"""What a data-driven start sees: the second moments of a layer's inputs, or its weight's gradient.

Both run the model over the calibration rows with hooks on the adapted layers, in evaluation mode. Afterwards
the model is as it was, also when something raised: hooks gone, modes back, requires_grad and .grad untouched.
Memory is d_in^2 or d_out*d_in numbers a layer, whatever the number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from variants.interface import Calibration, VariantError
from variants.targets import Layer

Hook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Any]


class Moments:
    """Count, sum and sum of outer products of vectors [d], in float64; and how many examples these were."""

    def __init__(self, width: int, device: torch.device) -> None:
        self.examples = self.count = 0
        self.sum = torch.zeros(width, dtype=torch.float64, device=device)
        self.square = torch.zeros(width, width, dtype=torch.float64, device=device)

    def add(self, rows: Tensor) -> None:
        """Take in the vectors of one example, [n, d]."""
        rows = rows.double()
        self.examples += 1
        self.count += len(rows)
        self.sum += rows.sum(dim=0)
        self.square.addmm_(rows.T, rows)

    def covariance(self) -> Tensor:
        """The mean outer product of the vectors less their mean, float64 [d, d]; zero without any."""
        count = max(self.count, 1)
        mean = self.sum / count
        return self.square / count - torch.outer(mean, mean)


@torch.no_grad()
def inputs(
    model: nn.Module,
    layers: Mapping[str, Layer],
    calibration: Calibration,
    prepare: Callable[[Tensor], Tensor] = lambda rows: rows,
) -> dict[str, Moments]:
    """The moments of what each linear layer is given: all tokens of all rows.

    `prepare` is applied to the inputs [tokens, d_in] of a layer in one row. Raises VariantError without rows.
    """
    found = {name: Moments(layer.sides[1], layer.weight.device) for name, layer in layers.items()}

    def look(name: str) -> Hook:
        def take(layer: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> None:
            if args[0].numel():
                found[name].add(prepare(_flat(args[0])))

        return take

    with _watching(model, {name: look(name) for name in layers}):
        _count(calibration)
    return found


def gradients(model: nn.Module, layers: Mapping[str, Layer], calibration: Calibration) -> dict[str, Tensor]:
    """The gradient of the mean loss by each linear layer's weight, float32 [d_out, d_in].

    Put together from the layer's inputs x and its outputs' gradients g as the sum of g x^T, so that no
    parameter need require a gradient. Raises VariantError without rows.
    """
    found = {name: torch.zeros_like(layer.weight, dtype=torch.float32) for name, layer in layers.items()}
    passed: list[tuple[str, Tensor, Tensor]] = []

    def look(name: str) -> Hook:
        def keep(layer: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> Tensor:
            passed.append((name, args[0].detach(), y.requires_grad_()))
            return y.clone()  # so that nothing later changes y in place

        return keep

    def collect(loss: Tensor) -> None:
        outputs = [y for _, _, y in passed]
        grads = torch.autograd.grad(loss, outputs, allow_unused=True, materialize_grads=True)
        for (name, x, _), grad in zip(passed, grads, strict=True):
            found[name].addmm_(_flat(grad).float().T, _flat(x).float())
        passed.clear()

    with _watching(model, {name: look(name) for name in found}):
        rows = _count(calibration, collect)
    return {name: grad / rows for name, grad in found.items()}


def _count(calibration: Calibration, each: Callable[[Tensor], None] = lambda loss: None) -> int:
    """Run over the rows, hand each loss to `each`, and say how many there were."""
    rows = 0
    for loss in calibration.losses():
        each(loss)
        rows += 1
    if not rows:
        raise VariantError("the calibration has no examples to start from; give it one or more")
    return rows


@contextmanager
def _watching(model: nn.Module, hooks: Mapping[str, Hook]) -> Iterator[None]:
    """Inside, a hook follows the forward of each named layer, and the model is in evaluation mode."""
    modes = {module: module.training for module in model.modules()}
    handles = []
    try:
        model.eval()
        for name, hook in hooks.items():
            handles.append(model.get_submodule(name).register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode


def _flat(x: Tensor) -> Tensor:
    """[..., d] as [n, d]."""
    return x.reshape(-1, x.shape[-1])
