"""Which layers of a model are adapted: a few words, or a regular expression over module names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from variants.spec import VariantError, nearest

Kind = Literal["linear", "embedding", "experts"]

WORDS = re.compile(r"[+-]?[A-Za-z_]\w*(\s*[+-]\s*[A-Za-z_]\w*)*")
ACTIVE = ("num_experts_per_tok", "moe_top_k", "top_k", "num_selected_experts")


@dataclass(frozen=True)
class Layer:
    """One layer to adapt: number `index` of `count`, in the model's order.

    `weight` is the model's own: [d_out, d_in] of a linear layer (a view of it where it is `turned`),
    [vocabulary, d] of an embedding, [experts, d_out, d_in] of fused experts, whose `name` is that of the
    parameter and of which `active` see each token.
    """

    name: str
    kind: Kind
    weight: Tensor
    index: int
    count: int
    active: int = 1

    @property
    def sides(self) -> tuple[int, int]:
        """(d_out, d_in) of one matrix."""
        return self.weight.shape[-2], self.weight.shape[-1]


def tidy(targets: str) -> str:
    """Words in one order, so that one choice has one spelling; a regular expression as it is."""
    text = targets.strip()
    if not WORDS.fullmatch(text):
        return text
    plus, minus = _signed(text)
    return "+".join(sorted(plus)) + "".join(f"-{word}" for word in sorted(minus))


def select(model: nn.Module, targets: str = "all") -> dict[str, Layer]:
    """The layers to adapt, by name, in the model's order.

    Words joined by + are put together, words after - taken out: "mlp-gate_proj+lm_head". A word is
    `all` (every linear layer but the output embedding, and fused experts), `attention` (those inside an
    attention block), `mlp` (the others of `all`), `lm_head` (the output embedding), `embed_tokens` (the
    input embedding), or the last part of a layer's name. Anything else is a regular expression that must
    match a layer's whole name, or its last part. Raises VariantError where nothing matches.
    """
    found = dict(_adaptable(model))
    if not any(kind != "embedding" for kind, _ in found.values()):
        raise VariantError(f"{type(model).__name__} has no linear layer to adapt; use fullft")
    if not _blocks(model, found):
        raise VariantError(
            f"{type(model).__name__} has no linear layer besides its head; use fullft, or peft:lora, "
            "which adapts other kinds of layers"
        )
    names = _by_words(model, found, targets) if WORDS.fullmatch(targets) else _by_pattern(found, targets)
    active = _active(model) if any(found[name][0] == "experts" for name in names) else 1
    chosen = [(name, *found[name]) for name in found if name in names]
    return {
        name: Layer(name, kind, weight, i, len(chosen), active if kind == "experts" else 1)
        for i, (name, kind, weight) in enumerate(chosen)
    }


def turned(model: nn.Module, name: str) -> bool:
    """Whether this is a linear layer whose weight is stored [d_in, d_out]: transformers' Conv1D (GPT-2)."""
    module = _module(model, name)
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def _adaptable(model: nn.Module) -> Iterator[tuple[str, tuple[Kind, Tensor]]]:
    """Everything that can be adapted: name -> kind and stored weight."""
    embedding = _own(model, "get_input_embeddings")
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward:
            yield name, ("linear", module.weight)
        elif turned(model, name):
            yield name, ("linear", model.get_parameter(f"{name}.weight").T)
        elif isinstance(module, nn.Embedding) and module is embedding:
            yield name, ("embedding", module.weight)
        elif not isinstance(module, _ConvNd):
            for key, weight in module.named_parameters(recurse=False):
                if weight.ndim == 3:
                    if getattr(module, "is_transposed", False):
                        raise VariantError(
                            f"{name}.{key}: expert weights stored transposed cannot be adapted"
                        )
                    yield f"{name}.{key}", ("experts", weight)


def _by_words(model: nn.Module, found: dict[str, tuple[Kind, Tensor]], targets: str) -> set[str]:
    head, embedding = _own(model, "get_output_embeddings"), _own(model, "get_input_embeddings")
    blocks = _blocks(model, found)
    ends = {name for name in found if name not in blocks}
    meanings: dict[str, Callable[[], set[str]]] = {
        "all": lambda: set(blocks),
        "attention": lambda: {name for name in blocks if _in_attention(name)},
        "mlp": lambda: {name for name in blocks if not _in_attention(name)},
        "lm_head": lambda: {name for name in ends if _module(model, name) is head},
        "embed_tokens": lambda: {name for name in ends if _module(model, name) is embedding},
    }
    for leaf in sorted({_leaf(name) for name in found}):
        meanings.setdefault(leaf, partial(_with_leaf, list(found), leaf))
    plus, minus = _signed(targets)
    for word in [*plus, *minus]:
        if word not in meanings or not meanings[word]():
            known = [known for known in meanings if meanings[known]()]
            near = nearest(word, [each for each in known if each != word])
            raise VariantError(f"no layer is called {word!r}; nearest is {near!r} (of {', '.join(known)})")
    names = {name for word in plus for name in meanings[word]()}
    names -= {name for word in minus for name in meanings[word]()}
    if not names:
        raise VariantError(f"targets {targets!r} leave no layer to adapt; take out less")
    return names


def _blocks(model: nn.Module, found: dict[str, tuple[Kind, Tensor]]) -> list[str]:
    """The layers that are neither the input nor the output embedding."""
    ends = [_own(model, getter) for getter in ("get_input_embeddings", "get_output_embeddings")]
    return [n for n in found if (m := _module(model, n)) is None or not any(m is end for end in ends)]


def _by_pattern(found: dict[str, tuple[Kind, Tensor]], targets: str) -> set[str]:
    try:
        pattern = re.compile(targets)
    except re.error as error:
        raise VariantError(
            f"targets {targets!r} are neither words nor a regular expression: {error}"
        ) from None
    names = {name for name in found if pattern.fullmatch(name) or pattern.fullmatch(_leaf(name))}
    if not names:
        raise VariantError(
            f"targets {targets!r} match no layer; a regular expression must match a whole name, "
            f"such as {next(iter(found))!r}, or its last part"
        )
    return names


def _signed(text: str) -> tuple[set[str], set[str]]:
    """Words to put together and words to take out; nothing to put together means all."""
    pieces = re.findall(r"([+-]?)\s*(\w+)", text)
    plus = {word for sign, word in pieces if sign != "-"}
    return plus or {"all"}, {word for sign, word in pieces if sign == "-"}


def _active(model: nn.Module) -> int:
    """How many experts see each token."""
    config = getattr(model, "config", None)
    for key in ACTIVE:
        if isinstance(count := getattr(config, key, None), int) and count > 0:
            return count
    raise VariantError(f"{type(model).__name__} does not say how many experts are active; leave them out")


def _own(model: nn.Module, getter: str) -> nn.Module | None:
    get = getattr(model, getter, None)
    try:
        return get() if callable(get) else None  # pyright: ignore[reportReturnType]
    except NotImplementedError:
        return None


def _module(model: nn.Module, name: str) -> nn.Module | None:
    """The module of this name; None for a parameter."""
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None


def _in_attention(name: str) -> bool:
    return any("attn" in part or "attention" in part for part in name.lower().split(".")[:-1])


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _with_leaf(names: list[str], leaf: str) -> set[str]:
    return {name for name in names if _leaf(name) == leaf}
