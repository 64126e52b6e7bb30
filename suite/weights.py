"""The weights of trained cells: `<store>/adapters/<cell id>/`, whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from suite import model as models

if TYPE_CHECKING:
    from variants.interface import Adapter

FOLDER = "adapters"
ADAPTER = "adapter_config.json"
MODEL = "config.json"
BASE = "base"  # inside an adapter's folder: the model that it stands on, if that is not the untouched base
LEFTOVER_AGE_S = 24 * 3600.0
DIGESTED = ("*.safetensors", "*.safetensors.index.json", ADAPTER, MODEL)


def own_base(folder: Path) -> Path | None:
    """The model that a folder brings: itself, or the one that its adapter stands on; None if neither."""
    if (folder / BASE / MODEL).is_file():
        return folder / BASE
    return folder if (folder / MODEL).is_file() and not (folder / ADAPTER).is_file() else None


def files(folder: Path) -> list[Path]:
    """The files that decide what a folder computes: weights, configurations, tokenizer; in a fixed order."""
    places = [folder, folder / BASE]
    names = (*DIGESTED, *models.TOKENIZER)
    return sorted({path for place in places for name in names for path in place.glob(name)})


def digest(folder: Path) -> str:
    """SHA-256 over names and bytes of those files, 64 hex digits."""
    total = hashlib.sha256()
    for path in files(folder):
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{found}\n".encode())
    return total.hexdigest()


def are(folder: Path, told: str | None) -> bool:
    """Whether a folder holds the weights that a record tells of: the beginning of their digest."""
    return told is not None and folder.is_dir() and digest(folder)[: len(told)] == told


def save(adapter: Adapter, folder: Path, base: str) -> Path:
    """Export an adapter into `folder`, in the place of what lies there; `base` is what its base is called."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder.parent)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        made = temporary / "made"
        adapter.export(made)
        name_base(made, f"./{BASE}" if (made / BASE).is_dir() else base)
        for file in made.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)  # safetensors makes its files private
        if folder.exists():
            folder.rename(temporary / "before")
        made.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _remove_leftovers(parent: Path) -> None:
    """What runs that were killed left behind; a younger folder may be another run's, at work."""
    for leftover in parent.glob(".*.*"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > LEFTOVER_AGE_S:
                shutil.rmtree(leftover, ignore_errors=True)


def discard(folder: Path, names: Iterable[str]) -> None:
    """Remove the kept weights of these cells."""
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)


def name_base(folder: Path, base: str) -> None:
    """Write what the base is called into an adapter's configuration: a name, not where it lies here."""
    file = folder / ADAPTER
    if not file.is_file():
        return
    config = json.loads(file.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@contextmanager
def exported(adapter: Adapter, folder: Path | None, base: str) -> Iterator[Path]:
    """What the adapter exports: kept in `folder`, or there only inside the with block."""
    if folder is not None:
        yield save(adapter, folder, base)
        return
    with tempfile.TemporaryDirectory() as place:
        yield save(adapter, Path(place) / "adapter", base)
