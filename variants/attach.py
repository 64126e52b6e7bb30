"""Putting sites on a model and taking them off."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from variants import experts, export, parking, targets
from variants.freeze import Freeze
from variants.interface import Adapter, Calibration, Group, Variant, VariantError
from variants.site import Experts, LowRank, Site, generator
from variants.targets import Kind, Layer


@dataclass(frozen=True)
class SiteVariant(Variant):
    """A variant that adapts layers one by one. `kinds` are those that its sites can stand on."""

    kinds: ClassVar[tuple[Kind, ...]] = ("linear",)

    def layers(self, model: nn.Module) -> dict[str, Layer]:
        """The layers to adapt, by name."""
        return targets.select(model)

    @abstractmethod
    def site(self, layer: Layer, rng: torch.Generator) -> Site:
        """The site for one layer; every random draw comes from `rng`."""

    def lr_scale(self, parameter: str) -> float:
        """By how much the cell's learning rate is multiplied for the sites' parameters of this name."""
        return 1.0

    def enter(self, adapter: SiteAdapter, phase: int) -> None:
        """What a method does between its phases."""

    def check(self, model: nn.Module) -> None:
        for layer in self.layers(model).values():
            if layer.kind not in self.kinds:
                raise VariantError(
                    f"{self.name} cannot adapt {layer.name} ({layer.kind}), only {', '.join(self.kinds)}; "
                    "leave it out of targets"
                )

    def sites(self, model: nn.Module, seed: int, calibration: Calibration | None) -> dict[str, Site]:
        """A site for each layer; a layer that gets none is left alone."""
        layers = self.layers(model)
        return {name: self.site(layer, generator(seed, name)) for name, layer in layers.items()}

    def attach(self, model: nn.Module, seed: int, calibration: Calibration | None = None) -> SiteAdapter:
        self.check(model)
        parking.bring_back(model.modules())
        with torch.no_grad():
            sites = self.sites(model, seed, calibration)
        adapter = SiteAdapter(self, model, seed, sites)
        Freeze.add(adapter)
        return adapter


class SiteAdapter(Adapter):
    """A SiteVariant living on one model."""

    variant: SiteVariant

    def __init__(self, variant: SiteVariant, model: nn.Module, seed: int, sites: dict[str, Site]) -> None:
        super().__init__(variant, model, seed, sites)
        for name, site in sites.items():
            if isinstance(site, LowRank):
                site.key = ("dropout", seed, name)

    @property
    def packable(self) -> bool:
        return super().packable and not any(site.of_parameter for site in self.sites.values())

    def groups(self) -> list[Group]:
        by_scale: dict[float, dict[str, nn.Parameter]] = defaultdict(dict)
        for name, site in self.sites.items():
            for key, p in site.trained().items():
                by_scale[self.variant.lr_scale(key)][f"{name}.{key}"] = p
        return [Group(params, scale) for scale, params in by_scale.items()]

    def enter(self, phase: int) -> None:
        super().enter(phase)
        with torch.no_grad():
            self.variant.enter(self, phase)

    def trainable(self) -> int:
        return sum(site.trainable() for site in self.sites.values())

    def adapted(self) -> list[str]:
        return list(self.sites)

    @torch.no_grad()
    def deltas(self) -> Iterator[tuple[str, Tensor]]:
        parking.bring_back(map(self.model.get_submodule, self._replaced()))
        for name, site in self.sites.items():
            key = name if site.of_parameter else f"{name}.weight"
            weight = self.model.get_parameter(key)
            if targets.turned(self.model, name):
                yield key, site.delta(weight.T).T.contiguous()
            else:
                yield key, site.delta(weight)

    def export(self, folder: Path | str) -> Path:
        parking.bring_back(map(self.model.get_submodule, self._replaced()))
        return export.write(self, Path(folder))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The sites know the moment (for dropout), and fused experts run on their adapted weights.

        Pretrained weights that sites stand in for are parked.
        """
        parking.park(self.model, self._replaced())
        moment = None if self.step is None else (self.phase, self.step)
        for site in self.sites.values():
            site.moment, site.tokens = moment, self.tokens
        with experts.installed(self.model, {n: s for n, s in self.sites.items() if isinstance(s, Experts)}):
            yield

    def detach(self) -> None:
        if self.attached:
            self.attached = False
            Freeze.remove(self)
            parking.release(self.model, self._replaced())

    def _replaced(self) -> list[str]:
        """The layers whose weight a site of this adapter stands in for."""
        return [name for name, site in self.sites.items() if site.base is not None]
