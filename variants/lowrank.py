"""What the LoRA family has in common: its settings, and sites made from a method's `start`."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from variants import targets
from variants.attach import SiteVariant
from variants.interface import Calibration, VariantError
from variants.site import Experts, LowRank, Site, Start, generator
from variants.starts import checked, scaled, stacked
from variants.targets import Kind, Layer

RULE = re.compile(r"(\d*\.?\d*)r")


@dataclass(frozen=True)
class LowRankVariant(SiteVariant):
    """A method of the LoRA family. It writes `start` and nothing else.

    rank        r of every layer; fused experts get r / (active experts) each
    alpha       a number, or a rule in r that is worked out at once: "r", "2r", "0.5r"
    rslora      s = alpha / sqrt(r) in place of alpha / r (arXiv 2312.03732); one s for all layers
    targets     which layers: see `variants.targets.select`
    dropout     probability, on the adapter's input, in training only
    init_scale  A is multiplied by it at the start (B where A starts at zero); B is divided by it where both
                are not zero, so that their product stays
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("linear", "embedding", "experts")
    fits_rank: ClassVar[bool] = True

    rank: int = 16
    alpha: float | str = "r"
    rslora: bool = False
    targets: str = "all"
    dropout: float = 0
    init_scale: float = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1:
            raise VariantError(f"{self.name}: rank must be 1 or more, got {self.rank}")
        object.__setattr__(self, "alpha", self._alpha())
        if not 0 <= self.dropout < 1:
            raise VariantError(f"{self.name}: dropout must be 0 or more and below 1, got {self.dropout}")
        if self.init_scale <= 0:
            raise VariantError(f"{self.name}: init_scale must be above 0, got {self.init_scale}")
        object.__setattr__(self, "targets", targets.tidy(self.targets))

    def _alpha(self) -> float:
        """Alpha as a number."""
        alpha = self.alpha
        if isinstance(alpha, str):
            rule = RULE.fullmatch(alpha.replace("*", "").strip())
            if rule is None or rule[1] == ".":
                raise VariantError(
                    f"{self.name}: alpha must be a number or a rule such as r or 2r, got {alpha!r}"
                )
            alpha = float(rule[1] or 1) * self.rank
        if not alpha > 0:
            raise VariantError(f"{self.name}: alpha must be above 0, got {self.alpha!r}")
        return int(alpha) if float(alpha).is_integer() else alpha

    @property
    def scale(self) -> float:
        """s = alpha / r, or alpha / sqrt(r)."""
        return float(self.alpha) / (math.sqrt(self.rank) if self.rslora else self.rank)

    def of_rank(self, rank: int) -> Self:
        """This variant at another rank and the same s."""
        return replace(self, rank=rank, alpha=self.scale * (math.sqrt(rank) if self.rslora else rank))

    @abstractmethod
    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        """Where the method starts on the pretrained `weight`, float32 [d_out, d_in].

        The weight of an embedding is [vocabulary, d], as it is stored.
        """

    def layers(self, model: nn.Module) -> dict[str, Layer]:
        return targets.select(model, self.targets)

    def check(self, model: nn.Module) -> None:
        super().check(model)
        for layer in self.layers(model).values():
            if self.rank % layer.active:
                raise VariantError(
                    f"{self.name}: rank {self.rank} does not divide among the {layer.active} active experts "
                    f"of {layer.name}; take a multiple of {layer.active}"
                )
            if layer.kind == "experts" and self.dropout:
                raise VariantError(f"{self.name}: {layer.name} is a parameter and takes no dropout; give 0")
            most = min(layer.sides) * layer.active
            if self.fits_rank and self.rank > most:
                raise VariantError(
                    f"{self.name}: rank {self.rank} is too large for {layer.name}; at most {most}"
                )

    def site(self, layer: Layer, rng: torch.Generator) -> LowRank:
        weight = layer.weight.detach().float()
        if layer.kind == "experts":
            part = self.of_rank(self.rank // layer.active)
            return Experts(stacked(layer.name, [part._begin(one, rng) for one in weight]), self.scale)
        return LowRank(self._begin(weight, rng), self.scale, self.dropout, layer.kind == "embedding")

    def _begin(self, weight: Tensor, rng: torch.Generator) -> Start:
        return scaled(checked(self, self.start(weight, rng), weight), self.init_scale)


@dataclass(frozen=True)
class CalibratedVariant(LowRankVariant):
    """A method whose start looks at examples of the training split. It writes `observe` and `start_from`."""

    kinds: ClassVar[tuple[Kind, ...]] = ("linear",)

    examples: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.examples < 1:
            raise VariantError(f"{self.name}: examples must be 1 or more, got {self.examples}")

    @property
    def calibration_rows(self) -> int:
        return self.examples

    @abstractmethod
    def observe(
        self, model: nn.Module, layers: Mapping[str, Layer], calibration: Calibration
    ) -> dict[str, Tensor]:
        """What each layer is started from, by layer name."""

    @abstractmethod
    def start_from(self, weight: Tensor, seen: Tensor, rng: torch.Generator) -> Start | None:
        """Where the method starts on `weight` [d_out, d_in], given what was seen; None: not at all."""

    def start(self, weight: Tensor, rng: torch.Generator) -> Start:
        raise VariantError(f"{self.name} starts from data: use start_from")

    def sites(self, model: nn.Module, seed: int, calibration: Calibration | None) -> dict[str, Site]:
        if calibration is None:
            raise VariantError(f"{self.name} starts from training examples; attach it with a calibration")
        layers = self.layers(model)
        with torch.enable_grad():
            seen = self.observe(model, layers, calibration)
        sites: dict[str, Site] = {}
        for name, layer in layers.items():
            start = self.start_from(layer.weight.detach().float(), seen[name], generator(seed, name))
            if start is not None:
                start = checked(self, start, layer.weight)
                sites[name] = LowRank(scaled(start, self.init_scale), self.scale, self.dropout)
        return sites
