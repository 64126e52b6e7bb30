"""The conformance checks let right variants pass: the built-in ones, and those that strangers may write."""

from __future__ import annotations

import pytest

from tests.variants.checked import PACK, START, found, small
from tests.variants.rightful import RIGHTFUL, BitFit
from variants import Variant, names, parse, registry


@pytest.mark.parametrize("name", names())
def test_built_in_variants_pass(name: str) -> None:
    variant = registry.get(name).example()
    result = found(variant)
    assert result["failed"] == {}
    for check, note in result["skipped"].items():
        assert note.startswith("not claimed"), check
    assert (START in result["skipped"]) is not variant.starts_at_base
    assert (PACK in result["skipped"]) is not variant.packable


@pytest.mark.parametrize("variant", RIGHTFUL, ids=lambda variant: variant.name)
def test_right_variants_of_strangers_pass(variant: Variant) -> None:
    config = {"attention_bias": True} if variant == BitFit() else {}
    assert found(variant, small(**config))["failed"] == {}


@pytest.mark.parametrize(
    "spec",
    [
        "lora:rank=4,targets=all+lm_head+embed_tokens,dropout=0.1,init_scale=2",
        "pissa:rank=4,targets=mlp-gate_proj+lm_head",
        "dora:rank=4,alpha=2r",
    ],
)
@pytest.mark.parametrize("config", [{}, {"attention_bias": True, "mlp_bias": True}], ids=["plain", "biased"])
def test_other_settings_and_layers_with_a_bias(spec: str, config: dict[str, bool]) -> None:
    assert found(parse(spec), small(**config))["failed"] == {}
