"""Faults to plant in our own code: the ten that the gate has to catch. More are in `benchmarks.unasked`.

Each is a context manager that replaces a function in place, in this process; outside of it the code is what
it was. Where a fault could be read off a parameter count or a list of modules, it is planted so that these
stay right: what has to show it are the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from suite.training import encode, step
from suite.training.batches import Batch, lay
from suite.training.optim import MemberOptimizer
from variants import quantise
from variants.lora import LoRA
from variants.lori import LoRID
from variants.lowrank import LowRankVariant
from variants.pissa import PiSSA
from variants.site import LowRank, Start

SMALL = 0.02  # standard deviation of a B that should be zero: what transformers draws new weights from


@dataclass(frozen=True)
class Fault:
    """A fault: `plant()` is a context manager inside of which the code has it.

    `variants` are those of the ci track that are trained with it: not all that it would touch, but enough to
    be seen by. `everywhere`: the untouched base is scored with it, too. `scored`: it is one of scoring.
    """

    name: str
    about: str
    variants: tuple[str, ...]
    plant: Callable[[], AbstractContextManager[Any]]
    everywhere: bool = False
    scored: bool = False


def _scale_dropped() -> AbstractContextManager[Any]:
    return patch.object(LowRankVariant, "scale", property(lambda self: 1.0))


@contextmanager
def _a_not_trained() -> Iterator[None]:
    made = LowRank.__init__

    def init(self: LowRank, *args: Any, **settings: Any) -> None:
        made(self, *args, **settings)
        if self.A.requires_grad:
            self.A.register_hook(torch.zeros_like)

    with patch.object(LowRank, "__init__", init):
        yield


@contextmanager
def _b_not_zero() -> Iterator[None]:
    with ExitStack() as stack:
        for kind in (LoRA, LoRID):
            stack.enter_context(patch.object(kind, "start", _with_b(kind.start)))
        yield


def _with_b(start: Callable[..., Start]) -> Callable[..., Start]:
    def begun(self: LowRankVariant, weight: Tensor, rng: torch.Generator) -> Start:
        right = start(self, weight, rng)
        return replace(right, B=SMALL * torch.randn(right.B.shape, generator=rng).to(right.B))

    return begun


def _mask_not_applied() -> AbstractContextManager[Any]:
    def restart(self: LowRank, mask: Tensor, A: Tensor | None = None) -> None:
        self.mask = mask
        self.B = nn.Parameter(torch.zeros_like(self.B))

    return patch.object(LowRank, "restart", restart)


def _twice() -> AbstractContextManager[Any]:
    right = PiSSA.start

    def start(self: PiSSA, weight: Tensor, rng: torch.Generator) -> Start:
        return replace(right(self, weight, rng), pinned=False)

    return patch.object(PiSSA, "start", start)


def _block() -> AbstractContextManager[Any]:
    return patch.object(quantise, "BLOCK", 2 * quantise.BLOCK)


def _half_rate_for_b() -> AbstractContextManager[Any]:
    def lr_scale(self: LowRankVariant, parameter: str) -> float:
        return 0.5 if parameter == "B" else 1.0

    return patch.object(LowRankVariant, "lr_scale", lr_scale)


def _prompt_learned() -> AbstractContextManager[Any]:
    right = encode.encode

    def encoded(
        example: Any, tokenizer: Any, max_length: int, loss_on: str, chat_template: bool = False
    ) -> encode.Encoded | None:
        return right(example, tokenizer, max_length, "all", chat_template)

    return patch.object(encode, "encode", encoded)


def _shifted() -> AbstractContextManager[Any]:
    def laid(*args: Any) -> Batch:
        batch = lay(*args)
        return replace(batch, positions=batch.positions + 1)

    return patch.object(step, "lay", laid)


def _tenth_skipped() -> AbstractContextManager[Any]:
    right = MemberOptimizer.step

    def skipping(self: MemberOptimizer, at: int, *rest: Any) -> Tensor:
        if at % 10 < 9:
            return right(self, at, *rest)
        self.clear()
        return torch.zeros(())

    return patch.object(MemberOptimizer, "step", skipping)


NAMED = (
    Fault("scale alpha/r dropped", "s is 1 in place of 2", ("lora", "pissa"), _scale_dropped),
    Fault("A not trained", "A's gradient is zero; A still counts as trained", ("lora",), _a_not_trained),
    Fault("B initialised non-zero", f"B is drawn with a deviation of {SMALL}", ("lora",), _b_not_zero),
    Fault("mask not applied", "all of B trains in LoRI's second phase", ("lori-s",), _mask_not_applied),
    Fault("PiSSA residual added twice", "s*B0*A0 is not taken off the weight", ("pissa",), _twice),
    Fault("NF4 block size off", "128 numbers share a scale in place of 64", ("loftq",), _block),
    Fault("learning rate halved for B", "A keeps its own", ("lora", "loftq"), _half_rate_for_b),
    Fault(
        "loss on the prompt", "prompt tokens are learned, too", ("lora",), _prompt_learned, everywhere=True
    ),
    Fault("labels shifted by one", "in training, a token is predicted from itself", ("lora",), _shifted),
    Fault(
        "every tenth batch skipped", "no update is made of it", ("lora", "loftq", "fullft"), _tenth_skipped
    ),
)
