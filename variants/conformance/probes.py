"""What the conformance checks look with: a probe of models and tokens, logits, and how far two are apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from variants.interface import Adapter, Calibration, Variant, VariantError
from variants.lowrank import LowRankVariant
from variants.route import routed
from variants.spec import said

CLOSE = 2e-5  # of the largest logit: two orders of the same float32 sums differ by 1e-6, a wrong one by 1e-3
SCALES = ("alpha", "lora_alpha", "scale")
EXAMPLES = 16  # for a start that looks at data, at most


class Fault(Exception):
    """A check has failed. `of` names another check where this one could not be made because of that."""

    def __init__(self, reason: str, of: str | None = None) -> None:
        super().__init__(reason)
        self.of = of


class NotClaimed(Exception):
    """A check does not apply to this variant, and why."""


@dataclass(frozen=True)
class Probe:
    """What the checks are made on.

    make_model  gives a fresh copy of one float32 model, frozen and in evaluation mode, the same bit for bit
                every time; it maps token ids to logits, or to an output with `.logits`
    tokens      token ids [8 or more rows, length] that name every token of the vocabulary, not only in the
                last column, so that every row of an embedding gets a gradient
    reload      gives a model that computes what a folder stands for that `Adapter.export` wrote; without it
                that check is left out
    """

    make_model: Callable[[], nn.Module]
    tokens: Tensor
    reload: Callable[[Path], nn.Module] | None = None

    @property
    def few(self) -> Tensor:
        """Eight rows, for the checks that need no more."""
        return self.tokens[:8]


def telling(variant: Variant, probe: Probe) -> Variant:
    """A low-rank variant with s = 1.5 where s is 1, and with dropout where it has none, if it takes that.

    At s = 1 a forgotten s would not show, and without dropout not where its draws come from. Of another
    variant a number called alpha or scale is moved.
    """
    found = variant
    if not isinstance(variant, LowRankVariant):
        for setting in fields(variant):
            value = getattr(variant, setting.name)
            if setting.name in SCALES and isinstance(value, int | float):
                with suppress(VariantError):
                    found = replace(found, **{setting.name: 1.5 * value})
        return found
    scaled = {"rslora": False, "alpha": 1.5 * variant.rank} if variant.scale == 1 else {}
    for settings in (scaled, {} if variant.dropout else {"dropout": 0.1}):
        with suppress(VariantError):
            other = replace(found, **settings)
            other.check(probe.make_model())
            found = other
    return found


def outputs(model: nn.Module, tokens: Tensor) -> Tensor:
    """Logits [rows, length, vocabulary]."""
    found = model(tokens)
    return getattr(found, "logits", found)


def loss(model: nn.Module, tokens: Tensor) -> Tensor:
    """Mean loss of predicting the next token, with its graph."""
    return mean_loss(outputs(model, tokens), tokens)


def mean_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Cross-entropy of every next token, the mean over rows and positions."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), tokens[:, 1:].flatten())


@torch.no_grad()
def logits(model: nn.Module, tokens: Tensor, *adapters: Adapter) -> Tensor:
    """Logits under these adapters; of the model outside a route if there are none."""
    if not adapters:
        return outputs(model, tokens).float()
    with routed(model, *adapters):
        return outputs(model, tokens).float()


def attach(variant: Variant, probe: Probe, model: nn.Module, seed: int = 0) -> Adapter:
    """The variant on `model`, with examples to look at if it asks for them."""

    def losses() -> Iterator[Tensor]:
        for row in probe.tokens[: min(variant.calibration_rows, EXAMPLES)]:
            yield loss(model, row[None])

    try:
        if variant.calibration_rows:
            return variant.attach(model, seed, Calibration(losses))
        return variant.attach(model, seed)
    except (Exception, SystemExit) as error:  # a stranger's code may raise anything
        raise Fault(said(error), of="attaches") from error


def gap(one: Tensor, two: Tensor) -> float:
    """Largest difference, relative to the largest of `two`."""
    return float((one - two).abs().max() / two.abs().max())


def agree(one: Tensor, two: Tensor, what: str) -> str:
    """A note on how close two sets of logits are; a Fault where rounding does not explain it."""
    found = gap(one, two)
    if not found <= CLOSE:
        raise Fault(f"{what}: logits differ by {found:.2g} of the largest (allowed {CLOSE:.0e})")
    return f"logits differ by {found:.1g}"


def state(adapter: Adapter) -> dict[str, Tensor]:
    """All numbers of an adapter, by name: what trains, what its sites hold, its deltas."""
    found = {n: p.detach().clone() for group in adapter.groups() for n, p in group.params.items()}
    for layer, site in adapter.sites.items():
        found |= {f"{layer}: {key}": value.detach().clone() for key, value in site.state_dict().items()}
    return found | {f"delta of {name}": delta.clone() for name, delta in adapter.deltas()}


def unlike(one: dict[str, Tensor], two: dict[str, Tensor]) -> str | None:
    """The first name under which two states differ in any bit, or None."""
    for name in [*one, *two]:
        if name not in one or name not in two or not torch.equal(one[name], two[name]):
            return name
    return None
