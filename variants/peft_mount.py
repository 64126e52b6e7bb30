"""Keeping what peft does to a model apart from it: its modules, its random draws, its warnings."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from variants.interface import VariantError
from variants.site import generator

NAME = "default"  # of the adapter inside peft, which keeps several by name; ours never leave their own tuner
ABSENT = object()
OTHERWISE = re.compile(
    r"(will be|were) ignored|Adjusted `|no (module|parameter|tied module)s? (was|were|are)"
)


class Mount:
    """What a tuner changes on the modules of a model: found out once, then put in and taken out at will.

    It looks at every dictionary of every module (submodules, parameters, buffers, hooks, attributes), so that
    nothing that peft hangs on a model stays there.
    """

    def __init__(self, model: nn.Module) -> None:
        self.original = {id(module): module for module in model.modules()}
        self.tensors = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
        dicts = [d for m in self.original.values() for d in (m.__dict__, *_held(m.__dict__.values()))]
        self._before = [(d, dict(d)) for d in dicts]
        self._slots: list[tuple[dict[str, Any], str, Any, Any]] = []
        self._inside = False

    @contextmanager
    def building(self) -> Iterator[None]:
        """What changes inside is taken out at the end and kept for `inside`."""
        try:
            yield
        finally:
            for d, before in self._before:
                for key in {**before, **d}:
                    old, new = before.get(key, ABSENT), d.get(key, ABSENT)
                    if old is not new:
                        self._slots.append((d, key, old, new))
            self._before = []
            self._put(2)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What changed is in place. Inside another `inside` it does nothing."""
        if self._inside:
            yield
            return
        self._inside = True
        try:
            self._put(3)
            yield
        finally:
            self._put(2)
            self._inside = False

    def _put(self, which: int) -> None:
        for slot in self._slots:
            if slot[which] is ABSENT:
                slot[0].pop(slot[1], None)
            else:
                slot[0][slot[1]] = slot[which]


class Shell(nn.Module):
    """As much of a PeftModel as peft's reading and writing of adapter files looks at."""

    def __init__(self, tuner: nn.Module, config: Any) -> None:
        super().__init__()
        self.base_model = tuner
        self.peft_config = {NAME: config}

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base_model"), name)


class Stand:
    """An object with some attributes of its own in the place of another's."""

    def __init__(self, behind: Any, **own: Any) -> None:
        self.__dict__.update(own, _behind=behind)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)


def _held(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)]


def in_float32(tuner: nn.Module, mount: Mount) -> None:
    """What the tuner brought is kept in float32, whatever the model's type.

    A module of it computes in float32 then, and gives out the type that it was given.
    """
    for module in tuner.modules():
        if id(module) in mount.original:
            continue
        for tensor in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            if id(tensor) not in mount.tensors and tensor.dtype in (torch.bfloat16, torch.float16):
                module.__dict__["narrow"] = tensor.dtype
                tensor.data = tensor.data.float()
        if "narrow" in module.__dict__ and "given" not in module.__dict__:
            module.__dict__["given"] = None
            module.register_forward_pre_hook(_widen)
            module.register_forward_hook(_give_back)


def _floats(values: Any) -> list[Tensor]:
    return [x for x in values if isinstance(x, Tensor) and x.is_floating_point()]


def _widen(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    floats = _floats(inputs)
    module.__dict__["given"] = floats[0].dtype if floats else module.__dict__["narrow"]
    return tuple(x.float() if _floats([x]) else x for x in inputs)


def _give_back(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    return output.to(module.__dict__["given"]) if _floats([output]) else output


@contextmanager
def heeded() -> Iterator[None]:
    """peft's warnings stay out of sight, but for those that it does something else than it was asked."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield
    for text in (" ".join(str(warning.message).split()) for warning in heard):
        if OTHERWISE.search(text):
            raise VariantError(f"peft does not take the config as it is: {text}")


@contextmanager
def quiet() -> Iterator[None]:
    """peft's warnings stay out of sight; its errors do not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def seeded(model: nn.Module, seed: int, *parts: object) -> Iterator[None]:
    """The generators of the CPU and of the model's device start from (seed, parts), and come back after."""
    number = generator(seed, "peft", *parts).initial_seed()
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(number)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(number)
        yield
