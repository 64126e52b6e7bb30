"""Names to variants: the built-in table, and specs as typed on a command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from variants import plugins, spec
from variants.corda import CorDA
from variants.dora import DoRA
from variants.eva import EVA
from variants.fullft import FullFT
from variants.interface import Variant, VariantError
from variants.loftq import LoftQ
from variants.lora import LoRA
from variants.lora_fa import LoRAFA
from variants.lora_ga import LoRAGA
from variants.lora_plus import LoRAPlus
from variants.lora_xs import LoRAXS
from variants.lori import LoRID, LoRIS
from variants.milora import MiLoRA
from variants.olora import OLoRA
from variants.peft_config import PeftConfig
from variants.pissa import PiSSA
from variants.plugins import Plugin
from variants.qlora import QLoRA
from variants.qpissa import QPiSSA
from variants.random_mask import RandomMask
from variants.rslora import RsLoRA
from variants.vera import VeRA

FAMILY = (LoRA, RsLoRA, LoRAPlus, LoRAFA, DoRA)
STARTS = (PiSSA, MiLoRA, OLoRA)
QUANTISED = (QLoRA, QPiSSA, LoftQ)
DATA_DRIVEN = (EVA, LoRAGA, CorDA)
FROZEN_PAIRS = (VeRA, LoRAXS)
MASKS = (LoRID, LoRIS, RandomMask)
BUILTIN: dict[str, type[Variant]] = {
    cls.name: cls
    for cls in (*FAMILY, *STARTS, *DATA_DRIVEN, *QUANTISED, *FROZEN_PAIRS, *MASKS, FullFT, PeftConfig)
}
ALIASES = {"lori": "lori-s"}
BEGINS = re.compile(r"[^:=]*(:|$)")  # a piece that begins a variant, and not a setting


def names() -> list[str]:
    """Every variant's name: the built-in ones in the order of the table, then those of plugins."""
    return [*BUILTIN, *(plugin.name for plugin in _plugins() if plugin.variant)]


def describe() -> list[tuple[str, str]]:
    """(name, one-line summary) of every variant; a plugin's line ends with the package it comes from."""
    own = [(name, cls.summary) for name, cls in BUILTIN.items()]
    return own + [(p.name, f"{p.variant.summary} [{p.package}]") for p in _plugins() if p.variant]


def broken() -> list[str]:
    """A line about each plugin that cannot be used: its name, its package with version, and why."""
    return [str(plugin) for plugin in _plugins() if plugin.fault]


def packages() -> dict[str, str]:
    """Name and version of the packages that bring variants."""
    found = (plugin.package.rpartition(" ") for plugin in _plugins() if plugin.variant)
    return {name: version for name, _, version in found}


def get(name: str) -> type[Variant]:
    """The class behind a name, alias or label; plugins are loaded only for a name that is not built in.

    Raises VariantError with the nearest name, or with what is wrong with the plugin of this name.
    """
    word = name.partition(":")[0].strip().lower()
    word = ALIASES.get(word, word)
    if word in BUILTIN:
        return BUILTIN[word]
    called = [plugin for plugin in _plugins() if plugin.name == word]
    for plugin in called:
        if plugin.variant:
            return plugin.variant
    if called:
        raise VariantError(f"broken plugin {called[0]}")
    near = spec.nearest(word, [*names(), *ALIASES])
    raise VariantError(f"unknown variant {name!r}; nearest is {near!r} (of {', '.join(names())})")


def _plugins() -> list[Plugin]:
    return plugins.loaded((*BUILTIN, *ALIASES))


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
        raise VariantError(f"no variant given; expected some of {', '.join(names())}")
    variants = [parse(one) for one in specs]
    for i, variant in enumerate(variants):
        if variant in variants[:i]:
            raise VariantError(f"{specs[i]!r} is given twice (as {variant}); name each variant once")
    return variants
