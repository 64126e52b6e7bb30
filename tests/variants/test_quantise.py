"""NormalFloat: the published codebooks, nearest codes, packed size, and the frozen layer's gradient."""

from __future__ import annotations

import pytest
import torch

from variants.codebooks import codebook, dynamic_codes
from variants.frozen import QuantisedWeight
from variants.quantise import BLOCK, SECOND_BLOCK, decode, encode

NF4_BELOW = [-1, -0.6961929, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500]
NF4_ABOVE = [0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229567, 1]
PUBLISHED = {
    4: [*NF4_BELOW, 0, *NF4_ABOVE],
    3: [-1, -0.4786292, -0.2171418, 0, 0.1609302, 0.3379152, 0.5626170, 1],
    2: [-1, 0, 0.3379152, 1],
}


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_codebook_is_the_published_one(bits):
    assert codebook(bits) == pytest.approx(PUBLISHED[bits], abs=1e-6)


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("shape", [(24, 40), (7, 9), (64, 64)])
def test_every_number_gets_its_nearest_code(bits, shape):
    weight = torch.randn(shape)
    table = torch.tensor(codebook(bits))
    flat = weight.flatten()
    got = decode(encode(weight, bits)).flatten()
    for start in range(0, len(flat), BLOCK):
        block = flat[start : start + BLOCK]
        scale = block.abs().max()
        by_hand = table[(block[:, None] / scale - table).abs().argmin(dim=1)] * scale
        torch.testing.assert_close(got[start : start + BLOCK], by_hand, rtol=1e-6, atol=1e-7)


def test_codes_survive_decoding_and_zero_stays_zero():
    weight = decode(encode(torch.randn(32, 32), 4))
    assert torch.equal(decode(encode(weight, 4)), weight)
    assert not decode(encode(torch.zeros(8, 8), 4)).any()


@pytest.mark.parametrize(("bits", "stored"), [(2, 2), (3, 4), (4, 4)])
def test_bits_a_number(bits, stored):
    codes = encode(torch.randn(128, 64), bits)
    assert codes.packed.dtype == torch.uint8
    assert codes.packed.numel() * 8 == stored * 128 * 64
    assert codes.scales.numel() == 128 * 64 // BLOCK


def test_dynamic_codes():
    """Seven decades, from one middle in the lowest to 64 in the highest (bitsandbytes' signed 8-bit map)."""
    codes = dynamic_codes()
    assert len(codes) == len(set(codes)) == 256 and list(codes) == sorted(codes)
    assert codes[0] == pytest.approx(-0.99296875) and codes[-1] == 1
    positive = [code for code in codes if code > 0]
    assert positive[:4] == pytest.approx([5.5e-7, 3.25e-6, 7.75e-6, 2.125e-5])
    assert sum(code >= 0.1 for code in codes) == 65 and 0 in codes
    assert sorted(-code for code in codes if code < 0) == positive[:-1]


@pytest.mark.parametrize("shape", [(24, 40), (7, 9), (256, 192)])
def test_doubly_quantised_scales_are_the_nearest_codes(shape):
    weight = torch.randn(shape)
    codes = encode(weight, 4, double=True)
    exact = encode(weight, 4)
    assert torch.equal(codes.packed, exact.packed) and codes.scales.shape == exact.scales.shape
    table = torch.tensor(dynamic_codes())
    rest = exact.scales - exact.scales.mean()
    by_hand = exact.scales.clone()
    for start in range(0, len(rest), SECOND_BLOCK):
        block = rest[start : start + SECOND_BLOCK]
        largest = block.abs().max()
        near = table[(block[:, None] / largest.clamp_min(1e-30) - table).abs().argmin(dim=1)] * largest
        by_hand[start : start + SECOND_BLOCK] = near + exact.scales.mean()
    factors = (by_hand / exact.scales).repeat_interleave(BLOCK)[: weight.numel()]
    want = decode(exact) * factors.view(shape)
    torch.testing.assert_close(decode(codes), want, rtol=1e-5, atol=1e-6)


def test_double_quantisation_takes_an_eighth_of_a_bit_for_half_a_bit():
    codes = encode(torch.randn(512, 512), 4, double=True)
    assert codes.second is not None and codes.scales.dtype == torch.uint8
    bits = 8 * codes.scales.numel() + 32 * (codes.second.numel() - 1)
    assert bits / 512**2 == pytest.approx(0.127, abs=5e-4)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layer_and_its_gradient(dtype, double):
    layer = QuantisedWeight(encode(torch.randn(48, 32), 4, double))
    assert not list(layer.parameters())
    dense = layer.dense().to(dtype)
    x = torch.randn(2, 3, 32, dtype=dtype)
    mine, plain = x.clone().requires_grad_(), x.clone().requires_grad_()
    grad = torch.randn(2, 3, 48, dtype=dtype)
    y = layer(mine)
    assert torch.equal(y, plain @ dense.T)
    y.backward(grad)
    (plain @ dense.T).backward(grad)
    assert mine.grad is not None and plain.grad is not None
    torch.testing.assert_close(mine.grad, plain.grad)


def test_backward_keeps_codes_not_the_dense_weight():
    layer = QuantisedWeight(encode(torch.randn(48, 32), 4))
    y = layer(torch.randn(2, 32, requires_grad=True))
    assert {t.dtype for t in y.grad_fn.saved_tensors} == {torch.uint8, torch.float32}
    assert sum(t.numel() for t in y.grad_fn.saved_tensors) == 48 * 32 // 2 + 48 * 32 // BLOCK
