"""One adapted layer: Site, what a LoRA-family method starts from (Start), and the site they share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from variants.dropout import dropped
from variants.frozen import FrozenWeight
from variants.product import added, linear


@dataclass(frozen=True)
class Start:
    """Where a low-rank method starts on one layer.

    A [r, d_in] and B [d_out, r] float32; `trains` names those that train. With `pinned` the start's own
    product s*B0*A0 is taken off again, so that the layer's function at the start is exactly W x.
    `base` replaces W for this member's rows.
    """

    A: Tensor
    B: Tensor
    trains: tuple[str, ...] = ("A", "B")
    pinned: bool = False
    base: FrozenWeight | None = None


@dataclass(frozen=True)
class Factors:
    """A change that is low-rank: W_now = W + scale*B*A, A [r, d_in], B [d_out, r].

    W is the site's own base where it has one. With `magnitude` [d_out] every output row of that sum is
    brought to this norm.
    """

    A: Tensor
    B: Tensor
    scale: float
    magnitude: Tensor | None = None


class Site(nn.Module):
    """One adapted layer, held by the adapter and never registered in the model.

    `base` is the site's own frozen weight, or None when it stands on the pretrained one. It is set on the
    instance only: a class attribute of that name would hide the submodule. `moment` is (phase, step) inside
    a training step, else None, and `tokens` the numbers of its rows' tokens then (see `variants.dropout`).
    `of_parameter`: it adapts a parameter, not what a module gives out.
    """

    base: FrozenWeight | None
    of_parameter: bool = False

    def __init__(self, base: FrozenWeight | None = None) -> None:
        super().__init__()
        self.base = base
        self.moment: tuple[int, int] | None = None
        self.tokens: Tensor | None = None

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The adapted output [..., d_out] for the input x [..., d_in] and the base's output y."""
        raise NotImplementedError

    def delta(self, weight: Tensor) -> Tensor:
        """W_now - W in float32, for the pretrained weight W [d_out, d_in]."""
        raise NotImplementedError

    def factors(self) -> Factors | None:
        """The change as factors, or None where it has none."""
        return None

    def trained(self) -> dict[str, nn.Parameter]:
        """This site's parameters that train now, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def trainable(self) -> int:
        """How many numbers train now."""
        return sum(p.numel() for p in self.trained().values())


class LowRank(Site):
    """The site of the LoRA family: y + s*B(A x), in float32 whatever the base's type.

    Pinned, it computes y + s*((B - B0)(A x) + B0((A - A0) x)): zero at the start, the gradients of the
    stored residual W - s*B0*A0, and a plain LoRA of rank 2r against the untouched W.
    A `mask` on B zeroes the gradient of every entry outside it. Dropout acts on x, and only in training.
    On an embedding x are token ids: y + s*B[x] A, with B [vocabulary, r] and A [r, d], without dropout.
    """

    A0: Tensor
    B0: Tensor
    mask: Tensor | None

    def __init__(self, start: Start, scale: float, dropout: float = 0.0, embedding: bool = False) -> None:
        super().__init__(start.base)
        self.scale = scale
        self.dropout = dropout
        self.embedding = embedding
        self.key: tuple[object, ...] = ()
        self.pinned = start.pinned
        self.A = nn.Parameter(start.A.float().contiguous(), requires_grad="A" in start.trains)  # [r, d_in]
        self.B = nn.Parameter(start.B.float().contiguous(), requires_grad="B" in start.trains)  # [d_out, r]
        self.register_buffer("mask", None)
        self.register_buffer("A0", self.A.detach().clone() if start.pinned else None)
        self.register_buffer("B0", self.B.detach().clone() if start.pinned else None)

    def pair(self) -> tuple[Tensor, Tensor]:
        """The factors that the forward uses, A' [r', d_in] and B' [d_out, r'], with r' = 2r when pinned."""
        if not self.pinned:
            return self.A, self.B
        return torch.cat([self.A, self.A - self.A0], dim=-2), torch.cat([self.B - self.B0, self.B0], dim=-1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if not self.embedding:
            return together([self], x, y)
        A, B = self.pair()
        return (y.float() + self.scale * (F.embedding(x, B) @ A)).to(y.dtype)

    def whole(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
        """What the layer gives out with this site on it; None where that is more than W x + s*B(A x)."""
        wet = self.dropout and self.moment is not None
        if wet or self.base is not None or self.embedding or type(self).forward is not LowRank.forward:
            return None
        if "forward" in self.__dict__ or self._forward_hooks or self._forward_pre_hooks:
            return None
        return linear(x, weight, bias, *self.pair(), self.scale)

    def drop(self, x: Tensor) -> Tensor:
        """x under dropout: entries go by a hash of (seed, layer, phase, step), their token and feature."""
        if not self.dropout or self.moment is None:
            return x
        return dropped(x, self.dropout, self.tokens, *self.key, *self.moment)

    def delta(self, weight: Tensor) -> Tensor:
        A, B = (factor.detach() for factor in self.pair())
        product = self.scale * (B @ A)
        return product if self.base is None else self.base.dense() - weight.float() + product

    def factors(self) -> Factors | None:
        A, B = self.pair()
        return Factors(A.detach(), B.detach(), self.scale) if A.ndim == 2 else None

    def trainable(self) -> int:
        outside = 0 if self.mask is None else self.mask.numel() - int(self.mask.sum())
        return super().trainable() - outside

    def restart(self, mask: Tensor, A: Tensor | None = None) -> None:
        """Start B again at zero, training only inside the boolean `mask` [d_out, r]; a new A if given."""
        self.mask = mask
        self.B = nn.Parameter(torch.zeros_like(self.B))
        self.B.register_hook(lambda grad: grad.masked_fill(~mask, 0.0))
        if A is not None:
            self.A = nn.Parameter(A.to(self.A), requires_grad=False)

    def groupable(self, other: LowRank) -> bool:
        """Whether the two may be computed in one batched product; never where the forward is one's own."""
        own = type(self).forward is not LowRank.forward
        return not own and not self.embedding and self._kind() == other._kind()

    def _kind(self) -> tuple[object, ...]:
        return type(self), self.scale, self.pinned, self.embedding, self.A.shape, self.B.shape


class Experts(LowRank):
    """Low-rank changes of fused experts: A [experts, r, d_in] and B [experts, d_out, r] of one parameter.

    Its layer's function is the experts module's own, run with W + s*B*A in the parameter's place.
    """

    of_parameter = True

    def adapted(self, weight: Tensor) -> Tensor:
        """W + s*B*A [experts, d_out, d_in] in the weight's type, with its graph."""
        A, B = self.pair()
        return (weight.float() + self.scale * (B @ A)).to(weight.dtype)


def together(sites: Sequence[LowRank], x: Tensor, y: Tensor) -> Tensor:
    """K low-rank sites of one shape, each on its equal share of the rows of x and y, in one product."""
    if len(sites) == 1:
        return added(sites[0].drop(x), y, *sites[0].pair(), sites[0].scale)
    pairs = [site.pair() for site in sites]
    A = torch.stack([A for A, _ in pairs])  # [K, r, d_in]
    B = torch.stack([B for _, B in pairs])  # [K, d_out, r]
    if any(site.dropout and site.moment is not None for site in sites):
        x = torch.cat(
            [site.drop(part) for site, part in zip(sites, x.float().chunk(len(sites)), strict=True)]
        )
    inner = torch.bmm(x.reshape(len(sites), -1, x.shape[-1]).float(), A.mT)  # [K, n, r]
    flat = y.reshape(len(sites), -1, y.shape[-1]).float()  # [K, n, d_out]
    return torch.baddbmm(flat, inner, B.mT, alpha=sites[0].scale).view(y.shape).to(y.dtype)


def uniform(rows: int, columns: int, rng: torch.Generator, device: torch.device) -> Tensor:
    """[rows, columns] drawn from U(-1/sqrt(columns), 1/sqrt(columns)), on the CPU, so equal on any device."""
    bound = columns**-0.5
    return torch.empty(rows, columns).uniform_(-bound, bound, generator=rng).to(device)


def generator(seed: int, *parts: object, device: torch.device | None = None) -> torch.Generator:
    """A generator (on the CPU if not told) seeded by a stable hash of (seed, parts)."""
    text = "\x1f".join(str(part) for part in (seed, *parts))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator(device or "cpu").manual_seed(number)
