"""Loading a model: every tensor comes from the files, or it is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from suite.errors import UserError
from suite.model import weights


@pytest.mark.parametrize("fault", ["missing", "shape"])
def test_what_the_files_lack_is_not_drawn_at_random(fault: str, tiny_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    tensors = load_file(folder / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    if fault == "missing":
        del tensors[name]
    else:
        tensors[name] = torch.zeros(3, 3)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"up_proj|size mismatch|mismatch") as told:
        weights(folder, "float32", "cpu")
    assert "\n" not in str(told.value)
    weights(tiny_base, "float32", "cpu")
