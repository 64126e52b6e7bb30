"""Specs and files of peft configs: what is taken, in which spelling, and what is refused and why."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from tests.conftest import TINY
from tests.variants.peft_specs import REFUSED, SPECS, WORKS
from variants import VariantError, build, parse, parse_list, registry
from variants.peft_config import PeftConfig


def test_every_method_of_peft_works_or_is_refused_with_a_reason():
    assert {str(kind.value) for kind in PEFT_TYPE_TO_CONFIG_MAPPING} == WORKS.keys() | REFUSED.keys()
    for kind, why in REFUSED.items():
        with pytest.raises(VariantError, match=f"peft: {kind.lower()} is refused: it .*{why}"):
            parse(f"peft:{kind.lower()}")


@pytest.mark.parametrize("spec", SPECS)
def test_settings_survive_json(spec):
    variant = parse(f"peft:{spec}")
    settings = json.loads(json.dumps(variant.settings()))
    again = build("peft", settings)
    assert again == variant and hash(again) == hash(variant) and again.settings() == settings
    assert isinstance(variant, PeftConfig) and variant.packable is False and variant.calibration_rows == 0


def test_specs():
    assert parse("peft:loha,r=8,alpha=16").settings() == {"peft_type": "LOHA", "alpha": 16}
    assert (
        parse("peft:type=loha , alpha=16") == parse("peft:alpha=16,type=LoHa") == parse("peft:loha,alpha=16")
    )
    assert parse("peft:ln-tuning") == parse("peft:ln_tuning")
    assert parse("peft") == parse("peft:lora") == parse("peft:lora,r=8") == build("peft", {"r": 8})
    assert parse("peft:lora,lora_alpha=16.0") == parse("peft:lora,lora_alpha=16")
    one = parse("peft:lora,target_modules=v_proj+q_proj")
    assert one.settings()["target_modules"] == ["q_proj", "v_proj"]
    assert one == parse('peft:lora,target_modules=["q_proj","v_proj","q_proj"]')
    assert parse("peft:lora,target_modules=q_proj").settings()["target_modules"] == ["q_proj"]
    assert parse("peft:lora,target_modules=all-linear").settings()["target_modules"] == "all-linear"
    assert parse("peft:lora,target_modules=.*q_proj").settings()["target_modules"] == ".*q_proj"
    assert parse("peft:lora,layers_to_transform=0+1").settings()["layers_to_transform"] == [0, 1]
    assert parse('peft:lora,rank_pattern={"q_proj":4,"v_proj":2}').settings()["rank_pattern"]["v_proj"] == 2
    listed = parse_list("peft:ia3,lora,peft:loha,alpha=16,target_modules=q_proj+v_proj,pissa")
    assert [variant.name for variant in listed] == ["peft", "lora", "peft", "pissa"]
    assert listed[2] == parse("peft:loha,alpha=16,target_modules=q_proj+v_proj")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("lohaa", "unknown config 'lohaa'; nearest is 'loha' .of adalora"),
        ("loha,rank=3", "peft loha: unknown setting 'rank'; nearest is"),
        ("lora,r", "expected setting=value, got 'r'"),
        ("lora,r=1,r=2", "a setting is given twice"),
        ("lora,r=x", "peft lora: r cannot be 'x'; expected int"),
        ("lora,r=8.5", "peft lora: r cannot be '8.5'"),
        ("lora,r=true", "peft lora: r cannot be 'True'"),
        ("lora,lora_alpha=NaN", "lora_alpha cannot be 'NaN'"),
        ("lora,r=100000000", "r cannot be '100000000'"),
        ("lora,use_dora=maybe", "use_dora cannot be 'maybe'"),
        ("lora,r=-1", "peft lora: `r` should be a positive integer"),
        ("oft,r=4,oft_block_size=4", "peft oft: You can only specify either r"),
        ("adalora,r=4", "peft adalora: r has no effect; give init_r and target_r"),
        ("psoft,num_cayley_neumann_terms=3", "peft does not take the config as it is: .*will be ignored"),
        ("oft,module_dropout=0.5", "module_dropout has no effect in peft"),
        ("lora,bias=all", "bias=all is refused: it trains the model's own biases"),
        ("lora,megatron_core=os", "megatron_core=os is refused: it names a module to import"),
        ("lora,init_lora_weights=pissa_niter_16", "refused: it rewrites .*; use the variant pissa"),
        ("lora,init_lora_weights=olora", "use the variant olora"),
        ("lora,init_lora_weights=corda", "use the variant corda"),
        ("lora,init_lora_weights=loftq", "use the variant loftq"),
        ("lora,init_lora_weights=lora_ga", "use the variant lora-ga"),
        ("lora,init_lora_weights=eva", "looks at training examples; use the variant eva"),
        ("lora,init_lora_weights=bogus", "init_lora_weights cannot be 'bogus'"),
        ("boft,boft_n_butterfly_factor=2", "counts only where peft can compile a CUDA extension"),
        ("pvera,sample_at_inference=true", "makes every evaluation a random draw"),
        ("no/such/adapter_config.json", "no config at 'no/such/adapter_config.json' .No such file"),
        ("./nowhere", "no config at 'nowhere'"),
    ],
)
def test_mistakes_answer_in_one_line(spec, told, tiny_model):
    with pytest.raises(VariantError, match=told) as mistake:
        parse(f"peft:{spec}").attach(tiny_model, seed=0)
    assert "\n" not in str(mistake.value)


def test_variants_that_refusals_point_to_exist():
    for name in ("pissa", "olora", "corda", "loftq", "lora-ga", "eva", "lora"):
        registry.get(name)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[1]", "holds no JSON object with a peft_type"),
        ("{}", "holds no JSON object with a peft_type"),
        ('{"peft_type": 3}', "holds no JSON object with a peft_type"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ('{"peft_type": "LORA", "lora_alpha": Infinity}', "is no JSON: Infinity is not a number"),
        ('{"peft_type": "LORA", "x": "%s"}' % ("a" * (1 << 20)), "is larger than 1048576 bytes"),
        ('{"peft_type": "LORA", "target_modules": "%s"}' % ("a" * 2000), "target_modules cannot be"),
        ('{"peft_type": "LORA", "corda_config": {"cache_file": "/etc/passwd"}}', "use corda"),
        ('{"peft_type": "LORA", "r": {"__class__": "x"}}', "r cannot be"),
        ('{"peft_type": "XLORA", "adapters": {"a": "/tmp"}}', "xlora is refused"),
    ],
)
def test_a_file_is_not_trusted(content, told, tmp_path):
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(VariantError, match=told):
        parse(f"peft:{tmp_path}")


def test_a_file_is_inlined_without_what_belongs_to_a_machine(tmp_path):
    content = {
        "peft_type": "LOHA",
        "alpha": 16,
        "r": 8,
        "base_model_name_or_path": "/home/somebody/model",
        "inference_mode": True,
        "peft_version": "0.1",
        "revision": "main",
        "task_type": "CAUSAL_LM",
        "auto_mapping": {"parent_library": "os"},
        "target_modules": ["v_proj", "q_proj"],
        "gone_from_peft": None,
    }
    (tmp_path / "adapter_config.json").write_text(json.dumps(content))
    settings = {"peft_type": "LOHA", "alpha": 16, "target_modules": ["q_proj", "v_proj"]}
    assert parse(f"peft:{tmp_path}").settings() == settings
    assert parse_list(f"peft:{tmp_path}/adapter_config.json,alpha=4,lora")[0].settings()["alpha"] == 4


@pytest.mark.parametrize(
    ("spec", "adapted"),
    [
        ("lora", {"q_proj", "v_proj"}),
        ("ia3", {"k_proj", "v_proj", "down_proj"}),
        ("ln_tuning", {"input_layernorm", "post_attention_layernorm", "norm"}),
        ("trainable_tokens,token_indices=5", {"embed_tokens"}),
        ("lora,target_modules=q_proj", {"q_proj"}),
        ("lora,target_modules=.*[kq]_proj", {"q_proj", "k_proj"}),
    ],
)
def test_targets(spec, adapted, tiny_model):
    names = parse(f"peft:{spec}").attach(tiny_model, seed=0).adapted()
    assert {name.rpartition(".")[2] for name in names} == adapted


def test_targets_of_an_unknown_architecture(tiny_model):
    """Every linear layer but the head."""
    tiny_model.config.__class__ = type("Odd", (LlamaConfig,), {"model_type": "unheard_of"})
    for spec in ("lora", "ia3"):
        adapter = parse(f"peft:{spec}").attach(tiny_model, seed=0)
        assert {n.rpartition(".")[2] for n in adapter.adapted()} == {
            *("q_proj", "k_proj", "v_proj", "o_proj"),
            *("gate_proj", "up_proj", "down_proj"),
        }
    with pytest.raises(VariantError, match="give target_modules, the names of the normalisation layers"):
        parse("peft:ln_tuning").attach(tiny_model, seed=0)


@pytest.mark.parametrize("spec", SPECS)
def test_check_needs_no_weights(spec, tiny_model):
    with torch.device("meta"):
        skeleton = LlamaForCausalLM(tiny_model.config)
    parse(f"peft:{spec}").check(skeleton)
    assert all(p.requires_grad for p in skeleton.parameters())


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("lora,target_modules=nothing", "Target modules {'nothing'} not found"),
        ("oft,oft_block_size=7", "does not take the config as it is: Invalid `oft_block_size`"),
        ('lora,rank_pattern={"nothing":4}', "does not take the config as it is: .*did not match any"),
        ("lora,target_modules=[", "peft lora: "),
        ("lora,target_modules=norm", "peft lora: Target module .* is not supported"),
    ],
)
def test_check_finds_what_does_not_fit(spec, told, tiny_model):
    with torch.device("meta"):
        skeleton = LlamaForCausalLM(tiny_model.config)
    with pytest.raises(VariantError, match=told):
        parse(f"peft:{spec}").check(skeleton)


def test_mixtures_of_experts():
    """peft turns the old names of experts into parameters, which would be rewired in every pass."""
    config = MixtralConfig(**{**TINY, "num_local_experts": 2, "num_experts_per_tok": 1})
    model = MixtralForCausalLM(config)
    assert len(parse("peft:lora").attach(model, seed=0).adapted()) == 4
    with pytest.raises(
        VariantError, match="target_parameters would rewire the model in every pass; use lora"
    ):
        parse("peft:lora,target_modules=w1+w2+w3").attach(model, seed=0)
    assert not any("default" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize(
    ("spec", "claimed"),
    [
        ("lora", True),
        ("adalora,init_r=6", True),
        ("fourierft", False),
        ("lora,init_lora_weights=false", False),
    ],
)
def test_what_is_claimed_of_the_start(spec, claimed):
    assert parse(f"peft:{spec}").starts_at_base is claimed


def test_peft_is_imported_only_for_its_own_variants():
    program = (
        "import sys, variants; variants.parse('lora'); variants.describe(); a = 'peft' in sys.modules; "
        "variants.parse('peft:ia3'); print(a, 'peft' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["False", "True"], "")
