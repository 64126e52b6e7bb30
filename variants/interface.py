"""The contract that the suite sees: a Variant attaches to a model and gives an Adapter."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

if TYPE_CHECKING:
    from variants.site import Site


class VariantError(ValueError):
    """A user's mistake about a variant: one line with the value, what was expected, the next step."""


@dataclass
class Group:
    """Parameters that train together, by name, at `lr_scale` times the cell's learning rate."""

    params: dict[str, nn.Parameter]
    lr_scale: float = 1.0


@dataclass(frozen=True)
class Variant(ABC):
    """A method of fine-tuning with its settings, which are the fields of the dataclass and survive JSON.

    A subclass raises `revision` whenever its numbers change. `phases` is how many stretches of training
    it needs, `packable` says whether it can share one frozen base with other members of a pack, and
    `trains_base` that the model's own weights train (so that the base is best kept in float32).
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    revision: ClassVar[int] = 1
    packable: ClassVar[bool] = True
    phases: ClassVar[int] = 1
    trains_base: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = _typed(self.name, setting.name, setting.type, getattr(self, setting.name))
            object.__setattr__(self, setting.name, value)

    def settings(self) -> dict[str, Any]:
        """Every setting by name; `registry.build(name, settings)` gives an equal variant."""
        return asdict(self)

    def check(self, model: nn.Module) -> None:  # noqa: B027 - a default, not a method left to write
        """Raise VariantError if this variant cannot live on `model`."""

    @abstractmethod
    def attach(self, model: nn.Module, seed: int) -> Adapter:
        """Put this variant on `model`. The same seed gives a bit-equal adapter. Raises VariantError."""


class Adapter(ABC):
    """A variant living on one model. It is on inside `routed(model, adapter)` and nowhere else.

    `sites` holds the adapted layers by name; it is empty for a method that works on the model as a whole.
    """

    def __init__(
        self, variant: Variant, model: nn.Module, seed: int, sites: dict[str, Site] | None = None
    ) -> None:
        self.variant = variant
        self.model = model
        self.seed = seed
        self.sites: dict[str, Site] = sites or {}
        self.phase = 0
        self.attached = True

    @abstractmethod
    def groups(self) -> list[Group]:
        """The parameters that train in the current phase. Ask again after every `enter`."""

    def enter(self, phase: int) -> None:
        """Begin a phase, counted from 0. Optimisers must be made anew from `groups()` afterwards."""
        if not 0 <= phase < self.variant.phases:
            raise ValueError(f"{self.variant.name} has phases 0..{self.variant.phases - 1}, got {phase}")
        self.phase = phase

    def trainable(self) -> int:
        """How many numbers train in the current phase."""
        return sum(p.numel() for group in self.groups() for p in group.params.values())

    @abstractmethod
    def adapted(self) -> list[str]:
        """Names of the modules whose function this adapter changes, in the model's order."""

    @abstractmethod
    def deltas(self) -> Iterator[tuple[str, Tensor]]:
        """(pretrained weight name, W_now - W in float32), one tensor at a time."""

    @abstractmethod
    def export(self, folder: Path | str) -> Path:
        """Write what was learned: a PEFT folder where low-rank factors exist, else plain weights."""

    @abstractmethod
    def detach(self) -> None:
        """Take the adapter off. The model is bit for bit what it was before; a second call does nothing."""

    def installed(self) -> AbstractContextManager[None]:
        """What else must be in place while this adapter is routed, beside its sites."""
        return nullcontext()


_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a word"}


def _typed(variant: str, name: str, kind: Any, value: Any) -> Any:
    """`value` as `kind`; whole floats become int, so that alpha=16 and alpha=16.0 are one variant."""
    kind = getattr(kind, "__name__", kind)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    fits = {
        "int": is_number and isinstance(value, int),
        "float": is_number,
        "bool": isinstance(value, bool),
        "str": isinstance(value, str),
    }
    if not fits.get(kind, True):
        raise VariantError(f"{variant}: {name} must be {_KINDS[kind]}, got {value!r}")
    if kind == "float":
        return int(value) if float(value).is_integer() else float(value)
    return value
