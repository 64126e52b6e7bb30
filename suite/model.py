"""The base model: where it lies, what its content is, and loading it (which alone needs torch)."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.errors import UserError, nearest, one_line
from suite.record import BaseRef

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SHIPPED = {"pocket": ("tasks.pocket", "base")}
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
TOKENIZER = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "vocab.*",
    "merges.txt",
    "added_tokens.json",
)


def locate(name: str) -> Path:
    """The folder of a base: a shipped name, a local folder, or a hub id that is cached or can be fetched."""
    if name in SHIPPED:
        package, folder = SHIPPED[name]
        return _checked(name, Path(str(files(package))) / folder)
    if not name.strip():
        raise UserError(f"no model given; expected {_choices()}")
    path = Path(name).expanduser()
    if path.is_dir():
        return _checked(name, path)
    looks_local = path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1
    if looks_local or path.exists():
        hint = f"; did you mean {nearest(name, SHIPPED)!r}?" if "/" not in name else ""
        raise UserError(f"no model folder {name!r}; expected {_choices()}{hint}")
    return _checked(name, _from_hub(name))


def base_ref(name: str, folder: Path) -> BaseRef:
    """A base in a record: a shipped name or hub id as given, a folder by its last part; and its content."""
    path = Path(name).expanduser()
    shown = path.resolve().name if name not in SHIPPED and path.is_dir() else name
    return BaseRef(name=shown, digest=content_digest(folder))


def content_digest(folder: Path) -> str:
    """16 hex digits of the SHA-256 over configuration, tokenizer and weights: file names and bytes."""
    total = hashlib.sha256()
    for path in sorted(
        {p for pattern in (*WEIGHTS, *TOKENIZER) for p in folder.glob(pattern) if p.is_file()}
    ):
        with path.open("rb") as file:
            total.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def context_length(folder: Path) -> int | None:
    """Tokens that the model can attend to, where its configuration says so."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(folder, f"config.json: {one_line(error)}") from None
    if not isinstance(config, dict):
        raise _unreadable(folder, "config.json holds no object")
    length = config.get("max_position_embeddings")
    if length is not None and not (isinstance(length, int) and length > 0):
        raise _unreadable(folder, f"config.json: max_position_embeddings is {str(length)[:60]!r}")
    return length


def check(folder: Path) -> None:
    """Raise UserError for a configuration, tokenizer or weights that cannot be read, without loading them."""
    from safetensors import SafetensorError, safe_open

    context_length(folder)
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt"):  # reads the header, and that the file is as long as it says
                pass
        except (OSError, SafetensorError) as error:
            raise _unreadable(folder, f"{file.name}: {one_line(error)}") from None
    tokenizer(folder)


def tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a base. One without a padding token pads with end of text."""
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the Rust library raises nothing narrower for a bad tokenizer.json
        raise _unreadable(folder, f"no usable tokenizer ({one_line(error, 160)})") from None
    if set(found.get_vocab()) <= set(found.all_special_tokens):  # what some classes make of no files
        raise _unreadable(folder, "no usable tokenizer (it has no vocabulary)")
    if found.eos_token_id is None:
        raise UserError(f"the tokenizer in {str(folder)!r} has no end-of-text token; set eos_token in it")
    if found.pad_token_id is None:
        found.pad_token = found.eos_token
    return found


def skeleton(folder: Path) -> PreTrainedModel:
    """The model without weights (meta device): enough to check a variant against its layers."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder, one_line(error)) from None


def load(folder: Path, precision: str, device: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in a folder and its tokenizer; see `weights` and `tokenizer`."""
    return weights(folder, precision, device), tokenizer(folder)


def weights(folder: Path, precision: str, device: str) -> PreTrainedModel:
    """The model in a folder, from safetensors only, no remote code, frozen and in evaluation mode.

    `precision` is that of its weights ('float32' or 'bfloat16'). Raises UserError where a tensor is missing
    or of another shape: what is not in the files would be random.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, precision), use_safetensors=True, output_loading_info=True, **local
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if "memory" in str(error).lower():
            raise
        raise UserError(f"model folder {str(folder)!r} cannot be loaded: {one_line(error)}") from None
    model, found = loaded
    wrong = sorted(str(key) for kind in ("missing_keys", "mismatched_keys") for key in found[kind])
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise UserError(f"model folder {str(folder)!r}: its files lack {wrong[0]}{more}, or in that shape")
    return model.to(device).eval().requires_grad_(False)


def resolve_device(name: str) -> str:
    """'auto', 'cpu', 'cuda' or 'cuda:N' as a device that this machine has."""
    import torch

    word = name.strip().lower()
    kind, _, index = word.partition(":")
    if word == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if word == "cpu":
        return word
    if kind != "cuda" or not (index.isdecimal() or word == "cuda"):
        close = nearest(word, ["auto", "cpu", "cuda"])
        raise UserError(
            f"unknown device {name!r}; expected auto, cpu, cuda or cuda:N; did you mean {close!r}?"
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) >= count:
        raise UserError(f"device {name!r} is not here: torch sees {count} CUDA devices; use --device cpu")
    return word


def _unreadable(folder: Path, why: str) -> UserError:
    return UserError(f"model folder {str(folder)!r} cannot be read: {why}")


def _choices() -> str:
    return f"{', '.join(SHIPPED)}, a folder written by save_pretrained, or a hub id owner/name"


def _checked(name: str, folder: Path) -> Path:
    """The folder, if it holds a configuration and safetensors weights."""
    if not (folder / "config.json").is_file():
        raise UserError(f"model {name!r}: no config.json in {str(folder)!r}; expected {_choices()}")
    if (folder / "adapter_config.json").is_file():
        raise UserError(f"model {name!r}: {str(folder)!r} holds an adapter beside the model; a base has none")
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"model {name!r}: no *.safetensors in {str(folder)!r}; only safetensors weights are read"
        )
    return folder


def _from_hub(name: str) -> Path:
    """The local snapshot of a hub model; fetched if it is not there and the hub can be reached."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "tokenizer*", "merges.txt"])
        )
    except Exception as error:
        why = one_line(error, 120)
        raise UserError(f"model {name!r} is no folder and not to be had from the hub ({why})") from None
