"""Made-up result files of the shape of peft's method_comparison, and what the tests ask of them."""

from __future__ import annotations

import copy
import io
import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from leaderboard import about, external, front, variant
from leaderboard.cells import write_cell
from leaderboard.files import Files
from leaderboard.site import site
from suite.importing import read
from suite.reading import read as read_stores
from suite.record import Record
from suite.show import view
from suite.store import Store
from suite.table import table

PEFT = {"peft_type": "MADEUP", "r": 3, "target_modules": ["v_proj", "a_proj"], "bias": None, "dropout": 0.5}
MISSING = object()


def result(name: str = "madeup/first", accuracy: float | None = 0.25, **run: Any) -> dict[str, Any]:
    """A result file of the real shape with made-up numbers; `run` replaces parts of run_info."""
    config = {"model_id": "synthetic/base", "max_steps": 20, "batch_size": 2, "seed": 3}
    config |= {"query_template": "Q: {query}\nA:", "dtype": "bfloat16", "lr_scheduler": None}
    config |= {"optimizer_type": "AdamW", "optimizer_kwargs": {"lr": 0.02, "weight_decay": 0.5}}
    points = [{"step": s, "valid accuracy": 0.5, "train loss": 4 / s, "eval time": 7.5} for s in (10, 20)]
    last = {"step": 20, "test accuracy": accuracy, "train loss": 0.2, "train total tokens": 400}
    info = {"created_at": "2026-02-03T05:05:06+01:00", "experiment_name": name, "peft_branch": "main"}
    train = {"status": "success", "train_time": 12.5, "accelerator_memory_max": 2**30, "file_size": 77}
    train |= {"num_trainable_params": 64, "num_total_params": 4096}
    packages = {"peft-version": "0.0.1", "peft-commit-hash": "ab" * 20, "torch-version": "9.9"}
    return {
        "run_info": {**info, "train_config": config, "peft_config": dict(PEFT), "error_msg": "", **run},
        "train_info": {**train, "metrics": [*points, {**last, "forgetting": -0.125}]},
        "meta_info": {
            "model_info": {"sha": "c0ffee"},
            "dataset_info": {"metamath": {"sha": "aaa"}, "gsm8k": {"sha": "bbb"}},
            "package_info": packages,
            "system_info": {"system": "Linux", "accelerator": "Synthetic 9000"},
        },
    }


def taken(content: Any, folder: Path, name: str = "file.json") -> Record:
    """`content` written to a file and read as a record; text and bytes are written as they are."""
    file = folder / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return read(file, "suite import-peft somewhere")


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, containers included."""
    if place:
        yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*place, key))


def changed(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with what is at `place` replaced, or taken out."""
    content = copy.deepcopy(content)
    holder = content
    for key in place[:-1]:
        holder = holder[key]
    if value is MISSING:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return content


def terminal(records: list[Record]) -> str:
    """All that a terminal shows of the records."""
    console = Console(width=100, file=io.StringIO(), color_system=None)
    console.print(table(records), *(view(one) for one in records))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def page(records: list[Record]) -> str:
    """All words that a site of the records shows: its pages but for pictures, and the data that they load."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "store", "records").mkdir(parents=True)
        place, out = Path(folder) / "store", Path(folder) / "site"
        for one in records:
            Store(place).write(one)
        whole = site(read_stores([place], partial(write_cell, out)))
        for write in (front.write, variant.write, external.write, about.write):
            write(Files(out), whole)
        shown = [*sorted(out.glob("*.html")), *sorted((out / "data").rglob("*.js"))]
        return "\n".join(file.read_text() for file in shown)


def at(content: Any, pointer: str) -> Any:
    """What a JSON pointer leads to, by RFC 6901."""
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        content = content[int(step)] if isinstance(content, list) else content[step]
    return content


def pointer_to(place: tuple[Any, ...]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)
