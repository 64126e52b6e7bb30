"""Parameters in the place of a model's own for a while, and the whole model written with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from safetensors.torch import save_file
from torch import nn


@contextmanager
def replaced(model: nn.Module, params: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Inside, the named parameters stand in the place of the model's own, wherever the model uses them."""
    substitute = {id(model.get_parameter(name)): p for name, p in params.items()}
    slots = [
        (module, key, substitute[id(own)])
        for module in model.modules()
        for key, own in module._parameters.items()
        if id(own) in substitute
    ]
    with _placed(slots):
        yield


def write_plain(
    model: nn.Module, params: Mapping[str, nn.Parameter], folder: Path, apart: bool = False
) -> Path:
    """The whole model with `params` in place, through its own save_pretrained where it has one.

    `apart` is as in `standing`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with standing(model, params, apart):
        save = getattr(model, "save_pretrained", None)
        if callable(save):
            save(folder)
        else:
            tensors = {name: p.detach().contiguous() for name, p in model.named_parameters()}
            save_file(tensors, folder / "model.safetensors")
    return folder


def standing(
    model: nn.Module, params: Mapping[str, nn.Parameter], apart: bool
) -> AbstractContextManager[None]:
    """Inside, the named parameters stand in the place of the model's own, wherever it uses them.

    `apart`: each stands only where it is named, so that tied weights come apart.
    """
    return _only_there(model, params) if apart else replaced(model, params)


@contextmanager
def _only_there(model: nn.Module, params: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Inside, the parameters stand at the named places alone, and the configuration ties none of those."""
    slots = []
    for name, p in params.items():
        owner, _, key = name.rpartition(".")
        slots.append((model.get_submodule(owner), key, p))
    uses = Counter(id(p) for module in model.modules() for p in module._parameters.values() if p is not None)
    untied = any(uses[id(module._parameters[key])] > 1 for module, key, _ in slots)
    configs = [getattr(model, "config", None)] if untied else []
    held = [(config, config.tie_word_embeddings) for config in configs if config is not None]
    try:
        for config, _ in held:
            config.tie_word_embeddings = False
        with _placed(slots):
            yield
    finally:
        for config, tied in held:
            config.tie_word_embeddings = tied


@contextmanager
def _placed(slots: list[tuple[nn.Module, str, nn.Parameter]]) -> Iterator[None]:
    """Inside, each parameter is the module's own of that key."""
    held = [(module, key, module._parameters[key]) for module, key, _ in slots]
    try:
        for module, key, p in slots:
            module._parameters[key] = p
        yield
    finally:
        for module, key, own in held:
            module._parameters[key] = own
