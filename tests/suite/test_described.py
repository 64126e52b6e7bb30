"""What is read of a variant's source without running any of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from suite import described as module
from suite.described import described
from variants import registry

ROOT = Path(__file__).parents[2]
METHOD = '''"""Made up: a method that is not.

    y = W x + z,
      z = 0

Source: Somebody et al., arXiv 1234.56789, section 2, and
more of that.
"""

raise SystemExit("this module must not be imported")


class Nothing:
    name = "no summary here"


class Mine(Base):
    """Does nothing,
    at length."""

    name: ClassVar[str] = "made-up"
    summary: ClassVar[str] = "nothing at all"
    revision: ClassVar[int] = 4

    rank: int = 8
    alpha: float | str = "2r"
'''


@pytest.mark.parametrize("name", registry.BUILTIN)
def test_every_built_in_variant_is_described_by_its_own_words(name: str) -> None:
    cls = registry.BUILTIN[name]
    found = described(name)
    assert found is not None and found.package is None
    assert found.summary == cls.summary
    assert found.file == f"variants/{Path(sys.modules[cls.__module__].__file__ or '').name}"
    assert found.title and found.title == (sys.modules[cls.__module__].__doc__ or "").splitlines()[0]
    assert found.revision in (None, cls.revision)


def test_a_formula_keeps_its_lines_and_a_paper_is_named() -> None:
    found = described("lora")
    assert found is not None
    formula = next(block.text for block in found.blocks if block.formula)
    assert formula.startswith("y = W x + s*B(A x),") and "\nA ~ U(" in formula
    assert found.papers == ("2106.09685",) and found.settings == {"alpha": "32"}


def test_no_torch_is_needed() -> None:
    program = (
        "import sys; from suite.described import described; described('lora'); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_an_unknown_variant_has_no_definition() -> None:
    assert described("no-such-variant") is None and described("../lora") is None


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with an entry point, on the path as an installed one is."""
    info = tmp_path / "made_up-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[lora_suite.variants]\nmade-up = made_up_module:Mine\n")
    (tmp_path / "made_up_module.py").write_text(METHOD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LORA_SUITE_PLUGINS", "1")
    module._plugins.cache_clear()
    yield tmp_path
    module._plugins.cache_clear()


def test_a_plugin_is_read_and_not_run(plugin: Path) -> None:
    found = described("made-up")
    assert found is not None and "made_up_module" not in sys.modules
    assert (found.package, found.file, found.revision) == ("made-up 1.5", "made_up_module.py", 4)
    assert found.title == "Made up: a method that is not." and found.summary == "nothing at all"
    assert [(block.text, block.formula) for block in found.blocks] == [
        ("y = W x + z,\n  z = 0", True),
        ("Source: Somebody et al., arXiv 1234.56789, section 2, and more of that.", False),
    ]
    assert found.papers == ("1234.56789",) and found.about == "Does nothing, at length."
    assert found.settings == {"rank": "8", "alpha": "'2r'"}


def test_plugins_can_be_turned_off(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_SUITE_PLUGINS", "0")
    assert described("made-up") is None


@pytest.mark.parametrize("text", ["def (", "\x00", "(" * 500, ""])
def test_a_plugin_of_which_nothing_can_be_read_is_unknown(plugin: Path, text: str) -> None:
    (plugin / "made_up_module.py").write_text(text)
    assert described("made-up") is None


def test_a_plugin_brings_the_variant_of_its_name_alone(plugin: Path) -> None:
    info = plugin / "made_up-1.5.dist-info" / "entry_points.txt"
    info.write_text("[lora_suite.variants]\nother = made_up_module:Mine\n")
    assert described("made-up") is None and described("other") is None
