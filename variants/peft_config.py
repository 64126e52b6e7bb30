"""Any huggingface/peft config as a variant: `peft:ia3`, `peft:loha,r=8,alpha=16`, `peft:path/to/folder`.

A config is what adapter_config.json holds. Of a file only JSON values under names that peft knows are taken;
what belongs to a machine or a base is left out, so that the settings say all there is and survive JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from variants import peft_fields, spec
from variants.interface import Calibration, Variant, VariantError
from variants.peft_adapter import PeftAdapter
from variants.peft_mount import heeded, quiet
from variants.site import generator

FILE, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LIMIT = 1 << 20  # bytes of a config file; real ones have a few thousand
OFF_BASE = ("C3A", "FOURIERFT", "UNILORA", "VBLORA")  # random starts that already change the output
WORDS = re.compile(r"[\w.]+(\+[\w.]+)*")
STEPS = 1000  # AdaLoRA's length until the training says its own


@dataclass(frozen=True)
class PeftConfig(Variant):
    """A peft method with its settings, those at peft's defaults left out; `config` is them as JSON text.

    Where no target_modules are given, peft's own for the architecture are taken, else every linear layer but
    the head. Seeds that are not given follow the seed of `attach`. Raises VariantError for an unknown method
    or setting, and for one that cannot stand on a shared base (`peft_fields` says which and why).
    """

    name: ClassVar[str] = "peft"
    summary: ClassVar[str] = (
        "any huggingface/peft config, such as peft:ia3 or peft:path/to/adapter_config.json"
    )
    packable: ClassVar[bool] = False

    peft_type: str = "LORA"
    config: str = "{}"

    def __post_init__(self) -> None:
        super().__post_init__()
        content = peft_fields.tidy({"peft_type": self.peft_type, **json.loads(self.config)})
        object.__setattr__(self, "peft_type", content.pop("peft_type"))
        object.__setattr__(self, "config", json.dumps(content, sort_keys=True))
        moved = self.peft_type in OFF_BASE or any(map(peft_fields.is_start, content))
        object.__setattr__(self, "starts_at_base", not moved)
        self._made(content)

    @classmethod
    def read(cls, text: str) -> dict[str, Any]:
        """A file, a folder or a method's name, then setting=value: JSON, a word, or words joined by +."""
        pieces = spec.split(text)
        content: dict[str, Any] = {}
        if pieces and ("=" not in pieces[0] or _is_path(pieces[0].partition("=")[0])):
            head = pieces.pop(0)
            content = from_file(Path(head)) if _is_path(head) else {"peft_type": head}
        given = dict.fromkeys(piece.partition("=")[0].strip() for piece in pieces)
        if len(given) < len(pieces):
            raise VariantError(f"peft: a setting is given twice in {text!r}")
        for piece in pieces:
            key, equals, value = (part.strip() for part in piece.partition("="))
            if not equals:
                raise VariantError(f"peft: expected setting=value, got {piece!r}")
            content["peft_type" if key == "type" else key] = _value(key, value)
        return content

    @classmethod
    def build(cls, settings: Mapping[str, Any]) -> PeftConfig:
        content = peft_fields.tidy({"peft_type": "LORA", **settings})
        return cls(content.pop("peft_type"), json.dumps(content))

    @property
    def label(self) -> str:
        return f"{self.name}:{self.peft_type.lower()}"

    def settings(self) -> dict[str, Any]:
        return {"peft_type": self.peft_type, **json.loads(self.config)}

    def _made(self, content: Mapping[str, Any], **own: Any) -> Any:
        """peft's configuration object."""
        cls = peft_fields.config_class(self.peft_type)
        known = peft_fields.defaults(cls)
        if "total_step" in known and not content.get("total_step"):
            own["total_step"] = STEPS
        if hasattr(cls, "progressbar"):
            own["progressbar"] = False
        with one_line(f"peft {self.peft_type.lower()}"), heeded():
            return cls(task_type="CAUSAL_LM", **{**content, **own})

    def resolved(self, model: nn.Module, seed: int) -> Any:
        """peft's configuration for this model: with seeds and targets."""
        content = json.loads(self.config)
        seeds = {
            key: generator(seed, "peft", key).initial_seed() % 2**31
            for key in peft_fields.defaults(peft_fields.config_class(self.peft_type))
            if peft_fields.is_seed(key) and key not in content
        }
        config = self._made(content, **seeds)
        with quiet():
            peft_fields.aim(config, model)
        return config

    def check(self, model: nn.Module) -> None:
        try:
            self.attach(model, 0).detach()
        except VariantError as error:  # some starts need the weights, which a model on the meta device lacks
            on_meta = next(model.parameters()).device.type == "meta"
            if not (on_meta and isinstance(error.__cause__, NotImplementedError)):
                raise

    def attach(self, model: nn.Module, seed: int, calibration: Calibration | None = None) -> PeftAdapter:
        return self._placed(model, seed, self.resolved(model, seed))

    def _placed(self, model: nn.Module, seed: int, config: Any) -> PeftAdapter:
        with one_line(f"peft {self.peft_type.lower()}"):
            return PeftAdapter(self, model, seed, config)


def load(model: nn.Module, folder: Path | str, seed: int = 0) -> PeftAdapter:
    """The adapter that a PEFT folder holds, on `model`, with nothing that trains.

    Only safetensors are read. Raises VariantError for what is no such folder, for a config that cannot stand
    on an untouched base, and unless every tensor of the file was taken and none was missing.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    content = peft_fields.as_trained(from_file(folder))
    variant = PeftConfig.build(content)
    file = folder / WEIGHTS
    if not file.is_file():
        pickle = "adapter_model.bin"
        why = f"{pickle} is a pickle, which can run code" if (folder / pickle).is_file() else "missing"
        raise VariantError(f"peft: no {WEIGHTS} in {str(folder)!r} ({why}); save the adapter as safetensors")
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise VariantError(f"peft: {str(file)!r} cannot be read: {error}") from None
    config = variant.resolved(model, seed)
    config.inference_mode = True
    adapter = variant._placed(model, seed, config)
    try:
        with one_line(f"peft: {str(folder)!r} does not fit"):
            adapter.fill(tensors)
    except BaseException:
        adapter.detach()
        raise
    return adapter


def from_file(path: Path) -> dict[str, Any]:
    """What a config file, or the folder it lies in, says. Raises VariantError."""
    path = path.expanduser()
    file = path / FILE if path.is_dir() else path
    try:
        if file.stat().st_size > LIMIT:
            raise VariantError(f"peft: {str(file)!r} is larger than {LIMIT} bytes; no config is")
        content = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise VariantError(f"peft: no config at {str(file)!r} ({error.strerror}); expected {FILE}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, VariantError):
            raise
        raise VariantError(f"peft: {str(file)!r} is no JSON: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("peft_type"), str):
        raise VariantError(f"peft: {str(file)!r} holds no JSON object with a peft_type")
    return peft_fields.without_switched_off(content)


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """peft's refusal as a VariantError in one line; running out of memory stays what it is."""
    try:
        yield
    except (VariantError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if "memory" in str(error).lower():
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        raise VariantError(f"{what}: {text[:300]}") from error


def _is_path(text: str) -> bool:
    """Whether the text names a file or folder, and not a method; ./ia3 is a folder."""
    return "/" in text or "\\" in text or text.endswith(".json") or text.startswith(("~", "."))


def _value(key: str, text: str) -> Any:
    """A value as typed: JSON, else words joined by + as a list, else the text."""
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        value = text
    if isinstance(value, str) and "+" in text and WORDS.fullmatch(text):
        return [_value("", word) for word in text.split("+")]
    if peft_fields.is_list(key) and not isinstance(value, list | dict) and WORDS.fullmatch(text):
        return [value]
    return value


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number")
