"""Proof of effect: how far an adapter moves logits on fixed text, and that its saved form does the same.

`from_base` and `from_start` are the largest absolute changes of a logit against the untouched base and
against the adapter before training, `reload_error` that of the saved and reloaded adapter against the
trained one. Two bounds make a cell fail:

- no effect: `from_start` is not above one unit in the last place of the largest logit, in the base's own
  type. A forward is deterministic, so an adapter that training did not change gives 0 exactly, and a change
  within that unit is one that rounding alone could have made.
- another function: `reload_error` is above 1e-4 of `from_base`, plus eight such units: what was saved is
  held against what it is meant to do, and two orders of the same sums may differ by some roundings. In
  float32 the units are 2e-5 at logits of 20; in bfloat16, whose products round at 0.4 %, they are 1.2. Half
  of what training did (or four units) is too much in any type: so far off is an adapter that was lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from suite import model as models
from suite.record import DeltaRank, Effect
from suite.seeds import digest
from suite.spectrum import Ranks
from suite.weights import ADAPTER, own_base
from variants.interface import VariantError
from variants.route import routed

if TYPE_CHECKING:
    from variants.interface import Adapter

TEXT = (
    "The ferry left the harbour at nine, and nobody on deck had thought of bread. "
    "Question: a shelf holds 4 rows of 6 jars, and 5 jars are empty; how many are full? "
    "4 rows of 6 are 24 jars, and 24 - 5 = 19, so 19 jars are full. "
    "def middle(values): return sorted(values)[len(values) // 2] "
    "List three colours, one on each line, without any other word. "
    "Rivers carry sand to the sea because running water lifts what still water drops."
)
LONGEST = 256  # tokens
SHARE = 1e-4
UNITS = 8


def probe(tokenizer: Any, context: int | None) -> Tensor:
    """The fixed text as token ids [1, n], cut to what the model can attend to."""
    ids = tokenizer.encode(TEXT, add_special_tokens=False)
    return torch.tensor([ids[: min(LONGEST, context or LONGEST)]])


@torch.no_grad()
def logits(model: Any, ids: Tensor, *adapters: Adapter) -> Tensor:
    """Logits [n, vocabulary] of the model under these adapters, float32 on the CPU."""
    ids = ids.to(next(model.parameters()).device)
    with routed(model, *adapters):
        return model(input_ids=ids, use_cache=False).logits[0].float().cpu()


def prove(
    model: Any, ids: Tensor, adapter: Adapter, start: Tensor, folder: Path, precision: str
) -> tuple[Effect, str | None]:
    """What the trained `adapter` does, and why its cell fails, if it does.

    `start` are its logits before training, `folder` holds what it exported.
    """
    now = logits(model, ids, adapter)
    norms, ranks = sizes(adapter)
    effect = Effect(
        text_digest=digest(ids.tolist()),
        from_base=_change(now, logits(model, ids)),
        from_start=_change(now, start),
        delta_norms=norms,
        ranks=ranks,
        reload_error=_reload_error(model, ids, now, folder, precision),
    )
    computed = torch.float32 if precision == "float32" else torch.bfloat16
    unit = torch.finfo(computed).eps * float(now.abs().max())
    return effect, fault(effect, unit)


def fault(effect: Effect, unit: float) -> str | None:
    """Why an adapter with this effect is no result, in one line; `unit` is that of the largest logit."""
    if not math.isfinite(effect.from_start):
        return "the trained adapter gives logits that are not finite"
    if effect.from_start <= unit:
        return (
            f"the adapter has no effect: training moved no logit by more than {effect.from_start:.2g}, "
            f"and rounding alone may do {unit:.2g}"
        )
    most = min(SHARE * effect.from_base + UNITS * unit, max(effect.from_start / 2, 4 * unit))
    if effect.reload_error is not None and not effect.reload_error <= most:
        return (
            f"the saved adapter is not the trained one: reloaded, its logits differ by up to "
            f"{effect.reload_error:.2g}, and {most:.2g} is allowed"
        )
    return None


@contextmanager
def reopened(model: Any, folder: Path, precision: str) -> Iterator[tuple[Any, tuple[Adapter, ...]]]:
    """What an exported folder stands for: a model, and the adapter on it if the folder holds one.

    `model` is the untouched base, used where the folder brings none of its own.
    """
    from variants import peft_config

    if (own := own_base(folder)) is not None:
        model = models.weights(own, precision, str(next(model.parameters()).device))
    adapters = (peft_config.load(model, folder),) if (folder / ADAPTER).is_file() else ()
    try:
        yield model, adapters
    finally:
        for adapter in adapters:
            adapter.detach()


def _reload_error(model: Any, ids: Tensor, now: Tensor, folder: Path, precision: str) -> float | None:
    """None where what was saved does not fit into memory beside the first model."""
    from suite.cost import out_of_memory

    try:
        with reopened(model, folder, precision) as (again, adapters):
            return _change(logits(again, ids, *adapters), now)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return None


@torch.no_grad()
def sizes(adapter: Adapter) -> tuple[dict[str, float], dict[str, DeltaRank]]:
    """(norm, ranks) of each delta, in float32 and above whatever the model computes in.

    Neither of a method that learns something beside the weights, such as new biases.
    """
    norms, ranks = {}, Ranks(adapter)
    device = next(adapter.model.parameters()).device.type
    try:
        with torch.autocast(device, enabled=False):
            for name, delta in adapter.deltas():
                norms[name] = float(torch.linalg.vector_norm(delta))
                ranks.see(name, delta)
    except VariantError:
        return {}, {}
    return norms, ranks.found


def _change(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())
