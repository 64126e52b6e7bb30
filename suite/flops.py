"""The floating-point operations of a training step, counted as it runs.

The formulas are those of torch's own counter (`torch.utils.flop_counter`): a product of [m, n] and [n, k] is
2mnk, and attention is the products of its kernel (the backward of a flash kernel makes the scores once more),
with no triangle taken off for causal attention. What is no product (softmax, norms, optimisers, a solved
system) counts nothing. torch has no formula for three operations that training here runs, and would leave
them out: the product added in place, the CPU's flash attention, and the grouped product of fused experts.

It counts what runs. So activations that are computed again count once more, in the backward; a product that
is split in two types (`variants.product`, bfloat16 on a GPU) counts with its parts; rows count with their
padding; and the output embedding counts at the learned tokens only, for only there are logits made.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from suite.spent import StepFlops

aten = torch.ops.aten


def _grouped(a: Any, b: Any, *_: Any, out_val: Any, **__: Any) -> int:
    """Groups of the rows of `a`; or, where both are tables, of the columns that are summed over."""
    if a.ndim == b.ndim == 2:
        return 2 * a.numel() * b.shape[-1]
    return 2 * out_val.numel() * a.shape[-1]


ADDED = {
    aten.addmm_: flop_registry[aten.addmm],
    aten._grouped_mm: _grouped,
    aten._scaled_dot_product_flash_attention_for_cpu: flop_registry[aten._scaled_dot_product_flash_attention],
    aten._scaled_dot_product_flash_attention_for_cpu_backward: flop_registry[
        aten._scaled_dot_product_flash_attention_backward
    ],
}
FORMULAS = {**flop_registry, **ADDED}


class Products(TorchDispatchMode):
    """Inside, counts the operations of matrix products: `backward` those that autograd's backward runs.

    torch's FlopCounterMode counts the same with these formulas, but hangs hooks on every module and tells no
    forward from backward. This mode only looks on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forward = self.backward = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = FORMULAS.get(getattr(func, "_overloadpacket", None))
        if formula is not None:
            found = formula(*args, **(kwargs or {}), out_val=result)
            if torch._C._current_graph_task_id() == -1:
                self.forward += found
            else:
                self.backward += found
        return result

    def found(self, tokens: int) -> StepFlops:
        """The count, of a step of so many tokens."""
        return StepFlops(forward=self.forward, backward=self.backward, tokens=tokens)
