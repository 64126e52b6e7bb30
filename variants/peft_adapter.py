"""A huggingface/peft tuner as an adapter: its wrapped layers are in place inside a route and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from variants import parking
from variants.dropout import by_token
from variants.freeze import Freeze
from variants.interface import Adapter, Group, Variant, VariantError
from variants.peft_fields import FIELDS
from variants.peft_mount import NAME, Mount, Shell, Stand, heeded, in_float32, quiet, seeded

FIRST, LAST = 0.1, 0.5  # of AdaLoRA's steps, before and after ranks are shared out: its authors' proportions
CONSTANT = "ranknum"  # of AdaLoRA, which peft lets train by mistake where the base is bfloat16


class PeftAdapter(Adapter):
    """A peft tuner living on one model.

    peft draws from the global generator: for the start it is seeded by `seed`, for a training step by seed,
    phase and step, and given back as it was; its nn.Dropout draws by token. Layers are merged one by one, on
    copies in float32.
    """

    def __init__(self, variant: Variant, model: nn.Module, seed: int, config: Any) -> None:
        super().__init__(variant, model, seed)
        parking.bring_back(model.modules())
        self._mount = Mount(model)
        Freeze.add(self)
        try:
            listening = quiet() if config.inference_mode else heeded()
            with self._mount.building(), listening, seeded(model, seed, "start"):
                self._tuner = _tuner(model, config)
                if getattr(self.config, "target_parameters", None):
                    raise VariantError(f"peft: target_parameters {FIELDS['target_parameters']}")
                in_float32(self._tuner, self._mount)
            self._look()
        except BaseException:
            Freeze.remove(self)
            raise

    @property
    def config(self) -> Any:
        """peft's configuration, with what was resolved on this model."""
        return self._tuner.peft_config[NAME]

    def _look(self) -> None:
        """Take down what the tuner has in place. Nothing trains where its config says inference_mode."""
        with self._mount.inside():
            if self.config.inference_mode:
                self._tuner.requires_grad_(False)
            self._layers = _layers(self.model)
            own = {n: m for n, m in self._tuner.named_modules() if id(m) not in self._mount.original}
            self._own = list(own.values())
            self._dropouts = {n: m for n, m in own.items() if isinstance(m, nn.Dropout)}
            named = [(name, p) for name, p in self._tuner.named_parameters() if p.requires_grad]
            named = [(name, p) for name, p in named if f".{CONSTANT}." not in name]
        self._params = {name.removeprefix("model.").replace(f".{NAME}", ""): p for name, p in named}
        self._train(False)

    def _train(self, on: bool) -> None:
        for module in self._own:
            module.training = on

    def groups(self) -> list[Group]:
        return [Group(dict(self._params))] if self._params else []

    def adapted(self) -> list[str]:
        return list(self._layers)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The wrapped layers are in place; in a training step dropout is on, drawn from its number."""
        with self._mount.inside():
            if self.step is None:
                yield
                return
            try:
                self._train(True)
                at = (self.seed, "dropout", self.phase, self.step)
                with seeded(self.model, *at), by_token(self._dropouts, self.tokens, *at):
                    yield
            finally:
                self._train(False)

    def begin(self, steps: int) -> None:
        """A method that hands out ranks over the training is told how long that is. Raises VariantError.

        A schedule that was given with its own length is stretched to this one.
        """
        if not hasattr(self.config, "total_step"):
            return
        given = self.variant.settings()
        share = steps / given.get("total_step", steps)
        first = round(given["tinit"] * share) if "tinit" in given else int(FIRST * steps)
        last = round(given["tfinal"] * share) if "tfinal" in given else int(LAST * steps)
        if first + last >= steps:
            raise VariantError(
                f"peft: tinit {first} and tfinal {last} leave no step of {steps} between them; lower them"
            )
        self.config.total_step, self.config.tinit, self.config.tfinal = steps, first, last

    def penalty(self) -> Tensor | None:
        """What the tuner's forward adds to a loss: AdaLoRA's orthogonality (arXiv 2303.10512, eq. 4)."""
        from peft.tuners.tuners_utils import BaseTuner

        forward = type(self._tuner).forward
        if forward is BaseTuner.forward:
            return None
        output = SimpleNamespace(loss=torch.zeros((), device=next(self.model.parameters()).device))
        with self._mount.inside():
            forward(Stand(self._tuner, model=Stand(self.model, forward=lambda: output)))
        return output.loss

    def stepped(self, step: int) -> None:
        if hasattr(type(self._tuner), "update_and_allocate"):
            with self._mount.inside(), quiet():
                self._tuner.update_and_allocate(step)

    @torch.no_grad()
    def deltas(self) -> Iterator[tuple[str, Tensor]]:
        for name, layer in self._layers.items():
            try:
                with quiet():
                    found = _by_merging(layer)
            except (NotImplementedError, RuntimeError, ValueError) as error:
                why = " ".join(str(error).split())
                raise VariantError(f"peft: what {name} learned is no change of its weight: {why}") from error
            for key, delta in found.items():
                yield f"{name}.{key}", delta

    def export(self, folder: Path | str) -> Path:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = deepcopy(self.config)
        tensors = self._saved(config)
        config.inference_mode = True
        base = getattr(getattr(self.model, "config", None), "_name_or_path", "")
        config.base_model_name_or_path = base or None
        content = {k: sorted(v) if isinstance(v, set) else v for k, v in config.to_dict().items()}
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        (folder / "adapter_config.json").write_text(text, encoding="utf-8")
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        return folder

    def _saved(self, config: Any) -> dict[str, Tensor]:
        """The tensors of the adapter under the names that its file has."""
        from peft.utils import get_peft_model_state_dict

        with self._mount.inside(), quiet():
            shell = Shell(self._tuner, config)
            state = get_peft_model_state_dict(shell, adapter_name=NAME, save_embedding_layers=False)
        return {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the tensors of an adapter's file, all of them and no others. Raises VariantError.

        Weights of the model that are in the file unchanged, as peft writes adapted embeddings, do not count.
        """
        from peft.utils import set_peft_model_state_dict

        expected = self._saved(deepcopy(self.config))
        tensors = {k: v for k, v in tensors.items() if k in expected or not _is_own(self.model, k, v)}
        ranks = getattr(self.config, "rank_pattern", None)
        with self._mount.inside(), quiet():
            if ranks and hasattr(self._tuner, "resize_modules_by_rank_pattern"):
                self._tuner.resize_modules_by_rank_pattern(ranks, NAME)
                in_float32(self._tuner, self._mount)
                self.config.rank_pattern = None
            set_peft_model_state_dict(Shell(self._tuner, self.config), dict(tensors), adapter_name=NAME)
            if ranks:
                self.config.rank_pattern = ranks
        self._look()
        now = self._saved(deepcopy(self.config))
        for what, names in (
            ("unknown", tensors.keys() - now.keys()),
            ("missing", now.keys() - tensors.keys()),
            ("not taken", {k for k in now if k in tensors and not _alike(now[k], tensors[k])}),
        ):
            if names:
                raise VariantError(
                    f"peft: {len(names)} tensors are {what} ({len(tensors)} in the file), such as "
                    f"{min(names)}; was the adapter made for another base?"
                )

    def detach(self) -> None:
        if self.attached:
            self.attached = False
            Freeze.remove(self)


def _tuner(model: nn.Module, config: Any) -> Any:
    """peft's tuner for this config, built on the model."""
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
    from peft.tuners.boft import layer as boft

    boft._FBD_CUDA = getattr(boft, "_FBD_CUDA", None) or False  # else BOFT starts a compiler for each layer
    checks = torch.sparse.check_sparse_tensor_invariants
    if not checks.is_enabled():
        checks.disable()  # they stay as they are: said aloud, torch does not warn of it in FRoD's first pass
    return PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type](model, {NAME: config}, NAME)


def _layers(model: nn.Module) -> dict[str, Any]:
    """The outermost wrapped modules by name, in the model's order."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper) and not inside:
            found[name] = module
    return found


def _by_merging(layer: Any) -> dict[str, Tensor]:
    """By how much merging changes each parameter of one layer; the weight is told even where it is not."""
    twin = deepcopy(layer)
    base = twin.original_module if hasattr(twin, "original_module") else twin.get_base_layer()
    before = {key: p.clone() for key, p in base.float().named_parameters()}
    if hasattr(twin, "unload_and_optionally_merge_module"):
        merged = twin.unload_and_optionally_merge_module(merge=True, safe_merge=False, adapter_names=None)
    else:
        twin.merge()
        merged = twin.get_base_layer()
    found = {key: p.float() - before[key] for key, p in merged.named_parameters()}
    return {key: delta for key, delta in found.items() if key == "weight" or delta.any()}


def _is_own(model: nn.Module, key: str, tensor: Tensor) -> bool:
    """Whether a tensor of an adapter's file is a weight of the model as it is."""
    name = key.removeprefix("base_model.model.").replace(".base_layer.", ".")
    own = dict(model.named_parameters(remove_duplicate=False)).get(name)
    return own is not None and torch.equal(own.cpu(), tensor.to(own.dtype))


def _alike(one: Tensor, two: Tensor) -> bool:
    return one.shape == two.shape and torch.allclose(one.float(), two.float(), rtol=1e-3, atol=1e-6)
