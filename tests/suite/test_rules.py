"""The published rules: the figures their sources give, and where they say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite import rules
from suite.errors import UserError
from suite.record import VariantRef
from suite.rules import Model, Way
from variants import registry

LORA = Way(False, 32.0)
FULL = Way(True, None)
LLAMA = Model("l", "llama", 2048)


def _ref(text: str) -> VariantRef:
    variant = registry.parse(text)
    return VariantRef(name=variant.label, settings=variant.settings(), revision=variant.revision)


@pytest.mark.parametrize(
    ("family", "hidden", "rate"),
    [
        ("llama", 2048, 4.9e-4),
        ("llama", 3072, 3.6e-4),
        ("llama", 4096, 2.9e-4),
        ("qwen3", 2048, 5.0e-4),
        ("qwen3", 4096, 4.7e-4),
    ],
)
def test_the_formula_gives_its_published_rates(family: str, hidden: int, rate: float) -> None:
    found = rules.formula(Model("m", family, hidden), LORA)
    assert found.rate is not None and float(f"{found.rate:.1e}") == rate
    assert found.note == ""
    full = rules.formula(Model("m", family, hidden), FULL)
    assert full.rate == pytest.approx(found.rate / 10)


def test_the_formula_says_nothing_outside_of_its_families_and_methods() -> None:
    for model, way, why in (
        (Model("m", "gemma3_text", 2048), LORA, "fitted on Llama and Qwen 3, not gemma3_text"),
        (Model("m", "llama", None), LORA, "names no hidden size"),
        (LLAMA, Way(False, None, "its base is quantised"), "its base is quantised"),
    ):
        found = rules.formula(model, way)
        assert found.rate is None and why in found.note
    assert "far from" in rules.formula(Model("m", "llama", 160), LORA).note


def test_short_runs_want_half_as_much_again() -> None:
    whole, short = rules.formula(LLAMA, LORA), rules.formula(LLAMA, LORA, 100)
    assert whole.rate and short.rate == pytest.approx(1.5 * whole.rate)
    assert rules.formula(LLAMA, LORA, 101).rate is None
    assert rules.formula(LLAMA, FULL, 50).rate is None


def test_the_rate_does_not_depend_on_rank_but_falls_with_alpha() -> None:
    at = {alpha: rules.formula(LLAMA, Way(False, alpha)).rate or 0 for alpha in (4.0, 32.0, 256.0)}
    assert at[4.0] / at[256.0] == pytest.approx(5.6)
    assert at[32.0] == rules.formula(LLAMA, LORA).rate
    assert rules.from_rank(1e-3, Way(False, 4.0), Way(False, 256.0)).rate == pytest.approx(1e-3 / 5.6)
    assert rules.from_rank(1e-3, LORA, LORA).rate == 1e-3
    assert rules.from_rank(None, LORA, LORA).rate is None


def test_rates_grow_with_the_root_of_the_batch() -> None:
    whole = rules.formula(LLAMA, LORA)
    assert whole.rate and rules.by_batch(whole, 32).rate == pytest.approx(whole.rate / 2)
    assert rules.by_batch(rules.formula(Model("m", "opt", 1), LORA), 32).rate is None


def test_rates_from_what_was_measured() -> None:
    assert rules.from_full(1e-4, LORA, 400).rate == pytest.approx(1e-3)
    assert rules.from_full(1e-4, LORA, 60).rate == pytest.approx(1.5e-3)
    assert rules.from_full(None, LORA, 400).rate is rules.from_full(1e-4, FULL, 400).rate is None
    assert rules.by_hessian(2e-3, 10, 40).rate == pytest.approx(5e-4)
    assert rules.by_hessian(2e-3, 10, -1).rate is rules.by_hessian(None, 1, 1).rate is None
    wider = Model("w", "llama", 4096)
    assert rules.by_width(1e-3, LLAMA, wider).rate == pytest.approx(1e-3 / 2**0.781)
    assert rules.by_width(1e-3, LLAMA, Model("q", "qwen3", 4096)).rate is None
    assert rules.by_width(1e-3, Model("o", "opt", 64), Model("o", "opt", 64)).rate is None


@pytest.mark.parametrize(
    ("text", "alpha"),
    [("lora", 32), ("lora:rank=2", 32), ("lora:rank=4,alpha=r", 4), ("rslora:rank=16,alpha=16", 64)],
)
def test_a_variant_that_starts_as_lora_does_is_known_by_its_site(text: str, alpha: float) -> None:
    assert rules.way(_ref(text)) == Way(False, alpha)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pissa", "does not start from"),
        ("lora:init_scale=0.5", "does not start from"),
        ("lora-plus", "different rates"),
        ("lora-fa", "something else"),
        ("lori-d", "something else"),
        ("dora", "something else"),
        ("qlora", "quantised"),
        ("eva", "does not start or train"),
        ("lori-s", "does not start or train"),
        ("peft:ia3", "cannot be looked into"),
    ],
)
def test_other_variants_are_told_apart_with_the_reason(text: str, why: str) -> None:
    found = rules.way(_ref(text))
    assert found.alpha is None and not found.trains_base and why in found.why


def test_full_fine_tuning_is_known_by_what_it_trains() -> None:
    assert rules.way(_ref("fullft")) == FULL
    gone = rules.way(VariantRef(name="gone", settings={}, revision=1))
    assert gone.alpha is None and "not known here" in gone.why


def test_a_model_is_read_from_its_configuration(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(
        '{"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "hidden_size": 8}}'
    )
    assert rules.model("g", tmp_path) == Model("g", "gemma3_text", 8)
    config.write_text('{"model_type": "gpt2", "n_embd": 64}')
    assert rules.model("g", tmp_path) == Model("g", "gpt2", 64)
    config.write_text("[]")
    with pytest.raises(UserError, match="no object"):
        rules.model("g", tmp_path)
