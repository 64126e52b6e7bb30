"""Fused experts: one parameter holds the weights of all of them, so the weights are adapted, not the outputs.

Inside a route the experts' module runs as it is, on W + s*B*A in the place of W; the sum exists for the
length of a forward. Only one adapter can be on at a time: its rows are not told apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from variants.route import restore
from variants.site import Experts


class ExpertsForward:
    """Stands in for the forward of an experts module inside a route."""

    def __init__(self, module: nn.Module, sites: Mapping[str, Experts]) -> None:
        self.module, self.sites = module, sites
        self.own = module.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        held = {key: self.module._parameters[key] for key in self.sites}
        slots: dict[str, Any] = self.module._parameters  # pyright: ignore[reportAssignmentType]
        try:
            for key, site in self.sites.items():
                slots[key] = site.adapted(slots[key])
            return self.own(*args, **kwargs)
        finally:
            slots.update(held)


@contextmanager
def installed(model: nn.Module, sites: Mapping[str, Experts]) -> Iterator[None]:
    """Inside, the experts named by their parameters ("...mlp.experts.down_proj") run adapted."""
    by_module: dict[str, dict[str, Experts]] = defaultdict(dict)
    for name, site in sites.items():
        parent, _, key = name.rpartition(".")
        by_module[parent][key] = site
    with ExitStack() as stack:
        for name, parts in by_module.items():
            module = model.get_submodule(name)
            stack.callback(restore, module, module.__dict__.get("forward"))
            module.__dict__["forward"] = ExpertsForward(module, parts)
        yield
