"""Names to variants: the built-in table, and specs as typed on a command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from variants import spec
from variants.fullft import FullFT
from variants.interface import Variant, VariantError
from variants.loftq import LoftQ
from variants.lora import LoRA
from variants.lori import LoRID, LoRIS
from variants.pissa import PiSSA

BUILTIN: dict[str, type[Variant]] = {cls.name: cls for cls in (LoRA, PiSSA, LoftQ, LoRID, LoRIS, FullFT)}
ALIASES = {"lori": "lori-s"}
BEGINS = re.compile(r"[^:=]*(:|$)")  # a piece that begins a variant, and not a setting


def names() -> list[str]:
    """Every variant's name, in the order of the table."""
    return list(BUILTIN)


def describe() -> list[tuple[str, str]]:
    """(name, one-line summary) of every variant."""
    return [(name, cls.summary) for name, cls in BUILTIN.items()]


def get(name: str) -> type[Variant]:
    """The class behind a name or alias. Raises VariantError with the nearest name."""
    word = name.strip().lower()
    word = ALIASES.get(word, word)
    if word not in BUILTIN:
        near = spec.nearest(word, [*BUILTIN, *ALIASES])
        raise VariantError(f"unknown variant {name!r}; nearest is {near!r} (of {', '.join(BUILTIN)})")
    return BUILTIN[word]


def build(name: str, settings: Mapping[str, Any]) -> Variant:
    """The variant with these settings, the others at their defaults. Raises VariantError."""
    return get(name).build(settings)


def parse(text: str) -> Variant:
    """One variant as typed: "lora" or "lora:rank=8,alpha=16". Raises VariantError."""
    name, _, rest = text.partition(":")
    cls = get(name)
    return cls.build(cls.read(rest))


def parse_list(text: str) -> list[Variant]:
    """Several variants: "lora:rank=8,alpha=16,pissa,lori". A piece that begins with setting= goes on with the
    variant before it.

    Raises VariantError on an empty list and on the same variant with the same settings twice.
    """
    specs: list[str] = []
    for piece in spec.split(text):
        if BEGINS.match(piece):
            specs.append(piece)
        elif specs:
            specs[-1] += ("," if ":" in specs[-1] else ":") + piece
        else:
            raise VariantError(f"{piece!r} comes before any variant; write lora:{piece}")
    if not specs:
        raise VariantError(f"no variant given; expected some of {', '.join(BUILTIN)}")
    variants = [parse(one) for one in specs]
    for i, variant in enumerate(variants):
        if variant in variants[:i]:
            raise VariantError(f"{specs[i]!r} is given twice (as {variant}); name each variant once")
    return variants
