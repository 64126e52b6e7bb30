"""What the conformance checks look with: a small training loop, pictures of a model, gradients of a pack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from variants.interface import Adapter, Calibration, Variant, VariantError
from variants.lowrank import LowRankVariant
from variants.route import routed
from variants.spec import said

STEPS = 4  # of each phase; a product of two factors of which one starts at zero moves from the second on
RATE = 3e-3
CLOSE = 2e-5  # of the largest logit: two orders of the same float32 sums differ by 1e-6, a wrong one by 1e-3
EXAMPLES = 16  # for a start that looks at data, at most

Watch = Callable[[str, Adapter, int, Tensor], None]


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

    At s = 1 a forgotten s would not show, and without dropout not where its draws come from.
    """
    if not isinstance(variant, LowRankVariant):
        return variant
    found = variant
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
    return _mean_loss(outputs(model, tokens), tokens)


def _mean_loss(logits: Tensor, tokens: Tensor) -> Tensor:
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


def trained(variant: Variant, probe: Probe) -> tuple[nn.Module, Adapter]:
    """A fresh model and the variant on it after a few steps of every phase."""
    model = probe.make_model()
    adapter = attach(variant, probe, model)
    train(model, adapter, probe.few)
    return model, adapter


def gap(one: Tensor, two: Tensor) -> float:
    """Largest difference, relative to the largest of `two`."""
    return float((one - two).abs().max() / two.abs().max())


def agree(one: Tensor, two: Tensor, what: str) -> str:
    """A note on how close two sets of logits are; a Fault where rounding does not explain it."""
    found = gap(one, two)
    if not found <= CLOSE:
        raise Fault(f"{what}: logits differ by {found:.2g} of the largest (allowed {CLOSE:.0e})")
    return f"logits differ by {found:.1g}"


def train(
    model: nn.Module, adapter: Adapter, tokens: Tensor, steps: int = STEPS, watch: Watch | None = None
) -> None:
    """Every phase as the suite trains it: AdamW without decay, all rows in each step.

    `watch(moment, adapter, phase, loss)` is called at "backward" (gradients are there), "step" (the step is
    taken) and "end" (of the phase).
    """
    tell = watch or (lambda *_: None)
    for phase in range(adapter.variant.phases):
        try:
            for moment, found in _phase(model, adapter, tokens, phase, steps):
                tell(moment, adapter, phase, found)
        except Fault:
            raise
        except (Exception, SystemExit) as error:
            raise Fault(f"phase {phase}: {said(error)}", of="trains") from error


def _phase(
    model: nn.Module, adapter: Adapter, tokens: Tensor, phase: int, steps: int
) -> Iterator[tuple[str, Tensor]]:
    if phase:
        adapter.enter(phase)
    adapter.begin(steps)
    groups = [(list(group.params.values()), RATE * group.lr_scale) for group in adapter.groups()]
    if not any(params for params, _ in groups):
        raise Fault(f"nothing trains in phase {phase}: groups() is empty", of="phases")
    optimizer = torch.optim.AdamW(
        [{"params": params, "lr": rate} for params, rate in groups], weight_decay=0, eps=1e-12
    )
    total, alive = torch.zeros(()), False
    for step in range(steps):
        with stepping(adapter, step), routed(model, adapter):
            total = loss(model, tokens)
            penalty = adapter.penalty()
            total = total if penalty is None else total + penalty
            total.backward()
        alive = (
            _alive(total, [p for params, _ in groups for p in params], f"phase {phase}, step {step}") or alive
        )
        yield "backward", total
        optimizer.step()
        adapter.stepped(step)
        optimizer.zero_grad(set_to_none=True)
        yield "step", total
    if not alive:
        raise Fault(f"phase {phase}: every gradient is zero", of="trains")
    yield "end", total


def _alive(total: Tensor, params: list[nn.Parameter], when: str) -> bool:
    """Whether any gradient is not zero; a Fault if one is not finite."""
    grads = [p.grad for p in params if p.grad is not None]
    if not all(torch.isfinite(number).all() for number in (total, *grads)):
        raise Fault(f"{when}: the loss or a gradient is not finite", of="trains")
    return any(grad.any() for grad in grads)


@contextmanager
def stepping(adapter: Adapter, step: int) -> Iterator[None]:
    """Inside, the adapter knows that it trains, and at which step."""
    adapter.step = step
    try:
        yield
    finally:
        adapter.step = None


def gradients(
    model: nn.Module, members: Sequence[Adapter], tokens: Tensor, rows: Sequence[slice]
) -> list[dict[str, Tensor]]:
    """Each member's gradients for the sum of the members' own mean losses, in one pass of training step 0.

    Member k owns `rows[k]` of the batch; its loss is that of these rows.
    """
    for member in members:
        member.step = 0
    try:
        with routed(model, *members, rows=rows):
            found = outputs(model, tokens)
            extra = [e for member in members if (e := member.penalty()) is not None]
            torch.stack([*(_mean_loss(found[span], tokens[span]) for span in rows), *extra]).sum().backward()
    finally:
        for member in members:
            member.step = None
    return [_taken(member) for member in members]


def _taken(member: Adapter) -> dict[str, Tensor]:
    """The member's gradients by name, taken off its parameters."""
    found = {}
    for group in member.groups():
        for name, p in group.params.items():
            found[name] = torch.zeros_like(p) if p.grad is None else p.grad.clone()
            p.grad = None
    return found


def distance(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """Largest difference of two sets of gradients, relative to the largest gradient of its tensor.

    A tensor whose gradients are a millionth of the largest and less is measured against that millionth.
    """
    most = max(float(grad.abs().max()) for grad in two.values())
    if not most:
        raise Fault("all gradients are zero", of="trains")
    return max(
        float((one[name] - grad).abs().max()) / max(float(grad.abs().max()), 1e-6 * most)
        for name, grad in two.items()
    )


def leaves(total: Tensor) -> list[Tensor]:
    """Every tensor that a backward from `total` gives a gradient to."""
    found, seen, stack = [], set(), [total.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if type(node).__name__ == "AccumulateGrad":
            found.append(node.variable)  # pyright: ignore[reportAttributeAccessIssue]
        stack += [after for after, _ in node.next_functions]
    return found


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
