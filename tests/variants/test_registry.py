"""Names, specs and settings; every mistake answers in one line with what was expected."""

from __future__ import annotations

import json

import pytest

from variants import VariantError, build, describe, names, parse, parse_list

SHARED = {"rslora": False, "targets": "all", "dropout": 0, "init_scale": 1}
DEFAULTS = {
    "lora": {"rank": 16, "alpha": 32, **SHARED},
    "pissa": {"rank": 16, "alpha": 16, **SHARED},
    "loftq": {"rank": 16, "alpha": 16, **SHARED, "bits": 4, "iterations": 5},
    "lori-d": {"rank": 32, "alpha": 64, **SHARED},
    "lori-s": {"rank": 32, "alpha": 64, **SHARED, "sparsity": 0.9, "fresh_a": False},
    "fullft": {},
}


def test_defaults_that_the_papers_or_the_readme_name():
    for name, settings in DEFAULTS.items():
        assert settings.items() <= parse(name).settings().items(), name


def test_names_and_summaries():
    assert set(DEFAULTS) <= set(names())
    assert [name for name, text in describe() if text and "\n" not in text] == names()


@pytest.mark.parametrize("name", list(DEFAULTS))
def test_settings_survive_json(name):
    variant = parse(name)
    again = build(variant.name, json.loads(json.dumps(variant.settings())))
    assert again == variant and hash(again) == hash(variant)


def test_specs():
    assert parse(" LoRA : rank=8 , alpha=16 ").settings() == {"rank": 8, "alpha": 16, **SHARED}
    assert parse("lori") == parse("lori-s")
    assert parse("lori:fresh_a=true").settings()["fresh_a"] is True
    assert parse("lora:alpha=16.0") == parse("lora:alpha=16")
    assert json.dumps(parse("lora:alpha=16.0").settings()) == json.dumps(parse("lora:alpha=16").settings())
    assert parse("lora:targets=v_proj+q_proj") == parse("lora:targets=q_proj + v_proj")
    assert parse("lora:targets=-gate_proj+mlp") == parse("lora:targets=mlp-gate_proj")
    assert parse("lora:targets=[qv]_proj{1,1},rank=8").settings()["targets"] == "[qv]_proj{1,1}"
    listed = parse_list("lora:rank=8,alpha=16,pissa,lori,lora:rank=4")
    assert listed == [parse("lora:rank=8,alpha=16"), parse("pissa"), parse("lori-s"), parse("lora:rank=4")]
    assert parse_list("pissa,rank=4") == [parse("pissa:rank=4")]
    assert parse_list("lora,targets=(?:q|k)_proj,pissa") == [
        parse("lora:targets=(?:q|k)_proj"),
        parse("pissa"),
    ]


def test_rules_for_alpha():
    """A rule is worked out at once, so that one choice of numbers is one variant."""
    assert parse("lora:rank=8,alpha=2r") == parse("lora:rank=8,alpha=16")
    assert parse("lora:rank=8,alpha=r").settings()["alpha"] == 8
    assert parse("lora:rank=8,alpha=0.5r").settings()["alpha"] == 4
    assert parse("pissa:rank=8").settings()["alpha"] == 8 and parse("lori:rank=8").settings()["alpha"] == 16
    assert build("lora", {"rank": 16, "alpha": 8}).scale == 0.5
    assert build("lora", {"rank": 16, "alpha": 8, "rslora": True}).scale == 2.0
    assert build("lora", {"rank": 16, "alpha": 8, "rslora": True}).of_rank(4).scale == 2.0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("lorra", "unknown variant 'lorra'; nearest is 'lora'"),
        ("lora:rnk=8", "unknown setting 'rnk'; nearest is 'rank'"),
        ("fullft:rank=8", "unknown setting 'rank'; it has none"),
        ("lora:rank=eight", "rank must be a whole number, got 'eight'"),
        ("lora:rank=8.5", "rank must be a whole number, got 8.5"),
        ("lora:rank=0", "rank must be 1 or more, got 0"),
        ("lora:rank=-4", "rank must be 1 or more, got -4"),
        ("lora:alpha=0", "alpha must be above 0, got 0"),
        ("lora:alpha=nan", "alpha must be a number or a word, got nan"),
        ("lora:alpha=rr", "alpha must be a number or a rule such as r or 2r, got 'rr'"),
        ("lora:alpha=0r", "alpha must be above 0, got '0r'"),
        ("lora:dropout=1", "dropout must be 0 or more and below 1, got 1"),
        ("lora:init_scale=0", "init_scale must be above 0, got 0"),
        ("lora:rank", "expected setting=value, got 'rank'"),
        ("lora:rank=8,rank=4", "setting 'rank' is given twice"),
        ("lori:sparsity=1", "sparsity must lie between 0 and 1, got 1"),
        ("lori-s:sparsity=0.0", "sparsity must lie between 0 and 1, got 0"),
        ("lori:fresh_a=maybe", "fresh_a must be true or false, got 'maybe'"),
        ("loftq:bits=8", "bits must be one of 2, 3, 4, got 8"),
        ("loftq:iterations=0", "iterations must be 1 or more, got 0"),
    ],
)
def test_mistakes_in_a_spec(spec, message):
    with pytest.raises(VariantError) as caught:
        parse(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "no variant given"),
        (" , ", "no variant given"),
        ("rank=8,lora", "'rank=8' comes before any variant"),
        ("lora,pissa,lora", "'lora' is given twice"),
        ("lori,lori-s", "'lori-s' is given twice"),
        ("lora,lora:rank=16", "'lora:rank=16' is given twice"),
    ],
)
def test_mistakes_in_a_list(spec, message):
    with pytest.raises(VariantError, match=message):
        parse_list(spec)


def test_settings_of_the_wrong_type():
    for settings in ({"rank": True}, {"rank": "8"}, {"alpha": None}, {"targets": 3}):
        with pytest.raises(VariantError, match="must be"):
            build("lora", settings)


def test_rank_too_large_names_layer_and_limit(tiny_model):
    with pytest.raises(
        VariantError, match=r"rank 33 is too large for model.layers.0.self_attn.k_proj; at most 32"
    ):
        build("lora", {"rank": 33}).check(tiny_model)
    with pytest.raises(VariantError, match="at most 32"):
        build("loftq", {"rank": 33}).attach(tiny_model, 0)
    build("lora", {"rank": 32}).check(tiny_model)
    build("lora", {"rank": 64, "targets": "q_proj"}).check(tiny_model)
