"""Adapters with one fault each, as a stranger might write them, for the conformance checks to find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from variants import Site, SiteAdapter, SiteVariant
from variants.interface import Group
from variants.site import generator, uniform


class Boastful(SiteAdapter):
    def trainable(self) -> int:
        return super().trainable() + 1


class Forgetful(SiteAdapter):
    """Leaves the first layer's parameters out of its groups."""

    def groups(self) -> list[Group]:
        first = next(iter(self.sites))
        return [
            Group({k: p for k, p in g.params.items() if not k.startswith(first)}, g.lr_scale)
            for g in super().groups()
        ]

    def trainable(self) -> int:
        return sum(p.numel() for group in self.groups() for p in group.params.values())


class Still(SiteAdapter):
    """Takes every step back."""

    def stepped(self, step: int) -> None:
        with torch.no_grad():
            for group in self.groups():
                for p in group.params.values():
                    p.zero_()


class OtherSeed(SiteAdapter):
    def __init__(self, variant: SiteVariant, model: nn.Module, seed: int, sites: dict[str, Site]) -> None:
        super().__init__(variant, model, 0, sites)


class NoSuper(SiteAdapter):
    def enter(self, phase: int) -> None:
        pass


class EmptySecond(SiteAdapter):
    def groups(self) -> list[Group]:
        return super().groups() if self.phase == 0 else []


class Warm(SiteAdapter):
    """Forgets to freeze a layer of the base."""

    def begin(self, steps: int) -> None:
        self.model.get_parameter("model.norm.weight").requires_grad_(True)


class HookInTraining(SiteAdapter):
    """Leaves a hook, and hangs it up only when training begins."""

    def begin(self, steps: int) -> None:
        self.model.register_forward_hook(lambda *_: None)


class LeavesHook(SiteAdapter):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.model.get_submodule(next(iter(self.sites))).register_forward_hook(lambda *_: None)


class LeavesAttribute(SiteAdapter):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.model.get_submodule(next(iter(self.sites))).adapter = "mine"  # pyright: ignore[reportArgumentType]


class LeavesFrozen(SiteAdapter):
    def detach(self) -> None:
        self.attached = False


class LeavesModule(SiteAdapter):
    """Puts a copy of a layer in its place."""

    def detach(self) -> None:
        super().detach()
        layer = cast(nn.Linear, self.model.get_submodule("model.layers.0.mlp.up_proj"))
        copy = nn.Linear(layer.in_features, layer.out_features, bias=False)
        copy.weight = layer.weight
        self.model.get_submodule("model.layers.0.mlp").up_proj = copy


class Registers(SiteAdapter):
    """Its numbers are in the model's state_dict while it is attached."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.model.add_module("sites", nn.ModuleList(self.sites.values()))

    def detach(self) -> None:
        if self.attached:
            super().detach()
            del self.model.sites


class InPlace(SiteAdapter):
    """Writes its deltas into the base inside a route, and takes them off again: rounding stays."""

    @contextmanager
    def installed(self) -> Iterator[None]:
        weight = self.model.get_parameter("model.norm.weight")
        noise = uniform(1, len(weight), generator(0), weight.device)[0]
        with torch.no_grad():
            weight += noise
            weight -= noise
        yield


class AllModules(SiteAdapter):
    def adapted(self) -> list[str]:
        return [name for name, module in self.model.named_modules() if isinstance(module, nn.Linear)]


class SomeModules(SiteAdapter):
    def adapted(self) -> list[str]:
        return super().adapted()[1:]


class HalfExport(SiteAdapter):
    """Leaves a layer out of what it writes."""

    def export(self, folder: Path | str) -> Path:
        kept = dict(self.sites)
        self.sites.pop(next(iter(kept)))
        try:
            return super().export(folder)
        finally:
            self.sites.update(kept)


class EmptyExport(SiteAdapter):
    def export(self, folder: Path | str) -> Path:
        Path(folder).mkdir(parents=True)
        return Path(folder)


class ChangesDefault(SiteAdapter):
    """Leaves another default type behind when attached."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        torch.set_default_dtype(torch.float64)

    def begin(self, steps: int) -> None:
        torch.set_default_dtype(torch.float32)


class NotPutBack(SiteAdapter):
    """Its clean-up goes wrong when an exception passes through a route."""

    @contextmanager
    def installed(self) -> Iterator[None]:
        try:
            with super().installed():
                yield
        except BaseException:
            self.model.get_parameter("model.norm.weight").data += 1
            raise


class LeavesTensorHook(SiteAdapter):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        weight = self.model.get_parameter("model.norm.weight").requires_grad_(True)
        weight.register_hook(lambda grad: None)
        weight.requires_grad_(False)


class StaysAttached(SiteAdapter):
    """Takes itself off and says that it is on."""

    off = False

    def detach(self) -> None:
        if not self.off:
            super().detach()
        self.attached = self.off = True
