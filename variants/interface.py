"""The contract that the suite sees: a Variant attaches to a model and gives an Adapter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import MISSING, Field, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from torch import Tensor, nn

from variants import spec
from variants.spec import VariantError as VariantError

if TYPE_CHECKING:
    from variants.site import Site


@dataclass
class Group:
    """Parameters that train together, by name, at `lr_scale` times the cell's learning rate."""

    params: dict[str, nn.Parameter]
    lr_scale: float = 1.0


@dataclass(frozen=True)
class Calibration:
    """Examples of the training split that a data-driven start may look at.

    `losses()` runs the model over them once more, one row without padding at a time, and yields the training
    loss of each with its graph. What a method wants to see it takes by hooks on the layers meanwhile.
    """

    losses: Callable[[], Iterator[Tensor]]


@dataclass(frozen=True)
class Variant(ABC):
    """A method of fine-tuning with its settings, which are the fields of the dataclass and survive JSON.

    A subclass raises `revision` whenever its numbers change. `phases` is how many stretches of training
    it needs, `packable` says whether it can share one frozen base with other members of a pack,
    `trains_base` that the model's own weights train (so that the base is best kept in float32), and
    `starts_at_base` that before the first step the adapted model computes what the pretrained one does.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    revision: ClassVar[int] = 1
    packable: ClassVar[bool] = True
    phases: ClassVar[int] = 1
    trains_base: ClassVar[bool] = False
    starts_at_base: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = spec.typed(self.name, setting.name, setting.type, getattr(self, setting.name))
            object.__setattr__(self, setting.name, value)

    @classmethod
    def read(cls, text: str) -> dict[str, Any]:
        """Settings as typed behind the name's colon: "rank=8,alpha=16". Raises VariantError."""
        return spec.read(cls.name, text, {f.name: f.type for f in fields(cls)})

    @classmethod
    def build(cls, settings: Mapping[str, Any]) -> Self:
        """The variant with these settings, the others at their defaults. Raises VariantError."""
        spec.known(cls.name, settings, [f.name for f in fields(cls)])
        spec.complete(cls.name, settings, [f.name for f in fields(cls) if _needed(f)])
        return cls(**settings)

    @classmethod
    def example(cls) -> Self:
        """What the conformance checks run where no settings are given: the defaults."""
        return cls.build({})

    def settings(self) -> dict[str, Any]:
        """Every setting by name; `registry.build(name, settings)` gives an equal variant."""
        return asdict(self)

    @property
    def label(self) -> str:
        """What records call it: the name, and which method where it stands for many: "peft:ia3"."""
        return self.name

    @property
    def calibration_rows(self) -> int:
        """How many training examples the start looks at; if any, `attach` is given a Calibration."""
        return 0

    def check(self, model: nn.Module) -> None:  # noqa: B027 - a default, not a method left to write
        """Raise VariantError if this variant cannot live on `model`."""

    @abstractmethod
    def attach(self, model: nn.Module, seed: int, calibration: Calibration | None = None) -> Adapter:
        """Put this variant on `model`. The same seed gives a bit-equal adapter. Raises VariantError."""


def _needed(setting: Field[Any]) -> bool:
    return setting.default is MISSING and setting.default_factory is MISSING


class Adapter(ABC):
    """A variant living on one model. It is on inside `routed(model, adapter)` and nowhere else.

    `sites` holds the adapted layers by name; it is empty for a method that works on the model as a whole.
    `step` is the training step of the phase, None outside training: dropout is on only inside it. `tokens`
    are the numbers of the tokens of its rows then, by which dropout draws (`variants.dropout`).
    """

    def __init__(
        self, variant: Variant, model: nn.Module, seed: int, sites: dict[str, Site] | None = None
    ) -> None:
        self.variant = variant
        self.model = model
        self.seed = seed
        self.sites: dict[str, Site] = sites or {}
        self.phase = 0
        self.step: int | None = None
        self.tokens: Tensor | None = None
        self.attached = True

    @property
    def packable(self) -> bool:
        """Whether this adapter can share one pass with others."""
        return self.variant.packable

    @abstractmethod
    def groups(self) -> list[Group]:
        """The parameters that train in the current phase. Ask again after every `enter`."""

    def enter(self, phase: int) -> None:
        """Begin a phase, counted from 0. Optimisers must be made anew from `groups()` afterwards."""
        if not 0 <= phase < self.variant.phases:
            raise ValueError(f"{self.variant.name} has phases 0..{self.variant.phases - 1}, got {phase}")
        self.phase = phase

    def begin(self, steps: int) -> None:  # noqa: B027 - a default, not a method left to write
        """A phase of this many steps begins."""

    def penalty(self) -> Tensor | None:
        """What is added to the member's loss, if anything."""
        return None

    def stepped(self, step: int) -> None:  # noqa: B027 - a default, not a method left to write
        """The optimiser has taken step `step` (0, 1, ...) of the phase; gradients are still there."""

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
