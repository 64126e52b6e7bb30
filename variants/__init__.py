"""Methods of fine-tuning: `parse("lora:rank=8").attach(model, seed)` is an adapter, `routed` turns it on."""

from variants.attach import SiteAdapter, SiteVariant
from variants.check import Probe, check_variant
from variants.export import merge
from variants.frozen import FrozenWeight
from variants.interface import Adapter, Calibration, Group, Variant, VariantError
from variants.lowrank import CalibratedVariant, LowRankVariant
from variants.registry import build, describe, get, names, parse, parse_list
from variants.route import routed
from variants.site import Factors, LowRank, Site, Start
from variants.targets import Layer

__all__ = [
    "Adapter",
    "CalibratedVariant",
    "Calibration",
    "Factors",
    "FrozenWeight",
    "Group",
    "Layer",
    "LowRank",
    "LowRankVariant",
    "Probe",
    "Site",
    "SiteAdapter",
    "SiteVariant",
    "Start",
    "Variant",
    "VariantError",
    "build",
    "check_variant",
    "describe",
    "get",
    "merge",
    "names",
    "parse",
    "parse_list",
    "routed",
]
