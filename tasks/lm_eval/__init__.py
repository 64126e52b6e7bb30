"""Our task files for lm-eval, and its own stock ones over other rows.

Everything ends in an `Evaluation` whose configuration is what a task yaml holds. Its `include` is an
absolute path that lm-eval's own loader resolves (functions and all), so that asking for a task does not
import lm-eval.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from tasks.interface import Evaluation, TaskError

OWN = Path(__file__).parent

# The splits that a stock yaml names. All but those that are read are cleared: lm-eval would look them up.
_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")


@cache
def stock_folder() -> Path:
    """The folder of lm-eval's stock task files, found without importing lm-eval."""
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise TaskError("lm-eval is not installed, and it does the scoring; run: pip install lm-eval")
    return Path(spec.origin).parent / "tasks"


def over(include: str | Path, name: str, rows: Sequence[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """The configuration of the task file `include`, called `name`, scored on `rows` with no example shown."""
    return {**_over(include, name, {"test": rows}), "num_fewshot": 0, **changes}


def stock(include: str, name: str, rows: Sequence[dict[str, Any]], metric: str, **changes: Any) -> Evaluation:
    """One of lm-eval's stock tasks (`include`: its file under lm_eval/tasks) over other rows, 0-shot."""
    filter_ = changes.pop("filter", "none")
    return Evaluation(name, metric, over(stock_folder() / include, name, rows, **changes), filter_)


def as_is(
    include: str, name: str, rows: Sequence[dict[str, Any]], shots: Sequence[dict[str, Any]] | None
) -> dict[str, Any]:
    """The configuration of a stock task over other rows, with its own number of examples shown.

    They are drawn from `shots` by lm-eval's own sampler; None where the task file holds them, or shows none.
    """
    splits = {"test": rows} if shots is None else {"test": rows, "train": shots}
    config = _over(stock_folder() / include, name, splits)
    return config if shots is None else {**config, "fewshot_split": "train"}


def _over(include: str | Path, name: str, splits: dict[str, Sequence[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "include": str(include),
        "task": name,
        **dict.fromkeys(_SPLITS),
        "test_split": "test",
        "dataset_path": None,
        "dataset_name": None,
        "custom_dataset": _dataset(splits),
    }


def longest_answer(config: dict[str, Any]) -> int | None:
    """The most tokens that a task generates; None where it generates nothing. Read without lm-eval.

    What a task file leaves open is 256, the default of lm-eval's Hugging Face model.
    """
    given = {**_plain(Path(config["include"])), **config} if "include" in config else config
    if given.get("output_type") != "generate_until":
        return None
    return int((given.get("generation_kwargs") or {}).get("max_gen_toks", 256))


@cache
def _plain(path: Path) -> dict[str, Any]:
    """A task file and what it includes, without its functions."""
    found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Plain) or {}
    include = found.pop("include", None)
    return {**_plain((path.parent / include).resolve()), **found} if include else found


def rows_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that a configuration scores, in their order, as the data have them."""
    return config["custom_dataset"]()["test"].to_list()


def rules(config: dict[str, Any]) -> str:
    """16 hex digits over all of a configuration but its rows: how prompts are written and answers judged.

    The settings given here, the bytes of the task file and of what it includes, and of the Python files
    beside it whose functions it names. What those import is lm-eval's version, which provenance has.
    """
    data = ("include", "custom_dataset")
    given = {key: value for key, value in config.items() if key not in data}
    text = json.dumps(given, sort_keys=True, separators=(",", ":"), default=_named)
    total = hashlib.sha256(text.encode())
    for name, content in _files(Path(config["include"])) if "include" in config else ():
        total.update(f"\0{name}\0{hashlib.sha256(content).hexdigest()}".encode())
    return total.hexdigest()[:16]


def _named(function: Callable[..., Any]) -> str:
    """What a configuration says of a function that it holds."""
    return f"{function.__module__}.{function.__qualname__}"


@cache
def _files(path: Path) -> tuple[tuple[str, bytes], ...]:
    """Name and content of a task file, of the Python files that it names, and of what it includes."""
    content = path.read_bytes()
    named = sorted(set(re.findall(rb"!function\s+(\w+)\.", content)))
    modules = [path.parent / f"{name.decode()}.py" for name in named]
    include = (yaml.load(content, Loader=_Plain) or {}).get("include")
    rest = _files((path.parent / include).resolve()) if include else ()
    return ((path.name, content), *((file.name, file.read_bytes()) for file in modules), *rest)


class _Plain(yaml.SafeLoader):
    """Yaml whose functions are None."""


_Plain.add_constructor("!function", lambda loader, node: None)


def _dataset(splits: dict[str, Sequence[dict[str, Any]]]) -> Callable[..., Any]:
    """What lm-eval calls for the data, with the task's metadata as keywords. Writes no cache."""

    @cache
    def build() -> Any:
        from datasets import Dataset

        return {split: Dataset.from_list(list(rows)) for split, rows in splits.items()}

    def custom_dataset(**metadata: Any) -> Any:
        return build()

    return custom_dataset
