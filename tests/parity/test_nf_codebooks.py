"""NF4, NF3 and NF2: the codes beside the published ones, and block quantisation beside a second writing.

Tolerances. The published seven digits: one unit in the last of them, 1e-7; the codes are computed in float64
and lie within 6.2e-8. The table of bitsandbytes: 1.2e-7, because its quantiles were taken at steps rounded to
float32, which moves them by up to 1.1e-7; the rule at such steps gives its table back to 6e-8, the spacing of
float32 below 1.
Indices must be equal; a number within 1e-6 of the middle between two codes may fall to either side, because
we divide in float32 and the second writing in float64. Magnitudes are equal bit for bit, decoded numbers to
two roundings of float32 (2.4e-7).
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from tests.parity.normalfloat import TABLE, dense, quantise, rule
from variants.codebooks import codebook
from variants.quantise import Codes, decode, encode

PUBLISHED = {
    4: [
        *(-1, -0.6961929, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0),
        *(0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229567, 1),
    ],
    3: [-1, -0.4786292, -0.2171418, 0, 0.1609302, 0.3379152, 0.5626170, 1],
    2: [-1, 0, 0.3379152, 1],
}
LARGEST = 1.8481310  # the published divisor: the outermost quantile
BITS = sorted(PUBLISHED)


def indices(codes: Codes) -> torch.Tensor:
    """The stored index of every number, without the filling of the last block."""
    width = 2 if codes.bits == 2 else 4
    parts = [(codes.packed >> shift) & (2**width - 1) for shift in range(0, 8, width)]
    return torch.stack(parts, dim=1).flatten()[: torch.Size(codes.shape).numel()]


@pytest.mark.parametrize("bits", BITS)
def test_codes_are_the_published_ones_to_the_last_digit(bits):
    np.testing.assert_allclose(codebook(bits), PUBLISHED[bits], rtol=0, atol=1e-7)


@pytest.mark.parametrize("bits", BITS)
def test_codes_follow_the_rule(bits):
    np.testing.assert_allclose(codebook(bits), rule(bits), rtol=0, atol=1e-14)
    assert torch.special.ndtri(torch.tensor(0.9677083, dtype=torch.float64)).item() == pytest.approx(
        LARGEST, abs=5e-8
    )


def test_nf4_is_the_table_of_bitsandbytes():
    np.testing.assert_allclose(rule(4, torch.float32), TABLE, rtol=0, atol=6e-8)
    np.testing.assert_allclose(codebook(4), TABLE, rtol=0, atol=1.2e-7)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("shape", [(64, 96), (7, 9), (33, 65)])
def test_blocks_beside_a_second_writing(bits, shape):
    weight = torch.randn(shape) * torch.logspace(-3, 3, shape[0])[:, None]
    mine, (theirs, magnitudes) = encode(weight, bits), quantise(weight, np.array(codebook(bits)))
    assert mine.scales.double().tolist() == magnitudes
    other = torch.tensor(theirs)
    table = torch.tensor(codebook(bits), dtype=torch.float64)
    per_number = torch.tensor(magnitudes).repeat_interleave(64)[: weight.numel()].double()
    unit = weight.flatten().double() / per_number
    middle = (unit[:, None] - (table[1:] + table[:-1]) / 2).abs().min(dim=1).values < 1e-6
    assert torch.equal(indices(mine)[~middle], other[~middle].to(torch.uint8))
    assert middle.sum() <= 1
    torch.testing.assert_close(
        decode(mine).flatten()[~middle],
        dense(weight, np.array(codebook(bits))).flatten()[~middle],
        rtol=2.4e-7,
        atol=0,
    )


@pytest.mark.parametrize("bits", BITS)
def test_storage_gives_back_every_code(bits):
    """All pairs of codes, into bytes and out again; encoding what was decoded changes nothing."""
    codes = torch.tensor(codebook(bits))
    pairs = torch.cartesian_prod(codes, codes)
    blocks = torch.cat([pairs, torch.ones(-len(pairs) % 31, 2)]).view(-1, 62)
    weight = torch.cat([blocks, torch.ones(len(blocks), 2)], dim=1)  # every block's largest magnitude is 1
    stored = encode(weight, bits)
    assert stored.packed.dtype == torch.uint8
    assert stored.packed.numel() == weight.numel() // (4 if bits == 2 else 2)
    assert torch.equal(decode(stored), weight)
    assert torch.equal(encode(decode(stored), bits).packed, stored.packed)
    assert int(indices(stored).max()) == 2**bits - 1


def test_half_way_between_two_codes_falls_to_the_lower():
    """The middle of -1 and 0 is -0.5, and that of 0 and a code is half of it: exact in float32."""
    up = torch.tensor(codebook(2))[2].item()
    weight = torch.tensor([[1.0, -0.5, up / 2, -0.5 + 2**-24, up / 2 * (1 + 2**-22)]])
    assert indices(encode(weight, 2)).tolist() == [3, 0, 1, 1, 2]
    assert quantise(weight, torch.tensor(codebook(2)).numpy())[0] == [3, 0, 1, 1, 2]


@pytest.mark.parametrize("bits", BITS)
def test_zero_blocks_and_the_last_block(bits):
    """A block of zeros stays zero; the last, short block takes its magnitude from its own numbers."""
    weight = torch.cat([torch.randn(64), torch.zeros(64), 1e-3 * torch.randn(10)]).view(6, 23)
    codes = encode(weight, bits)
    assert codes.scales.numel() == 3 and codes.packed.numel() == (48 if bits == 2 else 96)
    assert codes.scales[1] == 0 and codes.scales[2] == weight.flatten()[128:].abs().max()
    back = decode(codes)
    assert back.shape == weight.shape and bool(back.isfinite().all())
    assert not back.flatten()[64:128].any()
    assert set(indices(codes)[64:128].tolist()) == {codebook(bits).index(0)}
    assert (back - weight).flatten()[128:].abs().max() <= codes.scales[2] / 2


def even(rows: int, columns: int) -> torch.Tensor:
    """A weight in (-1, 1) that needs no random generator: whole numbers scattered by a constant, cubed."""
    count = torch.arange(1, rows * columns + 1, dtype=torch.int64)
    return ((((count * 2654435761) % 2**32).double() / 2**31 - 1) ** 3).float().view(rows, columns)


def digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()[:16]


def test_codes_of_bitsandbytes():
    """What bitsandbytes 0.50.2 stores (CPU, NF4, blocks of 64), once without and once with double
    quantisation. It keeps the first number of a pair in the high half of a byte, we in the low."""
    stored = encode(even(128, 96), 4)
    assert digest((stored.packed << 4) | (stored.packed >> 4)) == "7469ad6185c7451e"
    assert digest(stored.scales) == "202403b27c158bdb"
    twice = encode(even(96, 512), 4, double=True)
    assert digest(twice.scales) == "f59b00160640597e"
    assert twice.second is not None
    assert twice.second.tolist() == pytest.approx([0.9746099, 0.0364336, 0.0366544, 0.0367648], rel=1e-5)
