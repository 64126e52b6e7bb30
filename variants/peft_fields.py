"""What a peft config may say: the methods and settings that peft knows, and why some are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import nn

from variants import spec
from variants.interface import VariantError

PROMPT = "adds virtual tokens to the input and changes no weight, so there is nothing to place on layers"
TYPES = {
    "ADAPTION_PROMPT": "adds prompt tokens inside the attention and changes no weight",
    "LILY": "lets the rows of a batch change each other's outputs",
    "POLY": "needs the id of a task with every batch",
    "SHADOW": "runs a second network beside the model",
    "XLORA": "mixes adapters that have been trained already",
}
FIELDS = {
    "alora_invocation_tokens": "needs to be told where in each row the adapter begins",
    "arrow_config": "mixes adapters that have been trained already",
    "bias": "trains the model's own biases, which all variants share",
    "boft_n_butterfly_factor": "counts only where peft can compile a CUDA extension; elsewhere it is 1",
    "corda_config": "belongs to a start that is a variant of its own: use corda",
    "eva_config": "belongs to a start that is a variant of its own: use eva",
    "generator_seed": "draws from a generator that does not follow the training step",
    "kasa_config": "rewrites the model's weights, which all variants share",
    "layer_replication": "changes how many layers the model has",
    "loftq_config": "belongs to a start that is a variant of its own: use loftq",
    "lora_ga_config": "belongs to a start that is a variant of its own: use lora-ga",
    "megatron_config": "names a module to import",
    "megatron_core": "names a module to import",
    "monteclora_config": "needs a loss of its own, which peft leaves to the training loop",
    "runtime_offload_base_weight": "moves the model's weights, which all variants share",
    "sample_at_inference": "makes every evaluation a random draw",
    "target_parameters": "would rewire the model in every pass; use lora, which adapts fused experts",
    "use_qalora": "needs a base quantised by GPTQ",
}
STARTS = {
    "corda": ("rewrites the model's weights, which all variants share", "corda"),
    "eva": ("looks at training examples", "eva"),
    "loftq": ("rewrites the model's weights, which all variants share", "loftq"),
    "lora_ga": ("rewrites the model's weights, which all variants share", "lora-ga"),
    "olora": ("rewrites the model's weights, which all variants share", "olora"),
    "pissa": ("rewrites the model's weights, which all variants share", "pissa"),
}
NO_EFFECT = {
    ("ADALORA", "r"): "has no effect; give init_r and target_r",
    ("OFT", "module_dropout"): "has no effect in peft; leave it out",
}
# Of a machine, a base or a moment, and not of the method:
ELSEWHERE = (
    *("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version"),
    *("progressbar", "revision", "runtime_config", "task_type"),
)
MOST = 10**6
LONGEST = 1000


def config_class(peft_type: str) -> Any:
    """peft's configuration class. Raises VariantError for an unknown or refused method."""
    from peft.config import PromptLearningConfig
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    known = {str(kind.value): cls for kind, cls in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    refused = {kind: PROMPT for kind, cls in known.items() if issubclass(cls, PromptLearningConfig)} | TYPES
    name = peft_type.lower()
    if peft_type not in known:
        usable = ", ".join(sorted(kind.lower() for kind in known if kind not in refused))
        near = spec.nearest(name, sorted(kind.lower() for kind in known))
        raise VariantError(f"peft: unknown config {name!r}; nearest is {near!r} (of {usable})")
    if peft_type in refused:
        raise VariantError(f"peft: {name} is refused: it {refused[peft_type]}")
    return known[peft_type]


@cache
def defaults(cls: Any) -> dict[str, Any]:
    """Every setting of a configuration class with its default."""
    return {
        f.name: f.default if f.default_factory is MISSING else f.default_factory()
        for f in fields(cls)
        if f.init and f.name not in (*ELSEWHERE, "peft_type")
    }


def tidy(content: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a config in one spelling, those at their defaults left out. Raises VariantError."""
    if not isinstance(content.get("peft_type"), str):
        raise VariantError("peft: which config? Expected a peft_type, such as loha")
    peft_type = content["peft_type"].strip().upper().replace("-", "_")
    cls = config_class(peft_type)
    if content.get("task_type") not in (None, "CAUSAL_LM"):
        raise VariantError(f"peft: task_type {content['task_type']!r} is not for a causal language model")
    known, hints = defaults(cls), get_type_hints(cls)
    found: dict[str, Any] = {"peft_type": peft_type}
    for key, value in content.items():
        if key == "peft_type" or key in ELSEWHERE:
            continue
        spec.known(f"peft {peft_type.lower()}", [key], list(known))
        value = _one_spelling(key, value)
        if value == known[key] or (not value and not known[key] and not isinstance(value, bool | int)):
            continue
        _refuse(peft_type, key, value)
        if not fits(value, hints[key], loose="alpha" in key or "lambda" in key) or not _sane(key, value):
            kind = str(getattr(hints[key], "__name__", hints[key])).replace("typing.", "")
            raise VariantError(
                f"peft {peft_type.lower()}: {key} cannot be {str(value)[:60]!r}; expected {kind} of sane size"
            )
        found[key] = value
    return found


def without_switched_off(content: Mapping[str, Any]) -> dict[str, Any]:
    """A config file without the settings that this peft does not know and that are off anyhow."""
    kind = str(content["peft_type"]).upper()
    known = {*defaults(config_class(kind)), *ELSEWHERE, "peft_type"}
    return {k: v for k, v in content.items() if k in known or v not in (None, False, [], {}, "")}


def as_trained(content: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a finished adapter, without what only its start or its training needed."""
    gone = {key for kind, key in NO_EFFECT if kind == str(content["peft_type"]).upper()}
    if content.get("init_lora_weights") in ("eva", "gaussian", "orthogonal", False):
        gone |= {"init_lora_weights", "eva_config"}
    return {key: value for key, value in content.items() if key not in gone}


def _refuse(peft_type: str, key: str, value: Any) -> None:
    if key in FIELDS:
        raise VariantError(f"peft: {key}={str(value)[:40]} is refused: it {FIELDS[key]}")
    if key == "init_lora_weights" and isinstance(value, str):
        for start, (why, own) in STARTS.items():
            if value.startswith(start):
                raise VariantError(
                    f"peft: init_lora_weights={value} is refused: it {why}; use the variant {own}"
                )
    if why := NO_EFFECT.get((peft_type, key)):
        raise VariantError(f"peft {peft_type.lower()}: {key} {why}")


def _one_spelling(key: str, value: Any) -> Any:
    """Whole numbers as such; names of modules are a set: sorted, each once."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if is_list(key) and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return sorted(set(value))
    return value


def is_list(key: str) -> bool:
    """Whether one word for this setting means a list of one."""
    return key.endswith("_modules") or key in ("modules_to_save", "token_indices", "trainable_token_indices")


def is_seed(key: str) -> bool:
    """Whether this setting seeds a random draw."""
    return key.endswith(("_seed", "_prng_key")) and key not in FIELDS


def is_start(key: str) -> bool:
    """Whether this setting may move the start away from the pretrained function."""
    return key == "apply_GS" or (key.startswith("init_") and key not in ("init_r", "init_warmup"))


def fits(value: Any, hint: Any, loose: bool = False) -> bool:
    """Whether a JSON value is of an annotated kind; `loose` lets any number stand for a whole one."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, one, loose) for one in inner)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in inner)
    if origin in (list, tuple, set):
        return isinstance(value, list) and all(fits(one, inner[0]) for one in value if inner)
    if origin is dict or hint is dict or is_dataclass(hint):
        return isinstance(value, dict)
    if hint in (int, float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (hint is float or loose or isinstance(value, int))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return isinstance(value, str)
    return isinstance(value, hint) if hint in (bool, str, NoneType) else True


def _sane(key: str, value: Any) -> bool:
    """Whether nothing in it is endless: numbers, texts and lists have limits."""
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int | float):
        return math.isfinite(value) and abs(value) <= (2**63 if is_seed(key) else MOST)
    if isinstance(value, str):
        return len(value) <= LONGEST
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    return len(parts) <= MOST and all(_sane(key, part) for part in parts)


def aim(config: Any, model: nn.Module) -> None:
    """Fill in target_modules: peft's own for the architecture, else every linear layer but the head."""
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
    from peft.tuners.tuners_utils import BaseTuner

    tuner = PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type]
    blank = tuner.__new__(tuner)
    nn.Module.__init__(blank)
    blank.model = model
    try:
        blank._prepare_adapter_config(config, BaseTuner.get_model_config(model))
        return
    except ValueError:
        pass
    if config.target_modules is None:
        if str(config.peft_type.value) == "LN_TUNING":
            raise VariantError("peft ln_tuning: give target_modules, the names of the normalisation layers")
        config.target_modules = "all-linear"
    if hasattr(config, "feedforward_modules") and config.feedforward_modules is None:
        config.feedforward_modules = set()
