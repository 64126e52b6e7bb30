"""What training will need of a device's memory, before there are weights: one real step on the meta device.

`needs` attaches the variant to a model without weights and calls `suite.training.train.train` on rows of the
asked length, under the same count of live storages (`suite.cost.LiveTensors`) that a run's record holds on a
CPU. So whatever training does is in it: chunked losses, micro-batches, checkpointing, the optimiser's states
(they are there from the second step on, the one that is counted), a quantised base in its bits.

On CUDA the record holds what the allocator gave out at most, which differs in this:
- it rounds every tensor up to 512 bytes: nothing, next to activations;
- what no operation touches counts too, such as the weights that full fine-tuning trains a copy of: they are
  touched here (but for quantised bases, whose dense weights wait in host memory);
- cuBLAS keeps a workspace there: WORKSPACE is added;
- attention: SDPA takes flash or memory-efficient kernels, which keep their output and one number per row as
  the CPU's flash kernel does, so that one rule counts for both (`suite.training.meta`); eager attention keeps
  its probabilities on every device;
- scratch space inside kernels comes and goes unseen, on both.
The CUDA context (about half a GiB) and what the allocator holds in reserve are not in the figure but in the
MARGIN that `fits` leaves. Rows are taken as full, with every token but the first learned: no batch of that
length needs more. What a data-driven start holds while it looks at its examples comes before training and is
not counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from suite import model as models
from suite.record import Recipe, StepFlops

if TYPE_CHECKING:
    from torch import Tensor, nn

    from suite.training.encode import Encoded
    from variants.interface import Calibration, Variant
    from variants.site import Start

WORKSPACE = 32 << 20  # bytes of cuBLAS on Hopper; about 8 MiB on older cards
MARGIN = 0.05  # of the device, left free
STEPS = 2
TOLD = 2  # micro-batches: with the second one there are gradients beside its activations
OBSERVED = 2  # rows that a data-driven start is shown here: their number changes no shape


@dataclass(frozen=True)
class Needs:
    """What one variant needs: bytes at the peak of a step, layers that it adapts, numbers that train.

    `trainable` and `flops`, the operations of a step, are those of the first phase.
    """

    peak: int
    adapted: tuple[str, ...]
    trainable: int
    flops: StepFlops


@dataclass(frozen=True)
class Work:
    """How training goes, as far as memory goes.

    A step has the examples `rows`, or, where they are not known, `recipe.batch_size` full rows of `length`
    tokens, all but the first of them learned.
    """

    recipe: Recipe
    length: int
    rows: tuple[Encoded, ...] = ()
    micro_batch: int | None = None
    checkpointing: bool = False
    attention: str | None = None


def needs(folder: Path, variant: Variant, work: Work, device: str) -> Needs:
    """What `variant` needs on the model whose configuration lies in `folder`. Raises VariantError, UserError.

    Without weights, without a GPU; some seconds for models of billions of parameters.
    """
    from suite.training.encode import Encoded
    from suite.training.meta import dry
    from suite.training.train import Member, train

    batch = min(work.recipe.batch_size, TOLD * (work.micro_batch or work.recipe.batch_size))
    rows = list(work.rows) or [Encoded((0,) * work.length, 1)] * batch
    recipe = work.recipe.model_copy(update={"steps": STEPS, "batch_size": len(rows)})
    model: Any = models.skeleton(folder, recipe.precision, work.attention)
    with ExitStack() as stack:
        mixed, packed = recipe.precision == "mixed", recipe.batching == "packed"
        stack.enter_context(dry(mixed, packed, experts_share(model), device.startswith("cuda")))
        stack.enter_context(_one_start_a_shape(variant))
        stack.enter_context(models.checkpointing(model, work.checkpointing))
        stack.enter_context(patch("suite.training.train.check", lambda *_: None))  # it compares numbers
        if device.startswith("cuda"):
            held = [*model.parameters(), *model.buffers()]
            stack.callback(model.register_forward_pre_hook(lambda *_: _touch(held)).remove)
        variant.check(model)
        adapter = variant.attach(model, 0, _calibration(model, rows[:OBSERVED]))
        adapted, trainable = tuple(adapter.adapted()), adapter.trainable()
        member = Member(adapter, rows, recipe, 0.0, ("memory",))
        (found,) = train(model, [member], 0, micro_batch=work.micro_batch)
    assert found.status == "ok" and found.peak_memory_bytes and found.flops, found.error
    extra = WORKSPACE if device.startswith("cuda") else 0
    return Needs(found.peak_memory_bytes + extra, adapted, trainable, found.flops)


def _touch(tensors: list[Tensor]) -> None:
    """Let the count see them."""
    for tensor in tensors:
        tensor.detach()


def capacity(device: str) -> int:
    """Bytes that are free on a device now."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(torch.device(device))[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def fits(peak: int, free: int) -> bool:
    """Whether a peak goes into `free` bytes, with the margin."""
    return peak <= (1 - MARGIN) * free


def largest_micro_batch(folder: Path, variant: Variant, work: Work, device: str, free: int) -> int | None:
    """How many rows fit at once: the whole batch halved until it does, as training halves it; None: not one.

    A peak grows at least as fast with the rows as before, so that a line between two of them lies above it.
    """

    def peak(rows: int) -> int:
        return needs(folder, variant, replace(work, micro_batch=rows), device).peak

    sizes = [work.recipe.batch_size]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] // 2)
    top, bottom = needs(folder, variant, work, device).peak, peak(1)
    if fits(top, free) or not fits(bottom, free):
        return sizes[0] if fits(top, free) else None
    slope = (top - bottom) / (sizes[0] - 1)
    sure = next(
        i for i, rows in enumerate(sizes) if rows == 1 or fits(round(bottom + slope * (rows - 1)), free)
    )
    while sure > 1 and fits(peak(sizes[sure - 1]), free):
        sure -= 1
    return sizes[sure]


def experts_share(model: Any) -> float:
    """The share of tokens that one expert sees of those that all experts see, if they are routed evenly."""
    config = model.config.get_text_config()
    count = next((n for key in EXPERTS if isinstance(n := getattr(config, key, None), int) and n), 1)
    return 1 / count


EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def _calibration(model: nn.Module, rows: list[Any]) -> Calibration:
    """Rows for a start that looks at some."""
    from suite.training.batches import collate, row_mean, token_losses
    from variants.interface import Calibration

    def losses() -> Iterator[Tensor]:
        for row in rows:
            batch = collate([row], 0, multiple=1).to(next(model.parameters()).device)
            yield row_mean(token_losses(model, batch), batch.labels)

    return Calibration(losses)


@contextmanager
def _one_start_a_shape(variant: Variant) -> Iterator[None]:
    """Inside, a layer starts as a copy of the first of its shape, where the variant starts layer by layer."""
    cls = type(variant)
    start: Any = getattr(cls, "start", None)
    if start is None:
        yield
        return
    known: dict[Any, Start] = {}

    def again(self: Any, weight: Tensor, rng: Any) -> Start:
        key = (self, tuple(weight.shape))
        if key not in known:
            known[key] = start(self, weight, rng)
        return _copied(known[key])

    with patch.object(cls, "start", again):
        yield


def _copied(start: Start) -> Start:
    """The same shapes in storages of their own."""
    base = copy(start.base)
    if base is not None:
        base._buffers = {key: None if x is None else x.clone() for key, x in base._buffers.items()}
    return replace(start, A=start.A.clone(), B=start.B.clone(), base=base)
