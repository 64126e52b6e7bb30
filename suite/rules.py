"""Learning rates that published rules predict for a model on which nothing was swept, and when they do not.

- `formula`: LoRA Without Regret (Schulman et al. 2025, doi 10.64434/tml.20250929), in the form of
  tinker-cookbook's hyperparam_utils: rate = 5e-5 * M * (2000 / hidden)^p, fitted over 14 models; p = 0.781
  (Llama), 0.0775 (Qwen); M = 10 for LoRA and 1 for full fine-tuning, and about 15 in runs of 100 steps or
  less. LoRA there is W + (32 / r) B A on all linear layers with B = 0 and one rate for A and B; the rate does
  not depend on r.
- `by_alpha`: where alpha is not 32 the rate falls as alpha^-0.41. That is the fall by 5.6 from r = 4 to
  r = 256 at alpha = r of Learning Rate Matters (Lee et al., arXiv 2602.04998), read with the rule above, by
  which at one alpha the rank alone changes nothing. Alpha is s * r, whatever a variant makes of the scale s.
- `by_batch`: rates grow with the square root of the batch; the cookbook's sweeps had batches of 128.
- `from_full`: ten times (in short runs 15 times) the optimum of full fine-tuning that was measured here.
- `from_rank`: an optimum measured at another rank, by `by_alpha`.
- `by_hessian`: optima stand in the inverse ratio of the largest eigenvalue of the loss's Hessian in the
  adapter's parameters at the start (arXiv 2602.04998); see `suite.curvature`.
- `by_width`: an optimum measured on another model of the same family, by the formula's power of the width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.record import VariantRef

BASE_RATE = 5e-5
WIDTH = 2000
POWERS = {"llama": 0.781, "qwen3": 0.0775, "qwen3_moe": 0.0775}
LORA, SHORT = 10, 15
SHORT_STEPS = 100
ALPHA = 32
ALPHA_POWER = math.log(5.6) / math.log(256 / 4)
BATCH = 128
FAR = 4  # times wider or narrower than WIDTH: told as beyond what the formula is centred on
HIDDEN = ("hidden_size", "n_embd", "d_model")


@dataclass(frozen=True)
class Model:
    """What the formula asks of a model: transformers' model_type, and its width."""

    name: str
    family: str
    hidden: int | None


@dataclass(frozen=True)
class Way:
    """What the rules ask of a variant: whether the base trains, or LoRA's low-rank term with alpha = s * r.

    `why` says why a variant is neither.
    """

    trains_base: bool
    alpha: float | None
    why: str = ""


@dataclass(frozen=True)
class Prediction:
    """A rule's rate, or None with the reason; `note` of a rate says what it stretches."""

    rule: str
    rate: float | None
    note: str = ""


def model(name: str, folder: Path) -> Model:
    """The model in a folder, from its config.json. Raises UserError."""
    from suite import architecture

    found = architecture.config(folder)
    text = found.get("text_config")
    found = {**found, **text} if isinstance(text, dict) else found
    hidden = next((found[key] for key in HIDDEN if isinstance(found.get(key), int)), None)
    return Model(name, str(found.get("model_type")), hidden)


def way(variant: VariantRef) -> Way:
    """How a variant trains, asked of its class and of a site of it on a small layer, never of its name."""
    import torch

    from variants import registry
    from variants.attach import SiteVariant
    from variants.interface import VariantError
    from variants.site import LowRank
    from variants.targets import Layer

    try:
        built: Any = registry.build(variant.name, variant.settings)
    except VariantError as error:
        return Way(False, None, f"the variant is not known here ({error})")
    if built.trains_base:
        return Way(True, None)
    if not isinstance(built, SiteVariant):
        return Way(False, None, "its layers cannot be looked into")
    if built.calibration_rows or built.phases > 1:
        return Way(False, None, "it does not start or train as LoRA does")
    side = max(256, 4 * int(variant.settings.get("rank") or 1))
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(side, side, generator=rng)
    site = built.site(Layer("probe", "linear", weight, 0, 1), rng)
    if type(site) is not LowRank or set(site.trained()) != {"A", "B"} or site.mask is not None:
        return Way(False, None, "it trains something else than LoRA's A and B")
    if site.base is not None:
        return Way(False, None, "its base is quantised")
    if site.pinned or site.B.any() or not 0.9 < float(site.A.detach().abs().max()) * side**0.5 <= 1:
        return Way(False, None, "it does not start from LoRA's A and B = 0")
    if {built.lr_scale("A"), built.lr_scale("B")} != {1.0}:
        return Way(False, None, "A and B learn at different rates")
    return Way(False, site.scale * site.A.shape[0])


def formula(model: Model, way: Way, steps: int | None = None) -> Prediction:
    """The published formula, times (32 / alpha)^0.41. With `steps`: as a short run, 15 in place of 10."""
    rule = "formula" if steps is None else "short run"
    if steps is not None and steps > SHORT_STEPS:
        return Prediction(rule, None, f"for runs of {SHORT_STEPS} steps or less, not {steps}")
    if steps is not None and way.trains_base:
        return Prediction(rule, None, "says nothing of full fine-tuning")
    if model.family not in POWERS:
        return Prediction(rule, None, f"fitted on Llama and Qwen 3, not {model.family}")
    if model.hidden is None:
        return Prediction(rule, None, "the model's configuration names no hidden size")
    if not way.trains_base and way.alpha is None:
        return Prediction(rule, None, way.why)
    times = 1.0 if way.trains_base else by_alpha(LORA if steps is None else SHORT, ALPHA, way.alpha or ALPHA)
    rate = BASE_RATE * times * (WIDTH / model.hidden) ** POWERS[model.family]
    notes = []
    if not 1 / FAR <= model.hidden / WIDTH <= FAR:
        notes.append(f"hidden size {model.hidden} is far from the {WIDTH} of the formula")
    if way.alpha not in (None, ALPHA):
        notes.append(f"alpha {way.alpha:g}, not {ALPHA}")
    return Prediction(rule, rate, "; ".join(notes))


def by_batch(prediction: Prediction, batch: int) -> Prediction:
    """A prediction for batches of 128, for another batch."""
    if prediction.rate is None:
        return Prediction("batch", None, prediction.note)
    return Prediction("batch", prediction.rate * math.sqrt(batch / BATCH), prediction.note)


def by_alpha(rate: float, alpha: float, other: float) -> float:
    """The rate at one alpha (s * r), for another."""
    return rate * (alpha / other) ** ALPHA_POWER


def from_full(full: float | None, way: Way, steps: int) -> Prediction:
    """LoRA's rate from the optimum of full fine-tuning measured on the same base and task."""
    rule = "from full"
    if way.trains_base:
        return Prediction(rule, None, "is about LoRA")
    if way.alpha is None:
        return Prediction(rule, None, way.why)
    if full is None:
        return Prediction(rule, None, "no optimum of full fine-tuning on this base and task")
    return Prediction(rule, by_alpha((SHORT if steps <= SHORT_STEPS else LORA) * full, ALPHA, way.alpha))


def from_rank(rate: float | None, there: Way, here: Way) -> Prediction:
    """The rate from the same variant's optimum at another rank (or alpha)."""
    rule = "other rank"
    if rate is None:
        return Prediction(rule, None, "no other rank was swept")
    if there.alpha is None or here.alpha is None:
        return Prediction(rule, None, here.why or there.why)
    return Prediction(rule, by_alpha(rate, there.alpha, here.alpha))


def by_hessian(rate: float | None, there: float, here: float) -> Prediction:
    """The rate from a reference variant's optimum `rate`, and the largest eigenvalues there and here."""
    rule = "hessian"
    if rate is None:
        return Prediction(rule, None, "no optimum of a variant to start from")
    if not (there > 0 and here > 0):
        return Prediction(rule, None, f"an eigenvalue is not above zero ({there:g}, {here:g})")
    return Prediction(rule, rate * there / here)


def by_width(rate: float | None, there: Model, here: Model) -> Prediction:
    """The rate from an optimum measured on another model (`there`) of the same family."""
    rule = "by width"
    if rate is None:
        return Prediction(rule, None, "no optimum was measured")
    if there.family != here.family:
        return Prediction(rule, None, f"measured on {there.family}, and this is {here.family}")
    if there.family not in POWERS:
        return Prediction(
            rule, None, f"the power of the width is known of Llama and Qwen 3, not {there.family}"
        )
    if there.hidden is None or here.hidden is None:
        return Prediction(rule, None, "a configuration names no hidden size")
    return Prediction(rule, rate * (there.hidden / here.hidden) ** POWERS[there.family])
