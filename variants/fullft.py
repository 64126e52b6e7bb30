"""Full fine-tuning: every parameter of the model trains.

The adapter holds its own copy of the parameters and puts them in the model's place inside a route, so that
outside a route the model is the pretrained one, as with every other variant, and detaching restores nothing.
A parameter that the model uses in two places (tied embeddings) stays one parameter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from variants import parking, plain
from variants.freeze import Freeze
from variants.interface import Adapter, Calibration, Group, Variant


@dataclass(frozen=True)
class FullFT(Variant):
    """Full fine-tuning, the reference that the others are measured against. It has no settings."""

    name: ClassVar[str] = "fullft"
    summary: ClassVar[str] = "every parameter trains; the reference"
    packable: ClassVar[bool] = False
    trains_base: ClassVar[bool] = True

    def attach(self, model: nn.Module, seed: int, calibration: Calibration | None = None) -> FullAdapter:
        parking.bring_back(model.modules())
        adapter = FullAdapter(self, model, seed)
        Freeze.add(adapter)
        return adapter


class FullAdapter(Adapter):
    """Every parameter of one model, as a trained copy."""

    def __init__(self, variant: Variant, model: nn.Module, seed: int) -> None:
        super().__init__(variant, model, seed)
        self.base = dict(model.named_parameters())
        self.params = {name: nn.Parameter(p.detach().clone()) for name, p in self.base.items()}

    def groups(self) -> list[Group]:
        return [Group(dict(self.params))]

    def adapted(self) -> list[str]:
        owners = dict.fromkeys(name.rpartition(".")[0] for name in self.params)
        return list(owners)

    def installed(self) -> AbstractContextManager[None]:
        return plain.replaced(self.model, self.params)

    @torch.no_grad()
    def deltas(self) -> Iterator[tuple[str, Tensor]]:
        for name, base in self.base.items():
            yield name, self.params[name].float() - base.float()

    def export(self, folder: Path | str) -> Path:
        return plain.write_plain(self.model, self.params, Path(folder))

    def detach(self) -> None:
        if self.attached:
            self.attached = False
            Freeze.remove(self)
