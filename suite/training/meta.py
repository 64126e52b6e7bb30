"""Real training code on torch's meta device: every shape and storage is there, no number is.

Inside `dry()` a step runs as on a CPU or GPU and allocates nothing, so that its memory can be counted. Three
things have to be answered in the place of the machine:

- a number asked for (`.item()`, a comparison): 1, or True; a tensor taken to the CPU: ones.
- which attention kernel runs. Meta tensors would take the plain one, which keeps all probabilities; SDPA on
  a CPU and on CUDA takes a kernel that keeps its output and one number per row (flash, memory-efficient).
- autocast, which knows no meta device: products cast to bfloat16 as its list says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, partialmethod
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
SDPA = F.scaled_dot_product_attention
PRODUCTS = (
    *((F, name) for name in ("linear", "scaled_dot_product_attention")),
    *((torch, name) for name in ("matmul", "mm", "bmm", "addmm", "baddbmm", "einsum")),
    *((Tensor, name) for name in ("matmul", "__matmul__", "mm", "bmm", "addmm")),
)


@contextmanager
def dry(mixed: bool = False, packed: bool = False, share: float = 1.0, gpu: bool = False) -> Iterator[None]:
    """Inside, code on the meta device runs to its end.

    `mixed`: as under autocast to bfloat16. `packed`: rows hold several examples. `share`: of all tokens, how
    many each expert is sent. `gpu`: what differs there, which is how bfloat16 is
    multiplied (`variants.product`) and where replaced weights wait (`variants.parking`).
    """
    import torch._meta_registrations  # the optimiser's kernel, among others
    from torch.utils import _foreach_utils

    fused, foreach = (
        _foreach_utils._get_fused_kernels_supported_devices(),
        _foreach_utils._get_foreach_kernels_supported_devices(),
    )
    with ExitStack() as stack:
        for module, name, devices in (
            ("torch.optim.optimizer", "_get_fused_kernels_supported_devices", fused),
            ("torch.optim.optimizer", "_get_foreach_kernels_supported_devices", foreach),
            ("torch.utils._foreach_utils", "_get_foreach_kernels_supported_devices", foreach),
        ):
            known = [*devices, "meta"]
            stack.enter_context(patch(f"{module}.{name}", lambda known=known: known))
        # An iteration that ends when numbers say so would not end here; without it all vectors are taken.
        stack.enter_context(patch("variants.decompose.leading", lambda *_: None))
        casts = _Casts(mixed)
        stack.enter_context(patch.object(torch, "autocast", partial(_autocast, casts, torch.autocast)))
        stack.enter_context(patch.object(torch, "clear_autocast_cache", casts.kept.clear))
        for owner, name in PRODUCTS:
            stack.enter_context(patch.object(owner, name, _product(casts, getattr(owner, name))))
        stack.enter_context(patch.object(Tensor, "data_ptr", partialmethod(_place, Tensor.data_ptr)))
        for name, twin in (
            ("variants.product._mixes", lambda _, dtype: gpu and dtype is torch.bfloat16),
            ("variants.parking.away", lambda _: gpu),
            ("variants.parking.to_host", lambda weight: weight.new_empty(()).expand(weight.shape)),
        ):
            stack.enter_context(patch(name, twin))
        if packed:  # without numbers a row looks like one example, which needs no mask
            told = "transformers.masking_utils.find_packed_sequence_indices"
            stack.enter_context(patch(told, torch.zeros_like))
        stack.enter_context(_Answers(share))
        yield


class _Answers(TorchDispatchMode):
    """Gives an answer where a number of a meta tensor is asked for, or a kernel has no meta twin."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.answers: dict[Any, Callable[..., Any]] = {
            aten._local_scalar_dense.default: _number,
            aten.equal.default: lambda x, y: True,
            aten._to_copy.default: _copied,
            aten.nonzero.default: lambda x: _places(x, share),
            aten._grouped_mm.default: _grouped,
        }

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        answer = self.answers.get(func)
        if answer is not None and args[0].is_meta:
            found = answer(*args, **kwargs)
            if found is not None:
                return found
        return func(*args, **kwargs)


def _number(x: Tensor) -> bool | float | int:
    return True if x.dtype is torch.bool else 1.0 if x.dtype.is_floating_point else 1


def _copied(x: Tensor, dtype: torch.dtype | None = None, device: Any = None, **_: Any) -> Tensor | None:
    """A tensor taken from the meta device; None for one that stays there."""
    if device is None or torch.device(device).type == "meta":
        return None
    return torch.ones(x.shape, dtype=dtype or x.dtype, device=device)


def _places(x: Tensor, share: float) -> Tensor:
    """Where a tensor is not zero: everywhere in a vector, in a table at a share of its places."""
    count = x.numel() if x.ndim == 1 else round(x.numel() * share)
    return torch.empty(max(1, count), x.ndim, dtype=torch.long, device="meta")


def _grouped(a: Tensor, b: Tensor, offs: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    """The product of grouped matrices: [n, k] x [groups, k, m], or [k, n] x [n, m] to [groups, k, m]."""
    if a.ndim == b.ndim == 2:
        assert offs is not None
        return a.new_empty(len(offs), a.shape[0], b.shape[1])
    return a.new_empty(*a.shape[:-1], b.shape[-1])


class _Casts:
    """What autocast does: products take bfloat16, and the copies of what trains are kept."""

    def __init__(self, on: bool) -> None:
        self.on = on
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}

    @contextmanager
    def switched(self, on: bool) -> Iterator[None]:
        """Inside, products are cast or not."""
        held, self.on = self.on, on
        try:
            yield
        finally:
            self.on = held

    def __call__(self, x: Any) -> Any:
        """An argument of a product."""
        if isinstance(x, list | tuple):
            return type(x)(self(one) for one in x)
        if not isinstance(x, Tensor) or x.dtype is not torch.float32:
            return x
        if not (x.is_leaf and x.requires_grad and torch.is_grad_enabled()):
            return x.to(torch.bfloat16)
        if id(x) not in self.kept:
            self.kept[id(x)] = (x, x.to(torch.bfloat16))
        return self.kept[id(x)][1]


def _autocast(casts: _Casts, real: Any, device: str, *args: Any, **kwargs: Any) -> Any:
    """torch.autocast; on the meta device it turns the casts of `dry` on and off."""
    if device != "meta":
        return real(device, *args, **kwargs)
    return casts.switched(kwargs.get("enabled", True))


def _product(casts: _Casts, real: Callable[..., Any]) -> Callable[..., Any]:
    """A product of matrices as a machine would compute it. As a function, so that it may be a method too."""

    def product(*args: Any, **kwargs: Any) -> Any:
        if casts.on:
            args = tuple(casts(x) for x in args)
            kwargs = {key: casts(x) for key, x in kwargs.items()}
        if real is SDPA and args[0].is_meta:
            return _attention(*args, **kwargs)
        return real(*args, **kwargs)

    return product


def _place(x: Tensor, real: Callable[[Tensor], int]) -> int:
    """data_ptr; on the meta device it is 0 everywhere, which would make all tensors one."""
    if not x.is_meta:
        return real(x)
    return x.untyped_storage()._cdata + x.storage_offset() * x.element_size()


def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Scaled dot product attention by the flash kernel."""
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=q.dtype)
    elif attn_mask is not None:
        attn_mask = attn_mask.to(q.dtype)
    kernel = aten._scaled_dot_product_flash_attention_for_cpu
    return kernel(q, k, v, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]
