"""Dropout by token: entry (token, feature) goes or stays by a hash of both, whatever batch it stands in.

A token's number says which example of the step's batch it is of, and its place in it. So a draw depends on
no micro-batch, no padding, no packing, no other member and no device, and is the same when a forward is
computed again. The hash is two rounds of multiply and shift on 32 bits: the sum of a number mixed from the
token and one mixed from the feature goes in, the entry is dropped if what comes out is below the threshold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial

import torch
from torch import Tensor, nn

WIDE, NARROW = (1 << 32) - 1, (1 << 30) - 1
FIRST, SECOND = 0x7FEB352D, 0x846CA68B - (1 << 32)  # of Wellons' lowbias32; the second as a signed number


def numbered(examples: Tensor, places: Tensor) -> Tensor:
    """The numbers of tokens, int32 of the same shape, from each one's example and its place in that."""
    return _mixed(examples.long() * 0x9E3779B1 + places.long())


def dropped(x: Tensor, share: float, tokens: Tensor | None, *key: object) -> Tensor:
    """x [..., d] under dropout of `share`, drawn by (key, token, feature); what stays is scaled up.

    `tokens` are the numbers of x's tokens. Without them, or where x has other tokens than the batch (as a
    router's share has), a token's number is its place in x.
    """
    count = x.numel() // x.shape[-1]
    if tokens is None or tokens.numel() != count:
        places = torch.arange(count, device=x.device)
        tokens = numbered(torch.zeros_like(places), places)
    one, two = _keys(*key)
    hashed = (tokens.reshape(-1, 1) ^ one) + (_features(x.shape[-1], x.device) ^ two)
    hashed.bitwise_xor_(hashed >> 16).mul_(FIRST)
    hashed.bitwise_xor_(hashed >> 15).mul_(SECOND)
    kept = hashed >= round(share * 2**32) - 2**31
    return x * kept.view(x.shape) * (1 / (1 - share))


@contextmanager
def by_token(modules: Mapping[str, nn.Dropout], tokens: Tensor | None, *key: object) -> Iterator[None]:
    """Inside, these modules drop by token, each with draws of its own."""
    chosen = {name: module for name, module in modules.items() if 0 < module.p < 1}
    try:
        for name, module in chosen.items():
            module.__dict__["forward"] = partial(_forward, module, tokens, (*key, name))
        yield
    finally:
        for module in chosen.values():
            module.__dict__.pop("forward", None)


def _forward(module: nn.Dropout, tokens: Tensor | None, key: tuple[object, ...], x: Tensor) -> Tensor:
    return dropped(x, module.p, tokens, *key) if module.training else x


def _mixed(numbers: Tensor) -> Tensor:
    """Whole numbers as 30 well mixed bits, int32."""
    for shift, factor in ((16, 0x45D9F3B), (16, 0x45D9F3B), (16, 1)):
        numbers = ((numbers ^ ((numbers & WIDE) >> shift)) & WIDE) * factor
    return (numbers & NARROW).int()


@lru_cache(maxsize=64)
def _features(count: int, device: torch.device) -> Tensor:
    """The mixed numbers of `count` features, int32."""
    return _mixed(torch.arange(1, count + 1, device=device) * 0x85EBCA77)


@lru_cache(maxsize=4096)
def _keys(*key: object) -> tuple[int, int]:
    """Two 30-bit numbers from a stable hash of the key."""
    made = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return int.from_bytes(made[:4], "big") & NARROW, int.from_bytes(made[4:8], "big") & NARROW
