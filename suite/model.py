"""The base model: where it lies, what its content is, and loading it (which alone needs torch)."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import architecture
from suite.architecture import context_length as context_length
from suite.architecture import unreadable
from suite.errors import UserError, nearest, one_line
from suite.kernels import check_attention
from suite.kernels import checkpointing as checkpointing
from suite.record import BaseRef

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SHIPPED = {"pocket": ("tasks.pocket", "base")}
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
TOKENIZER = (
    *("config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json", "vocab.*"),
    *("merges.txt", "added_tokens.json", "chat_template.jinja"),
)
INDEX = "model.safetensors.index.json"
CONTENT = (  # what transformers reads of a model beside its weights
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model"),
    *("special_tokens_map.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json"),
    *("chat_template.jinja", INDEX),
)
HUB = ("*.json", "tokenizer*", "merges.txt", "vocab.*", "*.jinja")


def locate(name: str, weights: bool = True) -> Path:
    """The folder of a base: a shipped name, a local folder, or a hub id owner/name or owner/name@revision.

    From the hub comes what is not in its cache; without `weights` only configuration and tokenizer.
    """
    if name in SHIPPED:
        package, folder = SHIPPED[name]
        return _checked(name, Path(str(files(package))) / folder, weights)
    if not name.strip():
        raise UserError(f"no model given; expected {_choices()}")
    path = Path(name).expanduser()
    if path.is_dir():
        return _checked(name, path, weights)
    looks_local = path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1
    if looks_local or path.exists():
        hint = f"; did you mean {nearest(name, SHIPPED)!r}?" if "/" not in name else ""
        raise UserError(f"no model folder {name!r}; expected {_choices()}{hint}")
    return _checked(name, _from_hub(name, weights), weights)


def base_ref(name: str, folder: Path) -> BaseRef:
    """A base in a record: a shipped name or hub id as given, a folder by its last part; and its content."""
    path = Path(name).expanduser()
    shown = path.resolve().name if name not in SHIPPED and path.is_dir() else name
    return BaseRef(name=shown, digest=content_digest(folder))


def content_digest(folder: Path) -> str:
    """16 hex digits of the SHA-256 over configuration, tokenizer and weights: file names and bytes."""
    total = hashlib.sha256()
    for path in sorted(folder / name for name in {*CONTENT, *_weights(folder)}):
        if not path.is_file():
            continue
        with path.open("rb") as file:
            total.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def _weights(folder: Path) -> list[str]:
    """The names of the weights that are read: a folder may hold them in other forms beside."""
    try:
        listed = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = "model.safetensors"
        return [whole] if (folder / whole).is_file() else [p.name for p in folder.glob("*.safetensors")]
    return [name for name in map(str, listed) if "/" not in name]


def check(folder: Path) -> None:
    """Raise UserError for a configuration, tokenizer or weights that cannot be used, without loading them."""
    from safetensors import SafetensorError, safe_open

    architecture.check(folder)
    shapes: dict[str, list[int]] = {}
    for name in _weights(folder):
        try:
            with safe_open(folder / name, framework="np") as file:  # the header; and that no byte is missing
                shapes |= {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise unreadable(folder, f"{name}: {one_line(error)}") from None
    check_vocabulary(folder, tokenizer(folder))
    _check_shapes(folder, shapes)


def _check_shapes(folder: Path, shapes: dict[str, list[int]]) -> None:
    """The tensors of the files are those of the model, where the files name them as the model does."""
    model = skeleton(folder)
    wanted = dict(model.named_parameters(remove_duplicate=False))
    if not set(shapes) <= {*wanted, *dict(model.named_buffers())}:
        return  # transformers gives them other names as it loads; what lacks then is told by `weights`
    there = {id(wanted[name]) for name in shapes if name in wanted}
    for name, tensor in wanted.items():
        found = shapes.get(name)
        if found is None and id(tensor) not in there:
            raise UserError(f"model folder {str(folder)!r}: its files lack {name}")
        if found is not None and found != list(tensor.shape):
            raise UserError(
                f"model folder {str(folder)!r}: {name} is {found} in its files, and the configuration asks "
                f"for {list(tensor.shape)}"
            )


def check_vocabulary(folder: Path, found: PreTrainedTokenizerBase) -> None:
    """Raise UserError where text could become a token that the model has no embedding for.

    Special tokens beyond the vocabulary do no harm if nothing writes them (Gemma 3 1B has one for images).
    """
    size = _text_config(folder).vocab_size
    special = set(found.all_special_tokens) | {
        str(token) for token in found.added_tokens_decoder.values() if token.special
    }
    used = [found.eos_token, found.bos_token, found.pad_token]
    template = found.chat_template if isinstance(found.chat_template, str) else ""
    beyond = {token: i for token, i in found.get_vocab().items() if i >= size}
    wrong = [t for t in beyond if t not in special or t in used or t in template]
    if wrong:
        last = max(wrong, key=lambda token: beyond[token])
        raise UserError(
            f"model in {str(folder)!r} has a vocabulary of {size} tokens, but its tokenizer numbers {last!r} "
            f"{beyond[last]}; give the tokenizer that belongs to it"
        )


def tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a base. One without a padding token pads with end of text."""
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the Rust library raises nothing narrower for a bad tokenizer.json
        raise unreadable(folder, f"no usable tokenizer ({one_line(error, 160)})") from None
    if set(found.get_vocab()) <= set(found.all_special_tokens):  # what some classes make of no files
        raise unreadable(folder, "no usable tokenizer (it has no vocabulary)")
    if found.eos_token_id is None:
        raise UserError(f"the tokenizer in {str(folder)!r} has no end-of-text token; set eos_token in it")
    if found.pad_token_id is None:
        found.pad_token = found.eos_token
    return found


def skeleton(folder: Path, precision: str = "float32", attention: str | None = None) -> PreTrainedModel:
    """The model without weights (meta device), frozen: enough for its layers, and for memory.py."""
    import torch
    from transformers import AutoModelForCausalLM

    architecture.check(folder)
    try:
        config = _config(folder)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(
                config, trust_remote_code=False, dtype=_type(precision), attn_implementation=attention
            )
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise unreadable(folder, one_line(error)) from None
    return model.eval().requires_grad_(False)


def load(folder: Path, precision: str, device: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in a folder and its tokenizer; see `weights` and `tokenizer`."""
    return weights(folder, precision, device), tokenizer(folder)


def weights(folder: Path, precision: str, device: str, attention: str | None = None) -> PreTrainedModel:
    """The model in a folder, from safetensors only, no remote code, frozen and in evaluation mode.

    `precision` is 'float32', 'bfloat16', or 'mixed', whose weights are float32. `attention` is a kernel by
    transformers' name; None is SDPA where the model has it. Onto a GPU tensors go one by one, without a
    copy of the model in host memory. Raises UserError where a tensor is missing or of another shape: what is
    not in the files would be random.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what is wrong is raised here, in one line
    architecture.check(folder)
    check_attention(attention, precision, device)
    how: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if device.startswith("cuda"):
        how["device_map"] = {"": device}
    if attention is not None:
        how["attn_implementation"] = attention
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=_type(precision), use_safetensors=True, output_loading_info=True, **how
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as error:
        if "memory" in str(error).lower():
            raise
        raise UserError(f"model folder {str(folder)!r} cannot be loaded: {one_line(error)}") from None
    model, found = loaded
    wrong = sorted(str(key) for kind in ("missing_keys", "mismatched_keys") for key in found[kind])
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise UserError(f"model folder {str(folder)!r}: its files lack {wrong[0]}{more}, or in that shape")
    model = model.to(device).eval().requires_grad_(False)
    if not _is_causal(model):
        kind = type(model).__name__
        raise UserError(f"model folder {str(folder)!r}: {kind} looks at later tokens; give a causal model")
    return model


def _is_causal(model: Any) -> bool:
    """Whether the last of four tokens changes no logit before it."""
    import torch

    ids = torch.tensor([[1, 2, 3, 1], [1, 2, 3, 2]], device=next(model.parameters()).device)
    with torch.no_grad():
        one, two = model(input_ids=ids, use_cache=False).logits.float()[:, :3]
    near = 1e-4 if model.dtype == torch.float32 else 1e-2  # of experts, whose order others change
    return bool((one - two).abs().max() <= near * one.abs().max())


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


def _choices() -> str:
    return f"{', '.join(SHIPPED)}, a folder written by save_pretrained, or a hub id owner/name[@revision]"


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _text_config(folder: Path) -> Any:
    try:
        return _config(folder).get_text_config()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(folder, one_line(error)) from None


def _type(precision: str) -> Any:
    """The type of the weights."""
    import torch

    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _checked(name: str, folder: Path, weights: bool) -> Path:
    """The folder, if it holds a configuration and (if they are asked for) safetensors weights."""
    if not (folder / "config.json").is_file():
        raise UserError(f"model {name!r}: no config.json in {str(folder)!r}; expected {_choices()}")
    if (folder / "adapter_config.json").is_file():
        raise UserError(f"model {name!r}: {str(folder)!r} holds an adapter beside the model; a base has none")
    if weights and not any(folder.glob("*.safetensors")):
        raise UserError(
            f"model {name!r}: no *.safetensors in {str(folder)!r}; only safetensors weights are read"
        )
    return folder


def _from_hub(name: str, weights: bool) -> Path:
    """The local snapshot of a hub model; fetched if it is not there and the hub can be reached."""
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=[*HUB, *(WEIGHTS if weights else ())],
                ignore_patterns=["*/*", "consolidated*"],  # a second copy of the weights, in another format
            )
        )
    except Exception as error:
        why = one_line(error, 120)
        raise UserError(f"model {name!r} is no folder and not to be had from the hub ({why})") from None
