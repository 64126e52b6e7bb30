"""Methods of fine-tuning: `parse("lora:rank=8").attach(model, seed)` is an adapter, `routed` turns it on."""

from variants.attach import LowRankVariant, SiteAdapter, SiteVariant, routed
from variants.export import merge
from variants.interface import Adapter, Group, Variant, VariantError
from variants.registry import build, describe, get, names, parse, parse_list
from variants.site import FrozenWeight, LowRank, Site, Start

__all__ = [
    "Adapter",
    "FrozenWeight",
    "Group",
    "LowRank",
    "LowRankVariant",
    "Site",
    "SiteAdapter",
    "SiteVariant",
    "Start",
    "Variant",
    "VariantError",
    "build",
    "describe",
    "get",
    "merge",
    "names",
    "parse",
    "parse_list",
    "routed",
]
