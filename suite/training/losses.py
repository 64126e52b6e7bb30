"""The loss of a batch: cross-entropy of its labels, whose logits are never all there at once where many.

Logits are made at the labels' positions only, never of the prompt. Where they would be more than LIMIT
numbers, they are made piece by piece: the body of the model runs once, and its head (with whatever the model
does to hidden states before it and to logits after it) runs again and again on pieces of the hidden states,
each with its own loss and backward. What the pieces say is the model's own doing: its forward is called with
a body that gives out the piece. That this is right is proved on the first batch of each model; a model on
which it is not is run in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.cost import out_of_memory
from suite.kernels import narrowed
from variants.forward import AdaptedForward
from variants.route import restore

if TYPE_CHECKING:
    from suite.training.batches import Batch

IGNORE = -100
LIMIT = (
    1 << 25
)  # numbers of logits that are there at once: 128 MiB in float32, and as much again for each copy
PROBED = 4  # labels of a batch on which pieces are compared with the whole
Around = Callable[[Tensor, Tensor], AbstractContextManager[None]]
Judge = Callable[[Tensor, Tensor], Tensor]  # (logits, labels) -> what is said of each label


class Spots(NamedTuple):
    """Where logits are wanted: rows and positions [1, N], or [B, R] where rows must stay rows; and labels."""

    rows: Tensor
    positions: Tensor
    labels: Tensor  # IGNORE where none is

    def piece(self, start: int, stop: int) -> Spots:
        """Columns start..stop."""
        return Spots(*(part[:, start:stop] for part in self))


def spots(model: Any, batch: Batch) -> Spots:
    """The labels of a batch in one line, or row by row where the head tells rows apart."""
    if _tells_rows_apart(_head(model)):
        rows = torch.arange(len(batch.ids), device=batch.ids.device)[:, None].expand_as(batch.positions)
        return Spots(rows, batch.positions, batch.labels)
    rows, columns = batch.learned
    return Spots(rows[None], batch.positions[rows, columns][None], batch.labels[rows, columns][None])


def token_losses(model: Any, batch: Batch) -> Tensor:
    """Negative log-likelihood in nats of every label, float32 [B, R]; 0 where there is no label.

    With a graph it is computed in one piece; `learn` computes gradients piece by piece.
    """
    return _judged(model, batch, _losses)


@torch.no_grad()
def losses_and_hits(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """The same losses, and 1 where the label is the model's first choice, else 0; both float32 [B, R]."""
    return _judged(model, batch, _losses_and_hits).unbind(-1)  # pyright: ignore[reportReturnType]


def _judged(model: Any, batch: Batch, judge: Judge) -> Tensor:
    """What `judge` says of every label, [B, R, ...]; 0 where there is none."""
    at = spots(model, batch)
    body = None if torch.is_grad_enabled() else _body_of_many(model, batch, at)
    if body is None:
        found = _whole(model, batch, at, judge=judge)
    else:
        found = _by_pieces(model, body, batch, at, judge=judge)
    if at.labels.shape == batch.labels.shape and at.labels is batch.labels:
        return found
    places = found.new_zeros((*batch.labels.shape, *found.shape[2:]))
    return places.index_put(tuple(batch.learned), found.flatten(0, 1))


def learn(model: Any, batch: Batch, weights: Tensor, around: Around | None = None) -> Tensor:
    """Run the backward of the sum of weights[b] * losses[b, r]; gives the losses [B, R] without a graph.

    `weights` [B] are those of the rows. `around(rows, positions)` is entered for each run of the head, which
    sees these tokens only.
    """
    at = spots(model, batch)
    body = _body_of_many(model, batch, at, around)
    if body is not None:
        losses = _by_pieces(model, body, batch, at, weights, around)
    else:
        losses = _whole(model, batch, at, around)
        (losses * weights[at.rows]).sum().backward()
    if at.labels is batch.labels:
        return losses.detach()
    return losses.new_zeros(batch.labels.shape).index_put(tuple(batch.learned), losses.detach().flatten())


def row_mean(losses: Tensor, labels: Tensor) -> Tensor:
    """The mean loss per label over some rows of a batch: one member's own loss."""
    return losses.sum() / (labels != IGNORE).sum()


@contextmanager
def logits_at(
    model: Any, positions: Tensor, rows: Tensor | None = None, around: Around | None = None
) -> Iterator[None]:
    """Inside, the output embedding sees only `positions` [B, R] of the hidden states: logits are [B, R, V].

    The gather happens before the model's own head, so that what a model does to its logits still happens.
    Rows stay rows, so that a route still holds, unless `rows` of the positions' shape says which to take.
    """
    head = _head(model)
    if rows is None:
        rows = torch.arange(positions.shape[0], device=positions.device)[:, None]
    handle = head.register_forward_pre_hook(lambda _, args: (args[0][rows, positions], *args[1:]))
    try:
        with nullcontext() if around is None else around(rows, positions):
            yield
    finally:
        handle.remove()


def _whole(
    model: Any, batch: Batch, at: Spots, around: Around | None = None, judge: Judge | None = None
) -> Tensor:
    """The losses (or what `judge` says) at these spots, in their shape, in one piece."""
    with logits_at(model, at.positions, at.rows, around):
        logits = model(**batch.inputs(model), use_cache=False).logits
    return (judge or _losses)(logits, at.labels)


def _by_pieces(
    model: Any,
    body: Any,
    batch: Batch,
    at: Spots,
    weights: Tensor | None = None,
    around: Around | None = None,
    judge: Judge | None = None,
) -> Tensor:
    """The losses (or what `judge` says) at these spots without a graph.

    With `weights` [B] the backward of the losses' sum runs too.
    """
    output = _given_out(model, body, batch)
    hidden = output.last_hidden_state
    gathered = hidden[at.rows, at.positions]
    source = gathered.detach()
    gradient = None if weights is None else torch.zeros_like(source)
    size = max(1, LIMIT // (at.rows.shape[0] * _vocabulary(model)))
    found = []
    for start in range(0, source.shape[1], size):
        piece = slice(start, start + size)
        part, one = source[:, piece], at.piece(start, start + size)
        if gradient is None or weights is None:
            logits = _head_on(model, body, output, part, one, around)
            found.append((judge or _losses)(logits, one.labels))
            continue
        part = part.clone().requires_grad_()
        losses = _losses(_head_on(model, body, output, part, one, around), one.labels)
        (losses * weights[one.rows]).sum().backward()
        assert part.grad is not None, "the head gives no gradient to hidden states"
        gradient[:, piece] = part.grad
        found.append(losses.detach())
        del part, losses
    if gradient is not None and gathered.requires_grad:
        gathered.backward(gradient)
    return torch.cat(found, dim=1)


def _given_out(model: Any, body: Any, batch: Batch) -> Any:
    """What the body gives out when the model runs, with logits of next to nothing."""
    found: list[Any] = []
    handle = body.register_forward_hook(lambda _, args, output: found.append(output))
    try:
        with logits_at(model, batch.positions[:, :1]):
            model(**batch.inputs(model), use_cache=False)
    finally:
        handle.remove()
    return found[0]


def _head_on(
    model: Any, body: Any, output: Any, hidden: Tensor, at: Spots, around: Around | None = None
) -> Tensor:
    """The model's logits for hidden states that stand in for what its body gives out."""
    made = type(output)(**{**output, "last_hidden_state": hidden})
    held = body.__dict__.get("forward")
    body.__dict__["forward"] = lambda *_, **__: made
    try:
        with nullcontext() if around is None else around(at.rows, at.positions):
            return model.forward(input_ids=at.positions, use_cache=False).logits
    finally:
        restore(body, held)


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every label in float32; 0 where there is none."""
    flat = _CrossEntropy.apply(logits.flatten(0, 1).float(), labels.flatten())
    return cast(Tensor, flat).view_as(labels)


def _losses_and_hits(logits: Tensor, labels: Tensor) -> Tensor:
    """The losses and whether the label is the first choice, [..., 2]."""
    return torch.stack([_losses(logits, labels), (logits.argmax(-1) == labels).float()], dim=-1)


class _CrossEntropy(torch.autograd.Function):
    """-log softmax(logits [N, V])[n, label n], 0 where the label is IGNORE.

    The logarithms become the gradient in their own place: one tensor of the logits' size is kept where
    torch's own has three, and a graph is good for one backward.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        logs = F.log_softmax(logits, dim=-1)
        there = labels != IGNORE
        spot = labels.where(there, 0)[:, None]
        ctx.kept = (logs, spot, there)
        return torch.where(there, -logs.gather(1, spot)[:, 0], 0.0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        if ctx.kept is None:
            raise RuntimeError("the loss of a batch goes backward once; compute it again")
        (logs, spot, there), ctx.kept = ctx.kept, None
        weight = (grads[0] * there)[:, None]
        gradient = logs.exp_().mul_(weight)
        return gradient.scatter_add_(1, spot, -weight), None


def _head(model: Any) -> nn.Module:
    head: nn.Module | None = model.get_output_embeddings()
    if head is None:
        raise ValueError(f"{type(model).__name__} has no output embedding")
    return head


def _tells_rows_apart(head: nn.Module) -> bool:
    """Whether several members of a route adapt the head."""
    forward = head.__dict__.get("forward")
    return isinstance(forward, AdaptedForward) and len(forward.sites) > 1


def _vocabulary(model: Any) -> int:
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    return int(config.vocab_size)


_bodies: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def _body_of_many(model: Any, batch: Batch, at: Spots, around: Around | None = None) -> Any:
    """The body of a model whose logits are too many to be there at once; None: run it in one piece."""
    if at.labels.numel() * _vocabulary(model) <= LIMIT:
        return None
    if model not in _bodies:
        candidates = [model.base_model, model.get_decoder() if hasattr(model, "get_decoder") else None]
        others = (body for body in candidates if body not in (None, model))
        proved = (body for body in others if proves(model, body, batch, at, around))
        _bodies[model] = next(proved, None)
    return _bodies[model]


@torch.no_grad()
def proves(model: Any, body: Any, batch: Batch, at: Spots, around: Around | None = None) -> bool:
    """Whether the head on pieces of what `body` gives out makes the model's own logits, on a few labels."""
    at = at.piece(0, PROBED)
    with torch.random.fork_rng(devices=[batch.ids.device] if batch.ids.is_cuda else []):
        with logits_at(model, at.positions, at.rows, around):
            expected = model(**batch.inputs(model), use_cache=False).logits.float()
        try:
            output = _given_out(model, body, batch)
            hidden = output.last_hidden_state[at.rows, at.positions]
            parts = [
                _head_on(model, body, output, hidden[:, i : i + 1], at.piece(i, i + 1), around)
                for i in range(hidden.shape[1])
            ]
        except (AttributeError, TypeError, ValueError, IndexError, KeyError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            return False  # a model of another build
    found = torch.cat(parts, dim=1).float()
    exact = hidden.dtype == torch.float32 and not narrowed(batch.ids.device)
    near = 1e-4 if exact else 3e-2
    return found.shape == expected.shape and bool(
        (found - expected).abs().max() <= near * expected.abs().max()
    )
