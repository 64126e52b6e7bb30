"""Names to variants: the built-in table, and specs as typed on a command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from variants.fullft import FullFT
from variants.interface import Variant, VariantError
from variants.loftq import LoftQ
from variants.lora import LoRA
from variants.lori import LoRID, LoRIS
from variants.pissa import PiSSA

BUILTIN: dict[str, type[Variant]] = {cls.name: cls for cls in (LoRA, PiSSA, LoftQ, LoRID, LoRIS, FullFT)}
ALIASES = {"lori": "lori-s"}


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
        near = _nearest(word, [*BUILTIN, *ALIASES])
        raise VariantError(f"unknown variant {name!r}; nearest is {near!r} (of {', '.join(BUILTIN)})")
    return BUILTIN[word]


def build(name: str, settings: Mapping[str, Any]) -> Variant:
    """The variant with these settings, the others at their defaults. Raises VariantError."""
    cls = get(name)
    known = [setting.name for setting in fields(cls)]
    for key in settings:
        if key not in known:
            hint = f"nearest is {_nearest(key, known)!r} (of {', '.join(known)})" if known else "it has none"
            raise VariantError(f"{cls.name}: unknown setting {key!r}; {hint}")
    return cls(**settings)


def parse(spec: str) -> Variant:
    """One variant as typed: "lora" or "lora:rank=8,alpha=16". Raises VariantError."""
    name, _, text = spec.partition(":")
    cls = get(name)
    kinds: dict[str, Any] = {f.name: getattr(f.type, "__name__", f.type) for f in fields(cls)}
    settings: dict[str, Any] = {}
    for pair in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = (piece.strip() for piece in pair.partition("="))
        if not equals:
            raise VariantError(f"{cls.name}: expected setting=value, got {pair!r}")
        if key in settings:
            raise VariantError(f"{cls.name}: setting {key!r} is given twice")
        settings[key] = _value(value, kinds.get(key, "str"))
    return build(cls.name, settings)


def parse_list(spec: str) -> list[Variant]:
    """Several variants: "lora:rank=8,alpha=16,pissa,lori". A piece with "=" alone belongs to the one before.

    Raises VariantError on an empty list and on the same variant with the same settings twice.
    """
    specs: list[str] = []
    for piece in filter(None, (piece.strip() for piece in spec.split(","))):
        if "=" not in piece or ":" in piece:
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


def _value(text: str, kind: Any) -> Any:
    """`text` read as a setting of this kind; what cannot be read is left for the variant to refuse."""
    if kind == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind == "int" and re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if kind in ("int", "float"):
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _nearest(word: str, known: list[str]) -> str:
    return get_close_matches(word, known, n=1, cutoff=0.0)[0]
