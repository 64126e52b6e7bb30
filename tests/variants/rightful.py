"""Right variants of every kind that a stranger may write, by each of the three doors of the interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from variants import (
    Adapter,
    CalibratedVariant,
    Calibration,
    Group,
    Layer,
    LowRank,
    LowRankVariant,
    Site,
    SiteAdapter,
    SiteVariant,
    Start,
    Variant,
    VariantError,
)
from variants.freeze import Freeze
from variants.plain import replaced, write_plain
from variants.site import uniform


@dataclass(frozen=True)
class BothRandom(LowRankVariant):
    """Door 1: A and B random, pinned; B learns four times as fast."""

    name: ClassVar[str] = "both-random"
    summary: ClassVar[str] = "A and B random, their product taken off"

    rank: int = 4
    dropout: float = 0.1

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        d_out, d_in = weight.shape
        A, B = uniform(self.rank, d_in, rng, weight.device), uniform(d_out, self.rank, rng, weight.device)
        return Start(A, B, pinned=True)

    def lr_scale(self, parameter: str) -> float:
        return 4.0 if parameter == "B" else 1.0


@dataclass(frozen=True)
class Turns(BothRandom):
    """Door 1 in two phases: first B trains, then A."""

    name: ClassVar[str] = "turns"
    summary: ClassVar[str] = "B first, then A"
    phases: ClassVar[int] = 2

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        A = uniform(self.rank, weight.shape[1], rng, weight.device)
        return Start(A, weight.new_zeros(len(weight), self.rank), trains=("B",))

    def enter(self, adapter: SiteAdapter, phase: int) -> None:
        for site in adapter.sites.values():
            cast(LowRank, site).A.requires_grad_(phase == 1)
            cast(LowRank, site).B.requires_grad_(phase == 0)


@dataclass(frozen=True)
class MeanInput(CalibratedVariant):
    """Door 1 with a look at examples: A's first row is the mean input."""

    name: ClassVar[str] = "mean-input"
    summary: ClassVar[str] = "LoRA started on the mean input"

    rank: int = 2
    examples: int = 3

    def observe(
        self, model: nn.Module, layers: Mapping[str, Layer], calibration: Calibration
    ) -> dict[str, Tensor]:
        seen: dict[str, Tensor] = {}

        def look(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
            def keep(_: nn.Module, given: tuple[Tensor, ...]) -> None:
                seen[name] = seen.get(name, 0) + given[0].detach().flatten(0, -2).sum(dim=0)

            return keep

        hooks = [model.get_submodule(name).register_forward_pre_hook(look(name)) for name in layers]
        for _ in calibration.losses():
            pass
        for hook in hooks:
            hook.remove()
        return seen

    def start_from(self, weight: Tensor, seen: Tensor, rng: torch.Generator) -> Start:
        A = uniform(self.rank, len(seen), rng, weight.device)
        A[0] = seen / seen.norm()
        return Start(A, weight.new_zeros(len(weight), self.rank))


class Gain(Site):
    """y * g."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(outputs))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return y * self.gain

    def delta(self, weight: Tensor) -> Tensor:
        return (self.gain.detach()[:, None] - 1) * weight.float()


@dataclass(frozen=True)
class Gains(SiteVariant):
    """Door 2: every output has a gain, as in IA3."""

    name: ClassVar[str] = "gains"
    summary: ClassVar[str] = "a gain for each output"

    def site(self, layer: Layer, rng: torch.Generator) -> Site:
        return Gain(layer.sides[0])


class Hadamard(Site):
    """W * (1 + B A), entry by entry."""

    weight: Tensor

    def __init__(self, weight: Tensor, rank: int, rng: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach(), persistent=False)
        self.A = nn.Parameter(uniform(rank, weight.shape[1], rng, weight.device))
        self.B = nn.Parameter(torch.zeros(len(weight), rank))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return y + x @ (self.weight * (self.B @ self.A)).T

    def delta(self, weight: Tensor) -> Tensor:
        return weight.float() * (self.B @ self.A).detach()


@dataclass(frozen=True)
class HadamardProduct(SiteVariant):
    """Door 2: a change of high rank, as in HiRA."""

    name: ClassVar[str] = "hadamard"
    summary: ClassVar[str] = "W * B A"

    rank: int = 4

    def site(self, layer: Layer, rng: torch.Generator) -> Site:
        return Hadamard(layer.weight, self.rank, rng)


class Direction(LowRank):
    """m * (W + s B A) / |W + s B A|, written out dense."""

    weight: Tensor

    def __init__(self, start: Start, scale: float, weight: Tensor) -> None:
        super().__init__(start, scale)
        self.register_buffer("weight", weight.detach(), persistent=False)
        self.magnitude = nn.Parameter(weight.detach().float().norm(dim=1))

    def now(self) -> Tensor:
        direction = self.weight + self.scale * (self.B @ self.A)
        return self.magnitude[:, None] * direction / direction.norm(dim=1, keepdim=True)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return y + x @ (self.now() - self.weight).T

    def delta(self, weight: Tensor) -> Tensor:
        return self.now().detach() - weight.float()

    def factors(self) -> None:
        return None


@dataclass(frozen=True)
class Directions(BothRandom):
    """Door 2 on the low-rank site: magnitudes and directions, as in DoRA, with the norm's gradient."""

    name: ClassVar[str] = "directions"
    summary: ClassVar[str] = "magnitude and direction"

    dropout: float = 0

    def site(self, layer: Layer, rng: torch.Generator) -> LowRank:
        A = uniform(self.rank, layer.sides[1], rng, layer.weight.device)
        start = Start(A, layer.weight.new_zeros(layer.sides[0], self.rank))
        return Direction(start, self.scale, layer.weight)


@dataclass(frozen=True)
class BitFit(Variant):
    """Door 3: copies of parameters of one dimension train: biases, or with only="weight" gains of norms."""

    name: ClassVar[str] = "bitfit"
    summary: ClassVar[str] = "biases"
    packable: ClassVar[bool] = False

    only: str = "bias"

    def chosen(self, model: nn.Module) -> dict[str, nn.Parameter]:
        return {name: p for name, p in model.named_parameters() if p.ndim == 1 and name.endswith(self.only)}

    def check(self, model: nn.Module) -> None:
        if not self.chosen(model):
            raise VariantError(f"bitfit: {type(model).__name__} has no {self.only} of one dimension")

    def attach(self, model: nn.Module, seed: int, calibration: Calibration | None = None) -> Adapter:
        self.check(model)
        adapter = Copies(self, model, seed)
        Freeze.add(adapter)
        return adapter


class Copies(Adapter):
    """Trained copies of some parameters, in the model's place inside a route."""

    variant: BitFit

    def __init__(self, variant: BitFit, model: nn.Module, seed: int) -> None:
        super().__init__(variant, model, seed)
        self.base = variant.chosen(model)
        self.params = {name: nn.Parameter(p.detach().clone()) for name, p in self.base.items()}

    def groups(self) -> list[Group]:
        return [Group(dict(self.params))]

    def adapted(self) -> list[str]:
        return [name.rpartition(".")[0] for name in self.params]

    def installed(self) -> AbstractContextManager[None]:
        return replaced(self.model, self.params)

    def deltas(self) -> Iterator[tuple[str, Tensor]]:
        for name, p in self.params.items():
            yield name, (p - self.base[name]).detach().float()

    def export(self, folder: Path | str) -> Path:
        return write_plain(self.model, self.params, Path(folder))

    def detach(self) -> None:
        if self.attached:
            self.attached = False
            Freeze.remove(self)


RIGHTFUL: tuple[Variant, ...] = (
    *(BothRandom(), Turns(), MeanInput(), Gains(), HadamardProduct(), Directions()),
    *(BitFit(), BitFit("weight")),
)
