"""The largest eigenvalue: against closed forms and an explicit Hessian of a tiny model, and repeatable."""

from __future__ import annotations

import copy
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from transformers import LlamaForCausalLM

from suite import curvature
from suite.curvature import Curvature, lanczos, largest, of_adapter
from suite.errors import UserError
from suite.record import BaseRef, Cell
from suite.training.batches import Encoded, collate, token_losses
from tests.conftest import MakeModel
from tests.example_records.make import LORA, PISSA, cell
from variants import registry
from variants.interface import Adapter
from variants.site import LowRank

SMALL = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 32,
    "attn_implementation": "eager",
}


def _rows(count: int = 6) -> list[Encoded]:
    rng = random.Random(0)
    return [Encoded(tuple(rng.randrange(3, 32) for _ in range(5 + i)), 2) for i in range(count)]


@pytest.mark.parametrize("size", [1, 5, 40])
def test_lanczos_finds_the_largest_not_the_largest_in_magnitude(size: int) -> None:
    basis = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64)).Q
    values = torch.linspace(-9, 3, size, dtype=torch.float64)
    matrix = basis @ torch.diag(values) @ basis.T
    top, residual, vector, products = lanczos(
        lambda v: matrix @ v, torch.randn(size, dtype=torch.float64), 40
    )
    assert top == pytest.approx(float(values[-1]), rel=1e-3)
    assert float((matrix @ vector - top * vector).norm()) <= residual + 1e-9
    assert products <= size


def test_squared_loss_of_a_linear_layer() -> None:
    """0.5 |X w - y|^2 / n has the Hessian X^T X / n, whatever w and y are."""
    X, y = torch.randn(50, 8, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    w = torch.randn(8, dtype=torch.float64)

    def gradient(displacement: Tensor) -> Tensor:
        return X.T @ (X @ (w + displacement.to(w)) - y) / len(X)

    found = largest(gradient, 8, 0, len(X))
    assert found.top == pytest.approx(float(torch.linalg.eigvalsh(X.T @ X / len(X))[-1]), rel=1e-4)
    assert found.step_error < 1e-6
    assert found == largest(gradient, 8, 0, len(X))
    assert found.top != largest(gradient, 8, 1, len(X)).top


def test_a_step_that_is_too_long_is_told() -> None:
    """The loss x^4 + x^2 / 2 at 0 has the second derivative 1; a step of h adds 4 h^2 to it."""
    found = largest(lambda d: 4 * d.double() ** 3 + d.double(), 1, 0, 1, step=0.1)
    assert found.top == pytest.approx(1.04)
    assert found.step_error == pytest.approx(0.12 / 1.04)


def _explicit(
    model: LlamaForCausalLM, adapter: Adapter, rows: list[Encoded], scales: dict[str, float]
) -> float:
    """The largest eigenvalue of the Hessian in A and B, by double backward through a plain W + s B A."""
    model, batch = copy.deepcopy(model).double(), collate(rows, 0)
    sites = {name: site for name, site in adapter.sites.items() if isinstance(site, LowRank)}
    start = [(n, k, p.detach().double()) for n, s in sites.items() for k, p in (("A", s.A), ("B", s.B))]
    weights = {n: model.get_parameter(f"{n}.weight").detach() for n in sites}
    fixed = {n: s.scale * s.B.detach().double() @ s.A.detach().double() for n, s in sites.items()}

    def loss(flat: Tensor) -> Tensor:
        parts: dict[tuple[str, str], Tensor] = {}
        at = 0
        for n, k, p in start:
            parts[n, k] = p + scales[k] * flat[at : at + p.numel()].view_as(p)
            at += p.numel()
        changed = {
            f"{n}.weight": weights[n]
            + s.scale * parts[n, "B"] @ parts[n, "A"]
            - (fixed[n] if s.pinned else torch.zeros_like(fixed[n]))
            for n, s in sites.items()
        }
        logits = functional_call(model, changed, (batch.ids,), {"use_cache": False}).logits
        logs = logits.log_softmax(-1)[torch.arange(len(batch.ids))[:, None], batch.positions]
        picked = logs.gather(-1, batch.labels.clamp(min=0)[..., None])[..., 0]
        return -(picked * (batch.labels >= 0)).sum() / (batch.labels >= 0).sum()

    size = sum(p.numel() for *_, p in start)
    hessian = torch.autograd.functional.hessian(loss, torch.zeros(size, dtype=torch.float64))
    assert isinstance(hessian, Tensor)
    return float(torch.linalg.eigvalsh(hessian)[-1])


@pytest.mark.parametrize(
    ("text", "scales"),
    [
        ("lora:rank=2,alpha=8,targets=mlp", (1.0, 1.0)),
        ("pissa:rank=2,targets=mlp", (1.0, 1.0)),
        ("lora-plus:rank=2,alpha=8,targets=mlp,ratio=4", (1.0, 2.0)),
    ],
)
def test_the_whole_hessian_of_a_tiny_model(
    make_model: MakeModel, text: str, scales: tuple[float, float]
) -> None:
    """The adapted forward with its own backward, in float32, against autograd's Hessian of a plain one."""
    model = make_model(**SMALL).requires_grad_(False)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(4)  # far from a flat start
    adapter = registry.parse(text).attach(model, 3)
    rows = _rows()
    found = of_adapter(model, adapter, rows, 0, 0)
    A, B = scales
    assert found.top == pytest.approx(_explicit(model, adapter, rows, {"A": A, "B": B}), rel=5e-3)
    assert found.parameters == adapter.trainable() and found.step_error < 0.02
    assert found == of_adapter(model, adapter, rows, 0, 0)


def test_the_parameters_are_what_they_were(make_model: MakeModel) -> None:
    model = make_model(**SMALL).requires_grad_(False)
    adapter = registry.parse("fullft").attach(model, 0)
    before = [p.detach().clone() for group in adapter.groups() for p in group.params.values()]
    found = of_adapter(model, adapter, _rows(2), 0, 0)
    after = [p for group in adapter.groups() for p in group.params.values()]
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert all(p.grad is None for p in after) and found.top > 0
    assert math.isfinite(float(token_losses(model, collate(_rows(2), 0)).sum()))


def test_what_is_kept_is_found_again_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Cell] = []

    def counted(shop: Any, cell: Cell) -> Curvature:
        made.append(cell)
        return Curvature(2.0 + len(made), 0.1, 0.2, 3, 4, 5)

    monkeypatch.setattr(curvature, "of_cell", counted)
    shop: Any = None
    one = cell(LORA, "sums", 0)
    first = curvature.kept(tmp_path, shop, one)
    assert first == curvature.kept(tmp_path, shop, one) and len(made) == 1
    rate_and_steps = {"learning_rate": 1.0, "recipe": one.how.recipe.model_copy(update={"steps": 1})}
    assert curvature.kept(tmp_path, shop, one.model_copy(update=rate_and_steps)) == first
    for changes in (
        {"seed": 1},
        {"base": BaseRef(name="synthetic-base", digest="f" * 16)},
        {"variant": PISSA},
        {"recipe": one.how.recipe.model_copy(update={"max_length": 9})},
    ):
        assert curvature.kept(tmp_path, shop, one.model_copy(update=changes)) != first
    for file in (tmp_path / curvature.FOLDER).iterdir():
        file.write_text("[]")
    with pytest.raises(UserError, match="holds no curvature"):
        curvature.kept(tmp_path, shop, one)
