"""Singular triplets against float64 LAPACK on spectra that are flat, decaying, spiked, deficient, gapless."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from variants import subspace
from variants.decompose import SMALL, TOLERANCE, bottom, randomised, top

SIDE = 320  # large enough to be filtered
ROUNDING = 6e-8


def random(m: int, n: int, seed: int = 0) -> Tensor:
    return torch.randn(m, n, generator=torch.Generator().manual_seed(seed))


def with_spectrum(values: Tensor, m: int, n: int, noise: float = 0.0) -> Tensor:
    """float32 [m, n] with these singular values in random directions, over Gaussian noise of that norm."""
    U, V = (torch.linalg.qr(random(side, len(values), seed).double())[0] for seed, side in ((1, m), (2, n)))
    bulk = random(m, n, 3) / (m**0.5 + n**0.5)
    return ((U * values.double()) @ V.T).float() + noise * bulk


def steps(count: int = SIDE) -> Tensor:
    return torch.arange(1, count + 1, dtype=torch.float64)


MATRICES = {
    "flat": random(SIDE, SIDE),
    "flat wide": random(SIDE, 3 * SIDE),
    "flat tall": random(3 * SIDE, SIDE),
    "power -1/2": with_spectrum(steps() ** -0.5, SIDE, SIDE),
    "power -1": with_spectrum(steps() ** -1, SIDE, 2 * SIDE),
    "power -2": with_spectrum(steps() ** -2, SIDE, SIDE),
    "1e3 at rank 16": with_spectrum(10 ** (-3 * steps() / 16), SIDE, SIDE),
    "1e4 at rank 16": with_spectrum(10 ** (-4 * steps() / 16), 2 * SIDE, SIDE),
    "spikes over bulk": with_spectrum(3 * steps(40) ** -0.5, SIDE, SIDE, noise=1.0),
    "one spike of 1e3": with_spectrum(torch.tensor([1e3]), SIDE, SIDE, noise=1.0),
    "rank 12": with_spectrum(steps(12), SIDE, SIDE),
}
SMALL_ONES = {
    "small": random(40, 24),
    "small, 1e4": with_spectrum(10 ** (-4 * steps(24) / 24), 40, 24),
    "row": random(1, 9),
    "single": random(1, 1),
}


def exactly(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.linalg.svd(matrix.double(), full_matrices=False)


def sine(found: Tensor, true: Tensor) -> float:
    """Sine of the largest principal angle between the spans of orthonormal columns."""
    found = found.double()
    return float(torch.linalg.matrix_norm(found - true @ (true.T @ found), 2))


def gap(S: Tensor, rank: int) -> float:
    """The gap below the `rank`-th singular value, in units of the largest one's float32 rounding."""
    return float((S[rank - 1] - S[rank]) / S[0]) / ROUNDING if rank < len(S) else float("inf")


def are_triplets(matrix: Tensor, U: Tensor, S: Tensor, Vh: Tensor, rank: int) -> None:
    m, n = matrix.shape
    assert (U.shape, S.shape, Vh.shape) == ((m, rank), (rank,), (rank, n))
    assert {U.dtype, S.dtype, Vh.dtype} == {torch.float32}
    assert (S[:-1] >= S[1:]).all()
    for columns in (U, Vh.T):  # orthonormal, also where the singular value is zero
        torch.testing.assert_close(columns.T @ columns, torch.eye(rank), atol=2e-6, rtol=0)
    largest = torch.linalg.matrix_norm(matrix, 2)
    assert torch.linalg.matrix_norm(matrix @ Vh.T - U * S, 2) <= TOLERANCE * largest
    assert torch.linalg.matrix_norm(matrix.T @ U - Vh.T * S, 2) <= TOLERANCE * largest


@pytest.mark.parametrize("name", [*MATRICES, *SMALL_ONES])
@pytest.mark.parametrize("rank", [1, 5, 16])
def test_top_is_exact(name: str, rank: int) -> None:
    """Subspaces to 1e-4 where the gap exceeds rounding tenfold (measured: 3e-5), values to 2e-7 of each."""
    matrix = MATRICES.get(name, SMALL_ONES.get(name))
    assert matrix is not None
    rank = min(rank, *matrix.shape)
    U, S, Vh = top(matrix, rank)
    are_triplets(matrix, U, S, Vh, rank)
    true_U, true_S, true_Vh = exactly(matrix)
    seen = true_S[:rank] > 1e-6 * true_S[0]
    assert ((S - true_S[:rank]).abs() / true_S[:rank])[seen].max() <= 2e-7
    if gap(true_S, rank) > 10:
        assert sine(U, true_U[:, :rank]) <= TOLERANCE
        assert sine(Vh.T, true_Vh[:rank].T) <= TOLERANCE


@pytest.mark.parametrize("name", MATRICES)
def test_top_is_as_exact_as_the_random_start_with_16_steps(name: str) -> None:
    matrix, rank = MATRICES[name], 8
    true = exactly(matrix)[0][:, :rank]
    other = randomised(matrix, rank, 16, torch.Generator().manual_seed(1))[0]
    assert sine(top(matrix, rank)[0], true) <= max(sine(other, true), 5e-5)


@pytest.mark.parametrize("name", MATRICES)
def test_filtering_suffices(name: str) -> None:
    """The fast way is taken, not the fallback, on every spectrum that has a gap after the rank."""
    matrix = MATRICES[name]
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    assert wide.shape[0] > SMALL
    assert subspace.leading(wide, wide.double(), 8, TOLERANCE) is not None


@pytest.mark.parametrize(
    "matrix",
    [
        torch.linalg.qr(random(SIDE, SIDE))[0],
        torch.eye(SIDE),
        with_spectrum(1 + 9 * (steps() <= 40), SIDE, SIDE),
        MATRICES["rank 12"],
        torch.zeros(SIDE, SIDE),
    ],
    ids=["orthogonal", "identity", "forty equal", "rank above the matrix's", "zero"],
)
def test_without_a_gap_all_eigenvectors_are_taken(matrix: Tensor) -> None:
    rank = 20
    assert subspace.leading(matrix, matrix.double(), rank, TOLERANCE) is None
    U, S, Vh = top(matrix, rank)
    are_triplets(matrix, U, S, Vh, rank)
    torch.testing.assert_close(
        S.double(), exactly(matrix)[1][:rank], atol=1e-7 * max(1, float(S[0])), rtol=2e-7
    )


def test_a_wrong_float32_pass_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A float32 pass that claims a random block is put right by the float64 one, or by the fallback."""
    honest = subspace.filtered

    def lying(W: Tensor, G: Tensor | None, Q: Tensor, rank: int, goal: float):
        if W.dtype == torch.float64:
            return honest(W, G, Q, rank, goal)
        return torch.linalg.qr(random(*Q.shape))[0], torch.linspace(2, 1, Q.shape[1]), rank, Q[:0]

    monkeypatch.setattr(subspace, "filtered", lying)
    for name in ("flat", "power -1"):
        matrix = MATRICES[name]
        assert sine(top(matrix, 8)[0], exactly(matrix)[0][:, :8]) <= TOLERANCE


@pytest.mark.parametrize("tilt", [1e-2, 1e-3, 1e-5])
@pytest.mark.parametrize("name", ["flat", "power -1", "spikes over bulk"])
def test_the_bound_holds(name: str, tilt: float) -> None:
    """leak_bounds is above the true sine of a tilted block, and not by more than the gaps explain."""
    matrix, rank, wide = MATRICES[name].double(), 8, 24
    true = exactly(matrix)[0]
    wrong = true[:, :wide] + tilt * random(len(true), wide, 5) / len(true) ** 0.5
    Q = torch.linalg.qr(wrong)[0]
    values, turn = torch.linalg.eigh(Q.T @ matrix @ matrix.T @ Q)
    Q, values = Q @ turn.flip(1), values.flip(0)
    bound = float(subspace.leak_bounds(Q, matrix @ (matrix.T @ Q), values, rank).norm())
    assert sine(Q[:, :rank], true[:, :rank]) <= bound <= 300 * tilt


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (8, 8), (37, 50)])
def test_gram_in_strips_is_the_product(shape: tuple[int, int]) -> None:
    matrix = random(*shape).double()
    torch.testing.assert_close(subspace.gram(matrix), matrix @ matrix.T)


@pytest.mark.parametrize("name", ["flat", "flat wide", "flat tall", "power -1", "power -2", "rank 12"])
def test_bottom_is_exact(name: str) -> None:
    """The smallest triplets; the last two names need the full SVD."""
    matrix, rank = MATRICES[name], 8
    U, S, Vh = bottom(matrix, rank)
    true_U, true_S, true_Vh = exactly(matrix)
    are_triplets(matrix, U, S, Vh, rank)
    torch.testing.assert_close(S.double(), true_S[-rank:], atol=1e-9 * float(true_S[0]), rtol=1e-6)
    if true_S[-1] > 1e-6 * true_S[0]:
        assert sine(U, true_U[:, -rank:]) <= 1e-5
        assert sine(Vh.T, true_Vh[-rank:].T) <= 1e-5


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (24, 24)])
@pytest.mark.parametrize("niter", [0, 4, 16])
def test_randomised_is_svd_lowrank(shape: tuple[int, int], niter: int) -> None:
    """Equal bit for bit given the same draws."""
    matrix = random(*shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        U, S, V = torch.svd_lowrank(matrix, q=4, niter=niter)
    found = randomised(matrix, 4, niter, torch.Generator().manual_seed(7))
    for mine, theirs in zip(found, (U, S, V.T), strict=True):
        assert torch.equal(mine, theirs)


def test_draws_are_not_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    top(MATRICES["flat"], 4)
    randomised(MATRICES["flat"], 4, 1, torch.Generator().manual_seed(0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("part", [top, bottom])
@pytest.mark.parametrize("name", ["flat tall", "rank 12"])
def test_the_same_matrix_gives_the_same_factors(part, name: str) -> None:
    matrix = MATRICES[name]
    first, second = part(matrix, 6), part(matrix.clone(), 6)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    U = first[0]
    assert (U.gather(0, U.abs().argmax(dim=0, keepdim=True)) > 0).all()


def test_the_transpose_swaps_the_sides() -> None:
    """Up to sign, which U decides."""
    U, S, Vh = top(MATRICES["flat tall"], 6)
    left, values, right = top(MATRICES["flat tall"].T, 6)
    torch.testing.assert_close(values, S, rtol=1e-6, atol=0)
    assert sine(left, Vh.T.double()) < TOLERANCE
    assert sine(right.T, U.double()) < TOLERANCE


@pytest.mark.parametrize("scale", [2.0**-100, 2.0**100])
def test_scale_does_not_matter(scale: float) -> None:
    matrix = MATRICES["power -1/2"]
    U, S, _ = top(matrix, 6)
    scaled_U, scaled_S, _ = top(matrix * scale, 6)
    assert torch.equal(U, scaled_U)
    assert torch.equal(S * scale, scaled_S)


@pytest.mark.parametrize("part", [top, bottom, lambda W, r: randomised(W, r, 1, torch.Generator())])
def test_what_has_no_answer_is_refused(part) -> None:
    for rank in (0, 5):
        with pytest.raises(ValueError, match=r"rank \d of a \[4, 6\] matrix: choose 1 to 4"):
            part(torch.ones(4, 6), rank)
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="holds inf or nan"):
            part(torch.full((4, 6), value), 2)
    with pytest.raises(ValueError, match=r"pass W\.float"):
        part(torch.ones(4, 6, dtype=torch.bfloat16), 2)


def test_no_gradient_is_kept() -> None:
    matrix = MATRICES["flat"].clone().requires_grad_()
    assert not any(part.requires_grad for part in top(matrix, 4))
