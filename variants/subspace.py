"""The leading left singular subspace of a matrix by Chebyshev-filtered subspace iteration, with a check.

A block Q of r + max(r, 32) columns starts as W times random columns (Halko et al., arXiv 0909.4061). Each
round orthonormalises it, takes Ritz values t and vectors of G = W W^T in it, and applies a polynomial of G
that stays within [-1, 1] on [0, t_last] and grows fastest beyond (Zhou et al., J. Comput. Phys. 219, 2006,
section 3), until the leading r columns have left nothing outside. Products cost far less than a
decomposition, and a wide block needs only the gap from t_r to t_last, which a flat spectrum has too.

Nearly all rounds run in float32. G squares the condition number, so rounding hides what is more than SPAN
below its largest eigenvalue. Where the wanted spectrum reaches further down, the part that has converged is
projected out of W and the rest goes on against its own, smaller, largest eigenvalue. In the end the whole
block meets W in float64, which decides.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

GOAL = 0.6  # what the float32 rounds aim at, of the tolerance
SPAN = {torch.float32: 64.0, torch.float64: math.inf}  # largest over smallest eigenvalue of G found at a time
RANGE = {torch.float32: 1e8, torch.float64: 1e13}  # how far one filter may drive two columns apart
BUDGET = {torch.float32: 6, torch.float64: 2}  # columns that G may be applied to, in smaller sides of W


def leading(W: Tensor, exact: Tensor, rank: int, tolerance: float) -> tuple[Tensor, Tensor, Tensor] | None:
    """The leading singular triplets of the wide float32 W [k, l] in float64: [k, rank], [rank], [l, rank].

    `exact` is W in float64. None where the left vectors are not known to be within `tolerance` (sine of the
    largest angle) of the true subspace: no gap in the spectrum, values below 1e-5 of the largest, or the
    budget spent.
    """
    rng, spare = torch.Generator().manual_seed(0), max(rank, 32)
    G = _gram_if_long(W, rank + spare)
    start = torch.randn(len(W) if G is not None else W.shape[1], rank + spare, generator=rng).to(W)
    block = (W if G is None else G) @ start
    found, largest = block[:, :0], 0.0
    while True:
        missing = rank - found.shape[1]
        block, values, sure, _ = filtered(W, G, block, missing, GOAL * tolerance)
        largest = max(largest, values[0].item())
        if not sure or values[missing - 1] <= 1e-10 * largest:
            return None
        if sure == missing:
            break
        part, block = block[:, :sure], block[:, sure:]
        found, W = torch.cat([found, part], dim=1), W - part @ (part.T @ W)
        G = _gram_if_long(W, block.shape[1])
    block = torch.cat([found, block], dim=1)[:, : rank + spare // 2]
    left, values, sure, right = filtered(exact, None, block.double(), rank, tolerance)
    if sure < rank:
        return None
    S = values[:rank].sqrt()
    return left[:, :rank], S, right[:, :rank] / S


def _gram_if_long(W: Tensor, columns: int) -> Tensor | None:
    """G where W is so long that even a few products of G with `columns` columns pay for it."""
    return gram(W) if 2 * columns * W.shape[1] >= W.shape[0] ** 2 else None


def gram(W: Tensor) -> Tensor:
    """W W^T [k, k] for W [k, l], in 9/16 of the work: strips up to the diagonal, then mirrored."""
    G, step = W.new_empty(len(W), len(W)), -(-len(W) // 8)
    for i in range(0, len(W), step):
        strip = slice(i, i + step)
        torch.mm(W[strip], W[: i + step].T, out=G[strip, : i + step])
        G[:i, strip] = G[strip, :i].T
    return G


def filtered(
    W: Tensor, G: Tensor | None, Q: Tensor, rank: int, goal: float
) -> tuple[Tensor, Tensor, int, Tensor]:
    """Ritz vectors Q [k, d] and values [d] of W W^T from a block [k, d]; how many of `rank` are sure; W^T Q.

    Sure are all `rank` once their leak is within `goal`, or in float32 where rounding stops progress; only
    those within SPAN of the largest where no more have converged; none once the budget is spent. `G` is
    W W^T, or None to make it when it pays, which in float64 it never does; with G, W^T Q is left empty.
    """
    last, spent = math.inf, 0
    while True:
        Q = torch.linalg.qr(Q)[0]
        right = W.T @ Q if G is None else Q[:0]
        Z = W @ right if G is None else G @ Q
        values, turn = torch.linalg.eigh(Q.T @ Z)
        values, turn = values.flip(0), turn.flip(1)
        Q, Z, right = Q @ turn, Z @ turn, right @ turn
        leaks = leak_bounds(Q, Z, values, rank)
        leak = leaks.norm().item()
        upper = int((values[:rank] >= values[0] / SPAN[W.dtype]).sum())
        if leak <= goal or (W.dtype == torch.float32 and last / 3 < leak < 1e-2):
            return Q, values, rank, right
        if upper < rank and leaks[:upper].norm() <= goal:
            return Q, values, upper, right
        cut, degree = _filter(values, rank, goal / leak, W.dtype)
        spent += (degree + 2) * Q.shape[1]
        if spent > BUDGET[W.dtype] * W.shape[0]:
            return Q, values, 0, right
        if G is None and W.dtype == torch.float32 and 2 * degree * Q.shape[1] > W.shape[0]:
            G = gram(W)  # costs less than that many products with W and W^T
        before, Q, last = Q, (2 / cut) * Z - Q, leak
        for _ in range(degree - 1):  # C_{i+1} = 2 (2 G / cut - 1) C_i - C_{i-1}
            first, second = (W, W.T @ Q) if G is None else (G, Q)
            before, Q = Q, torch.addmm(before, first, second, beta=-1, alpha=4 / cut).sub_(Q, alpha=2)


def _filter(values: Tensor, rank: int, factor: float, dtype: torch.dtype) -> tuple[float, int]:
    """(cut, degree) of the filter on [0, cut] that shrinks the leak to `factor` of it, as far as RANGE lets.

    The block's last Ritz values lag behind the spectrum's, so the cut lies an eighth of the spare ones above.
    """
    first, wanted = values[0].item(), values[rank - 1].item()
    lagging = (len(values) - rank) // 8
    cut = max(values[-1 - lagging].item(), torch.finfo(dtype).eps * first, 1e-300)
    high, low = (math.acosh(max(2 * value / cut - 1, 1 + 1e-9)) for value in (first, wanted))
    needed = math.acosh(max(3 / factor, 1.1)) / low  # cosh(degree * low) is the growth of the r-th column
    return cut, max(1, math.ceil(min(needed, math.log(RANGE[dtype]) / max(high - low, 1e-9))))


def leak_bounds(Q: Tensor, Z: Tensor, values: Tensor, rank: int) -> Tensor:
    """Bound [rank] on the sine of each leading Ritz vector to the true leading subspace, to second order.

    Q [k, d] Ritz vectors, Z = G Q. What leaves the block, |G q - value q| over the gap to the block's end;
    and what that mixes in of the block's other columns. Gaps below the rounding of W count as that rounding.
    Holds where nothing outside the block exceeds its last value, which the random start sees to.
    """
    R, room = Z - Q * values, values[:rank, None] - values[-1]
    gap = (values[:rank, None] - values[None, rank:]).clamp_min(1e-7 * values[0].item())
    mixed = (R[:, :rank].T @ R[:, rank:]) / (gap * room)
    leaks = (R[:, :rank].norm(dim=0) / room[:, 0]).square() + mixed.square().sum(dim=1)
    return leaks.sqrt().nan_to_num(nan=1e3, posinf=1e3).clamp_max(1e3)
