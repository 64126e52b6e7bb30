"""Singular triplets for the methods that start from them: never less exact than a float32 SVD, mostly faster.

With W [k, l], k <= l, every triplet follows from the left vectors, and those are the eigenvectors of
G = W W^T. In float32 G would lose what lies under a thousandth of the largest singular value, so the last
word is always float64: `top` filters (variants/subspace.py) and checks the result against W, and where the
check fails, as for small matrices, takes all eigenvectors of the float64 G, exact down to about 1e-7 of the
largest singular value. A Rayleigh-Ritz step with W itself then gives values and right vectors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from variants.subspace import gram, leading

TOLERANCE = 1e-4  # sine of the largest angle between the computed and the true subspace
SMALL = 192  # up to this smaller side, all eigenvectors cost no more than filtering for some


@torch.no_grad()
def top(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `rank` largest singular triplets of a finite float32 `matrix` [m, n]: U [m, r], S [r], Vh [r, n].

    S descends; the entry of largest magnitude in each column of U is positive. Deterministic. Takes three
    times the matrix's memory. Raises ValueError for a rank outside 1..min(m, n) and for a matrix that is not
    float32, 2-D and finite.
    """
    W, scale = _scaled(matrix, rank)
    exact = W.double()
    found = leading(W, exact, rank, TOLERANCE) if W.shape[0] > SMALL and 8 * rank <= W.shape[0] else None
    if found is None:
        found = _by_projection(exact, torch.linalg.eigh(gram(exact))[1].flip(1)[:, :rank])
    return _triplets(*found, scale, matrix)


@torch.no_grad()
def bottom(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `rank` smallest of the min(m, n) singular triplets, S descending, otherwise as `top`.

    A float32 G is unfit: all that lies under 3e-4 of the largest singular value is rounding there. So is
    filtering, which finds the dominant end. The float64 G serves down to 1e-5 of the largest; where the
    smallest lies below that, this is the full SVD, in float64.
    """
    W, scale = _scaled(matrix, rank)
    exact = W.double()
    values, basis = torch.linalg.eigh(gram(exact))
    if values[0] > 1e-10 * values[-1]:
        return _triplets(*_by_projection(exact, basis[:, :rank]), scale, matrix)
    U, S, Vh = torch.linalg.svd(exact, full_matrices=False)
    return _triplets(U[:, -rank:], S[-rank:], Vh[-rank:].T, scale, matrix)


@torch.no_grad()
def randomised(matrix: Tensor, rank: int, niter: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """torch.svd_lowrank(matrix, q=rank, niter=niter), the SVD of peft's `pissa_niter_k`, drawn from `rng`.

    Algorithm 5.1 of Halko et al., arXiv 0909.4061; far from exact where the spectrum is flat. Shapes and
    errors as for `top`; signs as the SVD leaves them.
    """
    _check(matrix, rank)
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    Q = torch.linalg.qr(tall @ torch.randn(tall.shape[1], rank, generator=rng).to(matrix))[0]
    for _ in range(niter):
        Q = torch.linalg.qr(tall.T @ Q)[0]
        Q = torch.linalg.qr(tall @ Q)[0]
    U, S, Vh = torch.linalg.svd(Q.T @ tall, full_matrices=False)
    return (Q @ U, S, Vh) if tall is matrix else (Vh.T, S, (Q @ U).T)


def _check(matrix: Tensor, rank: int) -> float:
    """The entry of largest magnitude; ValueError for what has no answer here."""
    if matrix.ndim != 2 or matrix.dtype != torch.float32:
        raise ValueError(f"a float32 matrix is needed, not {matrix.ndim}-D {matrix.dtype}: pass W.float()")
    if not 1 <= rank <= min(matrix.shape):
        raise ValueError(f"rank {rank} of a {list(matrix.shape)} matrix: choose 1 to {min(matrix.shape)}")
    ends = torch.stack(torch.aminmax(matrix)).abs()
    if not ends.isfinite().all():
        raise ValueError(f"the {list(matrix.shape)} matrix holds inf or nan: it has no singular values")
    return ends.max().item()


def _scaled(matrix: Tensor, rank: int) -> tuple[Tensor, float]:
    """`matrix` or its transpose, whichever is wide, over a power of two near its largest entry; that power.

    The division is exact, and squares then stay within float32.
    """
    scale = 2.0 ** math.frexp(_check(matrix, rank))[1]
    return (matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T) / scale, scale


def _by_projection(W: Tensor, basis: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rayleigh-Ritz in the span of `basis` [k, r]: left [k, r], values [r], right [l, r] of W [k, l]."""
    right, R = torch.linalg.qr(W.T @ basis)  # basis basis^T W = basis R^T right^T
    inner, S, outer = torch.linalg.svd(R.T)
    return basis @ inner, S, right @ outer.T


def _triplets(
    left: Tensor, S: Tensor, right: Tensor, scale: float, matrix: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(U, S, Vh) in float32, with the sides and scale of `matrix` and the signs that `top` promises."""
    U, V = (left, right) if matrix.shape[0] <= matrix.shape[1] else (right, left)
    sign = U.gather(0, U.abs().argmax(dim=0, keepdim=True)).sign()
    return (U * sign).float(), (S * scale).float(), (V * sign).T.float().contiguous()
