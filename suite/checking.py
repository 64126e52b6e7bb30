"""`suite check-variant`: the conformance checks on a tiny model, or on one that is given."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.errors import UserError, one_line

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor, nn

    from variants.check import Probe, Result
    from variants.interface import Variant

TINY: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
    "initializer_range": 0.15,  # larger than usual, so that attention is not flat and every layer matters
}
BIASED: dict[str, Any] = {**TINY, "attention_bias": True, "mlp_bias": True}
WIDE: dict[str, Any] = {**TINY, "hidden_size": 256, "intermediate_size": 320, "num_key_value_heads": 4}
ROWS, LENGTH = 8, 16
STYLES = {"passed": "green", "failed": "bold red", "skipped": "dim"}


@dataclass(frozen=True)
class Checked:
    """A variant as asked for and what its checks found; `broken` says why there is nothing to check."""

    variant: str
    results: Sequence[Result] = ()
    broken: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return self.broken is None and self.count("failed") == 0

    def count(self, status: str) -> int:
        """How many checks ended like this."""
        return sum(result.status == status for result in self.results)

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        checks = [asdict(result) for result in self.results]
        return {"variant": self.variant, "ok": self.ok, "broken": self.broken, "checks": checks}


def check(spec: str, model: str | None = None) -> Checked:
    """All checks on one variant; without settings, on its class's example. Raises VariantError, UserError."""
    from variants import VariantError, registry
    from variants.check import check_variant

    cls = registry.get(spec.partition(":")[0])
    try:
        variant = registry.parse(spec) if ":" in spec else cls.example()
    except VariantError:
        raise
    except (Exception, SystemExit) as error:  # the class may be a stranger's
        return Checked(spec, broken=f"it cannot be built: {one_line(error)}")
    with _quiet():
        return Checked(spec, check_variant(variant, _probe(variant, model)))


def check_all(model: str | None = None) -> Iterator[Checked]:
    """Every variant in turn, then every plugin that cannot be used."""
    from variants import VariantError, registry

    for name in registry.names():
        try:
            yield check(name, model)
        except VariantError as error:
            yield Checked(name, broken=str(error))
    for line in registry.broken():
        yield Checked(line.partition(" ")[0], broken=line)


def command(name: str | None, every: bool, model: str | None, as_json: bool) -> bool:
    """Check one variant or all, print what was found, and say whether nothing failed."""
    from rich.console import Console

    if every is (name is not None):
        raise UserError("check-variant takes the name of one variant, or --all")
    found: list[Checked] = []
    with Console(stderr=True).status("checking") as shown:
        for one in check_all(model) if name is None else [check(name, model)]:
            shown.update(f"checked {one.variant}")
            found.append(one)
    if as_json:
        print(json.dumps([one.plain() for one in found], indent=2))
    elif name is None or found[0].broken:
        Console().print(summary(found))
    else:
        Console().print(details(found[0]))
    good = sum(one.ok for one in found)
    if not as_json:
        print(f"{good} of {len(found)} variants pass" if every else "passes" if good else "fails")
    return good == len(found)


def details(checked: Checked) -> Table:
    """One row a check."""
    found = _table("check", "result", "note")
    for result in checked.results:
        found.add_row(result.check, f"[{STYLES[result.status]}]{result.status}", _literal(result.note))
    return found


def summary(found: Sequence[Checked]) -> Table:
    """One row a variant, with what failed in it."""
    rows = _table("variant", *STYLES, "what failed")
    for one in found:
        counts = [str(one.count(status)) if one.results else "" for status in STYLES]
        faults = [f"{result.check}: {result.note}" for result in one.results if result.status == "failed"]
        told = f"broken: {one.broken}" if one.broken else "\n".join(faults)
        rows.add_row(one.variant, *counts, _literal(told), style=None if one.ok else STYLES["failed"])
    return rows


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        found.add_column(column, justify="right" if column in STYLES else "left")
    return found


def _literal(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _probe(variant: Variant, model: str | None) -> Probe:
    """What to check on: the model that is given, or the first tiny one that the variant fits."""
    if model is not None:
        return _probe_of(partial(deepcopy, _given(model)))
    tiny = [_probe_of(partial(deepcopy, _tiny(**config))) for config in (TINY, BIASED, WIDE)]
    return next((probe for probe in tiny if _fits(variant, probe)), tiny[0])


def _probe_of(make_model: Callable[[], nn.Module]) -> Probe:
    from variants.check import Probe

    model = make_model()
    return Probe(make_model, _tokens(model), partial(_reload, make_model))


def _fits(variant: Variant, probe: Probe) -> bool:
    """Whether the variant finds something to adapt; any other trouble is for the checks to tell."""
    from variants import VariantError
    from variants.conformance.probes import Fault, attach
    from variants.conformance.surroundings import contained

    model = probe.make_model()
    try:
        with contained():
            variant.check(model)
            return any(group.params for group in attach(variant, probe, model).groups())
    except VariantError:
        return False
    except Fault as fault:
        return not isinstance(fault.__cause__, VariantError)
    except (Exception, SystemExit):  # a stranger's code may raise anything
        return True


def _tiny(**config: Any) -> nn.Module:
    """A random Llama, every time the same, frozen like every base that the suite loads."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)  # more only wait for each other on a model of this size
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        model = LlamaForCausalLM(LlamaConfig(**config)).eval()
        for name, p in model.named_parameters():
            if name.endswith("bias"):  # which transformers starts at zero
                torch.nn.init.normal_(p, std=0.1)
    return model.requires_grad_(False)


@lru_cache(maxsize=1)
def _given(name: str) -> nn.Module:
    """A model by name or folder, in float32 on the CPU; its padding token trains like any other."""
    import torch

    from suite import model as models

    model, _ = models.load(models.locate(name), "float32", "cpu")
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            module.padding_idx = None
    return model


def _tokens(model: nn.Module) -> Tensor:
    """Rows that name every token of the vocabulary, and one more column; the same for every such model."""
    import torch

    config: Any = model.config
    size = config.get_text_config().vocab_size
    if size < ROWS:
        raise UserError(
            f"a vocabulary of {size} tokens is too small to check on; take a model of {ROWS} or more"
        )
    rows = max(ROWS, -(-size // LENGTH))
    length = -(-size // rows)
    rng = torch.Generator().manual_seed(0)
    ids = torch.cat(
        [torch.randperm(size, generator=rng), torch.randint(size, (rows * length,), generator=rng)]
    )
    last = torch.randint(size, (rows, 1), generator=rng)
    return torch.cat([ids[: rows * length].view(rows, length), last], dim=1)


def _reload(make_model: Callable[[], nn.Module], folder: Path) -> nn.Module:
    """What transformers and peft make of a folder: plain weights, or an adapter on the untouched base."""
    from transformers import AutoModelForCausalLM

    from suite.weights import ADAPTER, own_base

    own = own_base(folder)
    model: Any = make_model() if own is None else AutoModelForCausalLM.from_pretrained(own)
    if (folder / ADAPTER).is_file():
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, folder)
    elif own is None:
        raise FileNotFoundError("export() wrote neither adapter_config.json nor config.json")
    return model.eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Warnings and progress bars of the libraries that take part stay out of the table."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
