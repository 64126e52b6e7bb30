"""Faults that nobody asked for, to find out what the gate cannot see at the ci track's budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmarks.planted import Fault
from suite import workshop
from suite.training import batches, optim, step, train
from variants import export, lori, pissa, targets
from variants.fullft import FullAdapter
from variants.interface import Group
from variants.loftq import LoftQ
from variants.lora import LoRA
from variants.lowrank import LowRankVariant
from variants.site import LowRank, Start, uniform


def _factor(**changed: Any) -> Callable[[], AbstractContextManager[Any]]:
    """The schedule, worked out with other settings."""
    right = optim.rate_factor

    def factor(step: int, steps: int, schedule: str, warmup: float) -> float:
        return right(**{"step": step, "steps": steps, "schedule": schedule, "warmup": warmup, **changed})

    return lambda: patch.object(optim, "rate_factor", factor)


def _adamw(**changed: Any) -> Callable[[], AbstractContextManager[Any]]:
    """AdamW with other settings than it is given."""
    right = torch.optim.AdamW
    return lambda: patch.object(
        torch.optim, "AdamW", lambda groups, **given: right(groups, **{**given, **changed})
    )


def _no_clip() -> AbstractContextManager[Any]:
    def norm(params: list[nn.Parameter], most: float, **_: Any) -> Tensor:
        return nn.utils.get_total_norm([p.grad for p in params if p.grad is not None])

    return patch.object(nn.utils, "clip_grad_norm_", norm)


def _clip_each() -> AbstractContextManager[Any]:
    right = nn.utils.clip_grad_norm_

    def clip(params: list[nn.Parameter], most: float, **how: Any) -> Tensor:
        return torch.stack([right([p], most, **how) for p in params]).norm()

    return patch.object(nn.utils, "clip_grad_norm_", clip)


def _order(key: Callable[..., Any] | None = None, shuffled: bool = True, skip: bool = False) -> Any:
    """Batches of another seed's order, in no order, or without every tenth of them."""
    right = batches.order

    def order(count: int, size: int, given: tuple[object, ...]) -> Iterator[list[int]]:
        if shuffled:
            found = right(count, size, key(given) if key else given)
        else:
            found = ([(i * size + k) % count for k in range(size)] for i in range(10**6))
        return (batch for i, batch in enumerate(found) if not skip or i % 10 < 9)

    return patch.object(train, "order", order)


@contextmanager
def _seeds_ignored() -> Iterator[None]:
    right = workshop.seed_for
    with (
        _order(lambda given: (0, *given[1:])),
        patch.object(workshop, "seed_for", lambda purpose, *seed: right(purpose, *(0 for _ in seed))),
    ):
        yield


def _summed() -> AbstractContextManager[Any]:
    right = step.learn

    def learn(model: Any, batch: Any, weights: Tensor, *rest: Any) -> Tensor:
        return right(model, batch, torch.ones_like(weights), *rest)

    return patch.object(step, "learn", learn)


def _start(
    kind: type[LowRankVariant], how: Callable[..., Start]
) -> Callable[[], AbstractContextManager[Any]]:
    """Another start, made of the right one: how(start, rng)."""
    right = kind.start

    def start(self: LowRankVariant, weight: Tensor, rng: torch.Generator) -> Start:
        return how(right(self, weight, rng), rng)

    return lambda: patch.object(kind, "start", start)


def _half_rank(start: Start, rng: torch.Generator) -> Start:
    half = len(start.A) // 2
    return replace(start, A=start.A[:half].clone(), B=start.B[:, :half].clone())


def _other_way_round(start: Start, rng: torch.Generator) -> Start:
    rows, columns = start.B.shape
    B = uniform(rows, columns, rng, start.B.device)
    return replace(start, A=torch.zeros_like(start.A), B=B)


def _smallest(matrix: Tensor, rank: int, scale: float) -> tuple[Tensor, Tensor]:
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return pissa.halves(U[:, -rank:], S[-rank:], Vh[-rank:], scale)


def _one_iteration() -> AbstractContextManager[Any]:
    right = LoftQ.start

    def start(self: LoftQ, weight: Tensor, rng: torch.Generator) -> Start:
        return right(replace(self, iterations=1), weight, rng)

    return patch.object(LoftQ, "start", start)


def _attention_only() -> AbstractContextManager[Any]:
    right = targets.select
    return patch.object(targets, "select", lambda model, words="all": right(model, "attention"))


@contextmanager
def _one_layer_still() -> Iterator[None]:
    right = LoRA.sites

    def sites(self: LoRA, *args: Any) -> dict[str, Any]:
        found = right(self, *args)
        for p in list(found.values())[-1].parameters():
            p.register_hook(torch.zeros_like)
        return found

    with patch.object(LoRA, "sites", sites):
        yield


@contextmanager
def _coarse(where: str) -> Iterator[None]:
    """Factors rounded to bfloat16: as they are saved, or as they are computed with."""
    if where == "saved":
        right = export.save_file
        with patch.object(export, "save_file", lambda tensors, *rest, **more: right(
            {k: t.bfloat16().float() for k, t in tensors.items()}, *rest, **more
        )):  # fmt: skip
            yield
        return
    pair = LowRank.pair
    with patch.object(LowRank, "pair", lambda self: tuple(t.bfloat16().float() for t in pair(self))):
        yield


def _each_matrix(tensors: list[Tensor], sparsity: float) -> list[Tensor]:
    return [lori.first(t.abs().flatten().sort(descending=True).indices, [t], sparsity)[0] for t in tensors]


def _least(tensors: list[Tensor], sparsity: float) -> list[Tensor]:
    pool = torch.cat([t.detach().abs().flatten() for t in tensors])
    return lori.first(pool.sort(stable=True).indices, tensors, sparsity)


def _pinned_twice() -> AbstractContextManager[Any]:
    def pair(self: LowRank) -> tuple[Tensor, Tensor]:
        if not self.pinned:
            return self.A, self.B
        return torch.cat([self.A, 2 * (self.A - self.A0)]), torch.cat([self.B - self.B0, self.B0], dim=1)

    return patch.object(LowRank, "pair", pair)


@contextmanager
def _norms_still() -> Iterator[None]:
    right = FullAdapter.groups

    def groups(self: FullAdapter) -> list[Group]:
        for name, p in self.params.items():
            if "norm" in name:
                p.register_hook(torch.zeros_like)
        return right(self)

    with patch.object(FullAdapter, "groups", groups):
        yield


def _base_scored() -> AbstractContextManager[Any]:
    right = workshop.Workshop.scores

    def scores(self: Any, evaluations: Any, settings: Any, adapters: Any, *rest: Any) -> Any:
        return right(self, evaluations, settings, (), *rest)

    return patch.object(workshop.Workshop, "scores", scores)


def _rate(times: float) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: patch.object(LowRankVariant, "lr_scale", lambda self, parameter: times)


LORA = ("lora",)
CONTROL = Fault("none", "the clean code once more, to see that nothing is caught", LORA, nullcontext)
UNASKED = (
    Fault("warm-up missing", "the schedule starts at the full rate", LORA, _factor(warmup=0.0)),
    Fault("schedule constant", "the rate does not fall", LORA, _factor(schedule="constant")),
    Fault("rate 5 % too high", "but recorded as it should be", LORA, _rate(1.05)),
    Fault("rate 10 % too high", "but recorded as it should be", LORA, _rate(1.1)),
    Fault("clip absent", "gradients are not clipped", LORA, _no_clip),
    Fault("clip per tensor", "each tensor is clipped by its own norm", LORA, _clip_each),
    Fault("betas swapped", "0.999 and 0.9", LORA, _adamw(betas=(0.999, 0.9))),
    Fault("weight decay on", "0.01, torch's own default", LORA, _adamw(weight_decay=0.01)),
    Fault("epsilon large", "1e-4 in place of 1e-8", LORA, _adamw(eps=1e-4)),
    Fault("loss summed", "over the batch's tokens in place of averaged", LORA, _summed),
    Fault("data not shuffled", "examples come in the file's order", LORA, lambda: _order(shuffled=False)),
    Fault("every tenth batch thrown away", "and the next one taken", LORA, lambda: _order(skip=True)),
    Fault("seeds ignored", "every seed is seed 0", LORA, _seeds_ignored),
    Fault("rank halved", "at the same scale", LORA, _start(LoRA, _half_rank)),
    Fault("A and B swapped", "A starts at zero, B is drawn", LORA, _start(LoRA, _other_way_round)),
    Fault("MLP not adapted", "attention alone", LORA, _attention_only),
    Fault("one layer still", "its adapter is there and never trains", LORA, _one_layer_still),
    Fault("saved in bfloat16", "the export is rounded", LORA, lambda: _coarse("saved")),
    Fault("computed in bfloat16", "the factors are rounded in every forward", LORA, lambda: _coarse("used")),
    Fault("the base is scored", "not the trained model; its loss is right", LORA, _base_scored, scored=True),
    Fault("mask per matrix", "in place of one over the model", ("lori-s",),
          lambda: patch.object(lori, "largest", _each_matrix)),
    Fault("mask of the smallest", "the entries least in magnitude train", ("lori-s",),
          lambda: patch.object(lori, "largest", _least)),
    Fault("LoftQ with one iteration", "in place of five", ("loftq",), _one_iteration),
    Fault("PiSSA of the smallest", "the smallest triplets train", ("pissa",),
          lambda: patch.object(pissa, "principal", _smallest)),
    Fault("PiSSA's B0 (A - A0) twice", "right at the start", ("pissa",), _pinned_twice),
    Fault("norms still", "full fine-tuning without the norms' weights", ("fullft",), _norms_still),
    CONTROL,
)  # fmt: skip
