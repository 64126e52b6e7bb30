"""The largest eigenvalue of the training loss's Hessian in what a variant trains, before its first step.

Learning Rate Matters (Lee et al., arXiv 2602.04998) explains by it why variants have different best learning
rates. Where the paper runs Lanczos layer by layer on 500 samples, this is the Hessian in all trained
parameters together, on fewer. A parameter that learns `lr_scale` times as fast counts as stretched by its
square root, since that is what its steps see.

At a start with B = 0 half of the Hessian is zero: the block of A alone. The largest eigenvalue comes from B's
block and from what couples A with B, whose eigenvalues come in pairs of both signs; so Lanczos' method looks
for the largest one, not for the largest in magnitude.

Products with the Hessian are central differences of the gradient, since the backward of an adapted layer
(`variants.product`) is written out and has no backward of its own. Halving and doubling their step says how
far they can be trusted (`Curvature.step_error`): on the pocket base, in float32, to a part in a thousand.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from suite.errors import UserError
from suite.seeds import digest, seed_for
from suite.store import write_whole

if TYPE_CHECKING:
    from suite.record import Cell
    from suite.training.batches import Encoded
    from suite.workshop import Workshop
    from variants.interface import Adapter

REVISION = 1  # raised whenever the numbers change
FOLDER = "curvature"
ITERATIONS = 30
TOLERANCE = 5e-3  # of the eigenvalue, for a residual; the eigenvalue is nearer than that
STEP = 2e-4  # length of a displacement
EXAMPLES = 32
ROWS = 16  # of one forward
MOST = 100_000_000  # trained parameters: some ten vectors of that length are kept

Gradient = Callable[[Tensor], Tensor]  # a displacement [n] -> the gradient there [n]


@dataclass(frozen=True)
class Curvature:
    """The largest eigenvalue `top`, in nats per squared unit of the parameters.

    `residual` bounds how far it lies from an eigenvalue, `step_error` is by how much another step of the
    differences changes it; both are shares of `top`. `products` were taken with the Hessian.
    """

    top: float
    residual: float
    step_error: float
    products: int
    parameters: int
    examples: int


def lanczos(
    product: Callable[[Tensor], Tensor], start: Tensor, iterations: int = ITERATIONS
) -> tuple[float, float, Tensor, int]:
    """(largest eigenvalue, residual norm, its vector, products) of the symmetric matrix behind `product`.

    `start` [n] is where the search begins. Every new vector is made orthogonal to all before it, twice. It
    ends when the residual is below TOLERANCE of the eigenvalue, or when the matrix has shown all that it has.
    """
    basis = [start / start.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        image = product(basis[-1])
        diagonal.append(float(image @ basis[-1]))
        for _ in range(2):
            for one in basis:
                image = image - (image @ one) * one
        left = float(image.norm())
        T = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        for i, value in enumerate(beside):
            T[i, i + 1] = T[i + 1, i] = value
        values, vectors = torch.linalg.eigh(T)
        top, weights = float(values[-1]), vectors[:, -1]
        residual = left * abs(float(weights[-1]))
        done = residual <= TOLERANCE * abs(top) or left <= 1e-12 * max(map(abs, diagonal))
        if done or len(basis) in (iterations, len(start)):
            found = sum(
                (float(w) * one for w, one in zip(weights, basis, strict=True)), torch.zeros_like(start)
            )
            return top, residual, found / found.norm(), len(basis)
        beside.append(left)
        basis.append(image / left)


def differences(gradient: Gradient, step: float) -> Callable[[Tensor], Tensor]:
    """Products with the Hessian at displacement zero by central differences over `step` to each side."""

    def product(vector: Tensor) -> Tensor:
        return (gradient(step * vector) - gradient(-step * vector)) / (2 * step)

    return product


def largest(gradient: Gradient, size: int, seed: int, examples: int, step: float = STEP) -> Curvature:
    """The largest eigenvalue behind a gradient of `size` parameters; the same for the same seed."""
    rng = torch.Generator().manual_seed(seed_for("curvature", seed))
    start = torch.randn(size, generator=rng, dtype=torch.float64).to(gradient(torch.zeros(size)))
    top, residual, vector, products = lanczos(differences(gradient, step), start)
    again = [float(differences(gradient, step * times)(vector) @ vector) for times in (0.5, 2.0)]
    scale = max(abs(top), 1e-30)
    error = max(abs(value - top) for value in again) / scale
    return Curvature(top, residual / scale, error, products + 2, size, examples)


def of_adapter(model: Any, adapter: Adapter, rows: Sequence[Encoded], pad: int, seed: int) -> Curvature:
    """Of an attached adapter's mean training loss per learned token on `rows`, in all that it trains."""
    from suite.training.batches import collate, token_losses
    from variants.route import routed

    device = next(model.parameters()).device
    ordered = sorted(rows, key=lambda row: len(row.ids))
    batches = [collate(ordered[i : i + ROWS], pad).to(device) for i in range(0, len(ordered), ROWS)]
    labels = sum(batch.learned.shape[1] for batch in batches)
    trained = [(p, math.sqrt(group.lr_scale)) for group in adapter.groups() for p in group.params.values()]
    params = [p for p, _ in trained]
    stretch = torch.cat([torch.full((p.numel(),), s, dtype=torch.float64) for p, s in trained]).to(device)
    at = torch.cat([p.detach().flatten().double() for p in params])

    def gradient(displacement: Tensor) -> Tensor:
        total = torch.zeros_like(at)
        with _moved(params, at + stretch * displacement.to(at)), routed(model, adapter):
            for batch in batches:
                loss = token_losses(model, batch).sum() / labels
                total += _flat(torch.autograd.grad(loss, params, allow_unused=True), params)
            if (extra := adapter.penalty()) is not None:
                total += _flat(torch.autograd.grad(extra, params, allow_unused=True), params)
        return stretch * total

    return largest(gradient, len(at), seed, len(rows))


def kept(store: Path, shop: Workshop, cell: Cell) -> Curvature:
    """`of_cell`, from <store>/curvature if it is there under a key of all that it depends on."""
    recipe = cell.how.recipe.model_dump(
        mode="json", include={"max_length", "loss_on", "chat_template", "examples", "tokens"}
    )
    parts = [cell.base.digest, cell.variant.model_dump(mode="json"), cell.task.model_dump(mode="json")]
    file = store / FOLDER / f"{digest([REVISION, *parts, recipe, cell.seed, EXAMPLES])}.json"
    if file.is_file():
        try:
            return Curvature(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise UserError(f"{file} holds no curvature; delete it to compute it again") from None
    found = of_cell(shop, cell)
    write_whole(file, json.dumps(asdict(found), indent=1) + "\n")
    return found


def of_cell(shop: Workshop, cell: Cell) -> Curvature:
    """Of a cell's variant at its start, on training examples of its task that its seed draws."""
    from suite.training.batches import order

    shop.open("float32")
    rows = shop.encoded(shop.task(cell, cell.how.recipe), "train", cell.how.recipe)
    count = min(EXAMPLES, len(rows))
    chosen = next(order(len(rows), count, ("curvature", cell.seed, cell.task.name)))
    adapter = shop.attach(cell)
    try:
        if adapter.trainable() > MOST:
            raise UserError(
                f"--curvature: {cell.variant.name} trains {adapter.trainable()} parameters, more than "
                f"{MOST}; leave it out with --variants"
            )
        return of_adapter(shop.model, adapter, [rows[i] for i in chosen], shop.pad, cell.how.seed)
    finally:
        adapter.detach()


@contextmanager
def _moved(params: Sequence[Tensor], values: Tensor) -> Iterator[None]:
    """Inside, the parameters hold `values`, laid end to end; afterwards what they held before."""
    kept = [p.detach().clone() for p in params]
    at = 0
    with torch.no_grad():
        for p in params:
            p.copy_(values[at : at + p.numel()].view_as(p))
            at += p.numel()
    try:
        yield
    finally:
        with torch.no_grad():
            for p, before in zip(params, kept, strict=True):
                p.copy_(before)


def _flat(grads: Sequence[Tensor | None], params: Sequence[Tensor]) -> Tensor:
    """Gradients laid end to end, float64; zero where a parameter has none."""
    return torch.cat(
        [
            (torch.zeros_like(p) if g is None else g).flatten().double()
            for g, p in zip(grads, params, strict=True)
        ]
    )
