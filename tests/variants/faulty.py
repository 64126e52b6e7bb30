"""Variants with one fault each, as a stranger might write them, for the conformance checks to find."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from variants import Layer, LowRank, LowRankVariant, SiteAdapter, Start
from variants.freeze import Freeze
from variants.fullft import FullAdapter, FullFT
from variants.interface import Calibration
from variants.site import Factors, generator, uniform

FEW = "q_proj+up_proj"


@dataclass(frozen=True)
class Plain(LowRankVariant):
    """Right: what the faulty ones below are made of. LoRA of rank 2 on two layers of each block."""

    name: ClassVar[str] = "plain"
    summary: ClassVar[str] = "a small LoRA"
    site_class: ClassVar[type[LowRank]] = LowRank

    rank: int = 2
    targets: str = FEW

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        return Start(
            uniform(self.rank, weight.shape[1], rng, weight.device), weight.new_zeros(len(weight), self.rank)
        )

    def site(self, layer: Layer, rng: torch.Generator) -> LowRank:
        start = self.start(layer.weight.detach().float(), rng)
        return self.site_class(start, self.scale, self.dropout, layer.kind == "embedding")


@dataclass(frozen=True)
class WithAdapter(Plain):
    """Plain with an adapter class of its own."""

    adapter_class: ClassVar[type[SiteAdapter]] = SiteAdapter

    def attach(self, model: nn.Module, seed: int, calibration: Calibration | None = None) -> SiteAdapter:
        with torch.no_grad():
            adapter = self.adapter_class(self, model, seed, self.sites(model, seed, calibration))
        Freeze.add(adapter)
        return adapter


def faulty(
    site: type[LowRank] | None = None,
    adapter: type[SiteAdapter] | None = None,
    make_site: Any = None,
    **facts: Any,
) -> Plain:
    """Plain with another site class, adapter class, way of making sites, or other facts and methods."""
    body: dict[str, Any] = {"__annotations__": {}, "__doc__": "Faulty.", **facts}
    if make_site is not None:
        body["site"] = make_site
    if site is not None:
        body["site_class"] = site
    if adapter is not None:
        body["adapter_class"] = adapter
    base = Plain if adapter is None else WithAdapter
    return cast(Plain, dataclass(frozen=True)(type("Faulty", (base,), body))())


# --- the class and its settings


class Undecorated(Plain):
    """No @dataclass: its setting is none."""

    extra: int = 3


@dataclass(frozen=True)
class NoSummary(Plain):
    summary: ClassVar[str] = ""


@dataclass(frozen=True)
class LostFact(Plain):
    packable: bool = True  # pyright: ignore[reportIncompatibleVariableOverride]


@dataclass(frozen=True)
class TupleSetting(Plain):
    blocks: tuple[int, ...] = (0, 1)


@dataclass(frozen=True)
class SetSetting(Plain):
    blocks: frozenset[int] = frozenset({1})


@dataclass(frozen=True)
class PathSetting(Plain):
    file: Path = Path("directions.pt")


@dataclass(frozen=True)
class NanSetting(Plain):
    limit: Any = float("nan")


@dataclass(frozen=True)
class MutableSetting(Plain):
    seen: list[str] = field(default_factory=list)

    def site(self, layer: Layer, rng: torch.Generator) -> LowRank:
        self.seen.append(layer.name)
        return super().site(layer, rng)


@dataclass(frozen=True)
class Remembers(Plain):
    def site(self, layer: Layer, rng: torch.Generator) -> LowRank:
        object.__setattr__(self, "last", layer.name)
        return super().site(layer, rng)


# --- starts


def from_global(self: Plain, weight: Tensor, rng: torch.Generator) -> Start:
    return Start(torch.randn(2, weight.shape[1]), weight.new_zeros(len(weight), 2))


def from_python(self: Plain, weight: Tensor, rng: torch.Generator) -> Start:
    return Start(torch.full((2, weight.shape[1]), random.random()), weight.new_zeros(len(weight), 2))


def from_hash(self: Plain, layer: Layer, rng: torch.Generator) -> LowRank:
    rng = torch.Generator().manual_seed(abs(hash(layer.name)))
    return LowRank(self.start(layer.weight.detach(), rng), self.scale)


def counted() -> Any:
    count = iter(range(10_000))

    def start(self: Plain, weight: Tensor, rng: torch.Generator) -> Start:
        A = uniform(2, weight.shape[1], generator(next(count)), weight.device)
        return Start(A, weight.new_zeros(len(weight), 2))

    return start


def both_random(self: Plain, weight: Tensor, rng: torch.Generator) -> Start:
    return Start(uniform(2, weight.shape[1], rng, weight.device), uniform(len(weight), 2, rng, weight.device))


def both_zero(self: Plain, weight: Tensor, rng: torch.Generator) -> Start:
    return Start(weight.new_zeros(2, weight.shape[1]), weight.new_zeros(len(weight), 2))


def no_gradients(self: Plain, weight: Tensor, rng: torch.Generator) -> Start:
    return replace(Plain.start(self, weight, rng), trains=())


# --- sites


class NanGradient(LowRank):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        found = super().forward(x, y)
        if found.requires_grad:
            found.register_hook(lambda grad: grad * float("nan"))
        return found


class Whisper(LowRank):
    """Of no effect."""

    def pair(self) -> tuple[Tensor, Tensor]:
        A, B = super().pair()
        return A, B * 1e-9


class OverRows(LowRank):
    """Mixes the rows of its batch."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x - x.mean(dim=0, keepdim=True), y)


class OverRowsInTraining(LowRank):
    """Mixes the rows of its batch, and only in training."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x if self.moment is None else x - x.mean(dim=0, keepdim=True), y)


class SeesAhead(LowRank):
    """Takes the mean over all positions, those still to come among them."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x if self.moment is None else x - x.mean(dim=1, keepdim=True), y)


class OwnForward(LowRank):
    """Says that it may be computed together with others, but its forward is its own."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return y + 2 * self.scale * F.linear(F.linear(x, self.A), self.B)

    def delta(self, weight: Tensor) -> Tensor:
        return 2 * super().delta(weight)

    def factors(self) -> Factors:
        return Factors(self.A.detach(), self.B.detach(), 2 * self.scale)

    def groupable(self, other: LowRank) -> bool:
        return isinstance(other, OwnForward)


class GlobalDropout(LowRank):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x if self.moment is None else F.dropout(x, 0.2), y)


class SettingsDropout(LowRank):
    """Its dropout is torch's; without the setting nothing shows."""

    def drop(self, x: Tensor) -> Tensor:
        return x if self.moment is None else F.dropout(x, self.dropout)


class AlwaysDropout(LowRank):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x * (torch.randint(5, x.shape, generator=self.rng) > 0), y)

    rng = torch.Generator().manual_seed(0)


class Unscaled(LowRank):
    def delta(self, weight: Tensor) -> Tensor:
        return super().delta(weight) / self.scale


class Transposed(LowRank):
    def delta(self, weight: Tensor) -> Tensor:
        delta = super().delta(weight)
        return delta.T.contiguous() if delta.shape[0] == delta.shape[1] else delta


class Narrow(LowRank):
    """A delta that torch would broadcast."""

    def delta(self, weight: Tensor) -> Tensor:
        return super().delta(weight).mean(dim=1, keepdim=True)


class Stale(LowRank):
    def delta(self, weight: Tensor) -> Tensor:
        if not hasattr(self, "kept"):
            self.kept = super().delta(weight)
        return self.kept


class WrongFactors(LowRank):
    """Exports another scale."""

    def factors(self) -> Factors:
        return Factors(self.A.detach(), self.B.detach(), 2 * self.scale)


class Counted(LowRank):
    """Counts its frozen A too."""

    def __init__(self, start: Start, *rest: Any) -> None:
        super().__init__(replace(start, trains=("B",)), *rest)

    def trainable(self) -> int:
        return self.A.numel() + self.B.numel()


@dataclass(frozen=True)
class Shared(Plain):
    """Two adapters of the class have the same sites."""

    kept: ClassVar[dict[str, LowRank]] = {}

    def site(self, layer: Layer, rng: torch.Generator) -> LowRank:
        return self.kept.setdefault(layer.name, super().site(layer, rng))


@dataclass(frozen=True)
class OtherVariant(Plain):
    """Its adapter says that it is of another variant."""

    def attach(self, model: nn.Module, seed: int, calibration: Calibration | None = None) -> SiteAdapter:
        return Plain().attach(model, seed)


@dataclass(frozen=True)
class Raises(Plain):
    def attach(self, model: nn.Module, seed: int, calibration: Calibration | None = None) -> SiteAdapter:
        raise SystemExit(3)


@dataclass(frozen=True)
class TrainsBase(FullFT):
    """Full fine-tuning that trains the model's own weights where they are."""

    name: ClassVar[str] = "in-place"

    def attach(self, model: nn.Module, seed: int, calibration: Calibration | None = None) -> FullAdapter:
        adapter = super().attach(model, seed)
        adapter.base = {name: p.detach().clone() for name, p in adapter.base.items()}  # pyright: ignore
        adapter.params = dict(model.named_parameters())
        model.requires_grad_(True)
        return adapter
