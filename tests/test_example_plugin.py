"""The example plugin, really installed: listed, checked, trained, beside a broken one; and README on it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "tests" / "example_plugin"
METHOD = EXAMPLE / "lora_suite_mica.py"
BROKEN = "shaky of lora-suite-shaky 0.3: lora_suite_shaky:Shaky cannot be loaded (ImportError: not here)"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages: the example, built and installed by pip, and a broken plugin."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", *offline]
    subprocess.run([*pip, "--target", str(folder / "site"), str(source)], check=True)
    info = folder / "site" / "lora_suite_shaky-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lora-suite-shaky\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text("[lora_suite.variants]\nshaky = lora_suite_shaky:Shaky\n")
    (folder / "site" / "lora_suite_shaky.py").write_text("raise ImportError('not here')\n")
    return folder / "site"


def suite(place: Path, *words: str, plugins: str = "1") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own that sees the installed packages."""
    path = os.pathsep.join([str(place), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "LORA_SUITE_PLUGINS": plugins}
    command = [sys.executable, "-m", "suite.cli", *words]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=300)


def test_it_is_listed_and_the_broken_one_told(place: Path) -> None:
    done = suite(place, "list", "variants")
    assert done.returncode == 0, done.stderr
    *others, mica, last = done.stdout.splitlines()
    assert mica.startswith("mica ") and mica.endswith("[lora-suite-mica 0.1.0]")
    assert last == f"broken: {BROKEN}"
    off = suite(place, "list", "variants", plugins="0")
    assert off.stdout.splitlines() == others


def test_it_passes_its_checks(place: Path) -> None:
    done = suite(place, "check-variant", "mica", "--json")
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)
    assert {check["status"] for check in one["checks"]} == {"passed"}


def test_a_run_trains_it_in_a_worker(place: Path, tmp_path: Path) -> None:
    asked = ["--variants", "mica:rank=4", "--tasks", "math", "--steps", "2", "--limit", "2"]
    done = suite(place, "run", *asked, "--device", "cpu", "--workers", "1", "--store", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"broken plugin: {BROKEN}" in done.stderr.splitlines()
    (file,) = (tmp_path / "records").glob("*.json")
    record: dict[str, Any] = json.loads(file.read_text())
    assert record["status"] == "ok" and record["cell"]["variant"]["name"] == "mica"
    assert record["cell"]["variant"]["settings"]["rank"] == 4


def test_asking_for_the_broken_one_says_why(place: Path) -> None:
    done = suite(place, "run", "--variants", "mica,shaky")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"error: broken plugin {BROKEN}\n"


def method() -> Any:
    """The example's module, from its file."""
    spec = importlib.util.spec_from_file_location("lora_suite_mica", METHOD)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_it_starts_as_in_peft(make_model) -> None:
    """B of every layer and what trains, against peft's own MiCA; both take one SVD in float32: equal bits."""
    adapter = method().MiCA(rank=4).attach(make_model(), seed=0)
    config = LoraConfig(r=4, lora_alpha=4, init_lora_weights="mica", target_modules=["q_proj", "down_proj"])
    theirs: Any = get_peft_model(make_model(), config).base_model.model
    for name in ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"):
        site, layer = adapter.sites[name], theirs.get_submodule(name)
        torch.testing.assert_close(site.B, layer.lora_B["default"].weight, rtol=0, atol=0)
        assert not site.A.any() and not layer.lora_A["default"].weight.any()
        assert list(site.trained()) == ["A"] and site.scale == layer.scaling["default"]


def test_it_is_short() -> None:
    assert len(METHOD.read_text().splitlines()) < 60


@pytest.mark.parametrize(("file", "language"), [(METHOD, "python"), (EXAMPLE / "pyproject.toml", "toml")])
def test_the_tutorial_is_this_package(file: Path, language: str) -> None:
    blocks = (ROOT / "README.md").read_text().split(f"```{language}\n")[1:]
    assert file.read_text() in [block.partition("```")[0] for block in blocks]
