"""How long inference takes: the base, the base with an adapter beside it, and the deltas merged into it.

Batch 1, without a cache: the fixed text of `suite.effect` at once, and its first token alone, where what an
adapter adds to each layer weighs most. The three take turns, so that a busy machine weighs on all alike. The
first round, and one forward of every turn, only warm up.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from suite.cost import Stopwatch, out_of_memory
from suite.spent import Latency, Times
from variants import parking
from variants.export import merge
from variants.interface import Adapter, VariantError
from variants.plain import standing
from variants.route import routed

ROUNDS = 6  # the first is not counted
TOKENS = 2  # forwards of one token in a turn; of the text one


@torch.no_grad()
def latency(model: Any, ids: Tensor, adapter: Adapter) -> Latency:
    """Milliseconds of a forward of the text `ids` [1, n] and of its first token.

    Merged weights stand in the place of the model's own, which are not written: they are what they were.
    """
    device = next(model.parameters()).device
    ids = ids.to(device)
    ways: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        "base": partial(_in_place, adapter, {}),
        "adapter": partial(routed, model, adapter),
    }
    if (weights := merged(adapter)) is not None:
        ways["merged"] = partial(_in_place, adapter, weights)
    prompt, token = defaultdict(list), defaultdict(list)
    for i in range(ROUNDS):
        for name, way in ways.items():
            with way():
                _forward_ms(model, ids[:, :1])
                whole = _forward_ms(model, ids)
                one = [_forward_ms(model, ids[:, :1]) for _ in range(TOKENS)]
            if i:
                prompt[name].append(whole)
                token[name].extend(one)
    medians = {
        name: Times(prompt_ms=statistics.median(prompt[name]), token_ms=statistics.median(token[name]))
        for name in ways
    }
    return Latency(tokens=ids.numel(), **{"merged": None, **medians})


def merged(adapter: Adapter) -> dict[str, nn.Parameter] | None:
    """The weights with the deltas added; None where there are none, or they do not fit beside the base."""
    try:
        return {name: nn.Parameter(w, requires_grad=False) for name, w in merge(adapter).items()}
    except VariantError:
        return None
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return None


@contextmanager
def _in_place(adapter: Adapter, weights: dict[str, nn.Parameter]) -> Iterator[None]:
    """Inside, the model computes without the adapter, with these weights in the place of its own."""
    parking.bring_back(adapter.model.modules())  # one that waits elsewhere would come back into their place
    with standing(adapter.model, weights, apart=not adapter.variant.trains_base):
        yield


def _forward_ms(model: Any, ids: Tensor) -> float:
    """Milliseconds of one forward, to its end."""
    watch = Stopwatch()
    with watch.on(str(ids.device)):
        model(input_ids=ids, use_cache=False)
    return 1e3 * watch.wall
