"""Variants of other packages: found by entry point, loaded late and once, harmless when they are broken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from variants import VariantError, plugins, registry

GOOD = """
from dataclasses import dataclass
from typing import ClassVar
from variants.lora import LoRA

@dataclass(frozen=True)
class Mine(LoRA):
    name: ClassVar[str] = "mine"
    summary: ClassVar[str] = "one of mine"
"""
CLASS = "from dataclasses import dataclass\nfrom typing import ClassVar\nfrom variants.lora import LoRA\n"
HEAD = GOOD.partition("    name")[0]

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A function that puts a package with one module and one entry point on the path."""
    monkeypatch.setenv(plugins.SWITCH, "1")
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)

    def put(package: str, source: str, point: str = "mine = {module}:Mine", version: str = "1.2") -> None:
        module = package.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        point = point.replace("{module}", module)
        (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{point}\n")
        plugins.forget()

    yield put
    plugins.forget()
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_a_plugin_is_a_variant_like_any_other(install: Install) -> None:
    install("some-package", GOOD)
    assert registry.names()[-1] == "mine"
    assert registry.describe()[-1] == ("mine", "one of mine [some-package 1.2]")
    variant = registry.parse(" Mine : rank=4")
    assert variant.settings()["rank"] == 4 and variant.name == "mine"
    assert registry.build("mine", variant.settings()) == variant
    assert [v.name for v in registry.parse_list("lora,mine,rank=2")] == ["lora", "mine"]
    assert registry.broken() == []
    with pytest.raises(VariantError, match="nearest is 'mine'"):
        registry.get("mini")


def test_plugins_can_be_turned_off(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("some-package", GOOD)
    monkeypatch.setenv(plugins.SWITCH, "0")
    assert "mine" not in registry.names()
    with pytest.raises(VariantError, match="unknown variant 'mine'"):
        registry.get("mine")


def test_plugins_are_loaded_late_and_once(install: Install) -> None:
    install(
        "counting", f"import builtins\nbuiltins.mine_loaded = getattr(builtins, 'mine_loaded', 0) + 1\n{GOOD}"
    )
    registry.parse("lora:rank=4")
    registry.get("lori")
    assert "counting" not in sys.modules
    for _ in range(2):
        assert registry.get("mine").name == "mine"
        registry.names(), registry.describe(), registry.broken()
    import builtins

    assert builtins.__dict__.pop("mine_loaded") == 1


def test_importing_variants_and_help_load_no_plugin(install: Install, tmp_path: Path) -> None:
    install("loud", f"print('loaded')\n{GOOD}")
    for program in ("import variants, suite.cli", "import variants; variants.get('pissa')"):
        program = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, '.']; {program}"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout == "", program


BROKEN = {
    "import error": ("import nowhere_at_all", "cannot be loaded (ModuleNotFoundError: No module named"),
    "syntax": ("def", "cannot be loaded (SyntaxError: "),
    "two lines": ("raise ValueError('a\\nb')", "cannot be loaded (ValueError: a b)"),
    "exit": ("raise SystemExit('enough')", "cannot be loaded (SystemExit: enough)"),
    "no such class": ("x = 1", "cannot be loaded (AttributeError: module"),
    "no class": ("Mine = 3", "3 is no subclass of variants.Variant"),
    "another class": ("class Mine: ...", "is no subclass of variants.Variant"),
    "no dataclass": (
        f"{CLASS}class Mine(LoRA):\n name = 'mine'",
        "Mine is no frozen dataclass; write @dataclass",
    ),
    "not frozen": (
        f"{CLASS}@dataclass\nclass Mine(LoRA): ...",
        "TypeError: cannot inherit non-frozen dataclass",
    ),
    "abstract": (
        CLASS.replace("lora import LoRA", "interface import Variant as LoRA") + "@dataclass(frozen=True)\n"
        "class Mine(LoRA):\n name: ClassVar[str] = 'mine'\n summary: ClassVar[str] = 's'",
        "Mine does not write attach",
    ),
    "no name": (
        CLASS.replace("lora import LoRA", "lowrank import LowRankVariant as LoRA")
        + "@dataclass(frozen=True)\n"
        "class Mine(LoRA):\n def start(self, weight, rng): ...",
        "Mine has no name; write name: ClassVar[str]",
    ),
    "no summary": (f"{HEAD}    name: ClassVar[str] = 'mine'\n    summary = ''", "Mine has no summary"),
    "another name": (
        f"{HEAD}    name: ClassVar[str] = 'yours'",
        "name is 'yours', the entry point's name 'mine'",
    ),
    "name as setting": (f"{HEAD}    name: str = 'mine'", "Mine.name is no setting; write name: ClassVar"),
    "phases": (GOOD + "    phases: ClassVar[int] = 0", "Mine.phases must be a whole number from 1, got 0"),
    "packable": (GOOD + "    packable = 'no'", "Mine.packable must be True or False, got 'no'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_told_with_its_package_and_stops_nobody(case: str, install: Install) -> None:
    source, told = BROKEN[case]
    install("broken-one", source)
    install("good-one", GOOD.replace("mine", "other"), "other = {module}:Mine", "0.1")
    (line,) = registry.broken()
    assert line.startswith("mine of broken-one 1.2: ") and told in line and "\n" not in line
    assert registry.get("other").name == "other" and registry.names()[-1] == "other"
    with pytest.raises(VariantError) as caught:
        registry.parse("mine:rank=2")
    assert str(caught.value) == f"broken plugin {line}"


@pytest.mark.parametrize(
    ("point", "told"),
    [
        ("lora = {module}:Mine", "lora of some-package 1.2: this name belongs to a built-in variant"),
        ("lori = {module}:Mine", "lori of some-package 1.2: this name belongs to a built-in variant"),
        ("My Mine = {module}:Mine", "My Mine of some-package 1.2: its name must be lower-case letters"),
        ("mine", "? of some-package 1.2: its entry_points.txt cannot be read"),
    ],
)
def test_names_that_cannot_be(point: str, told: str, install: Install) -> None:
    name = point.partition(" ")[0]
    install("some-package", GOOD.replace('"mine"', f'"{name}"'), point)
    (line,) = registry.broken()
    assert line.startswith(told)
    assert registry.get("lora").__module__ == "variants.lora"


def test_two_packages_with_one_name_are_both_refused(install: Install) -> None:
    install("first", GOOD)
    install("second", GOOD)
    assert registry.broken() == [
        "mine of first 1.2: second 1.2 brings the same name; uninstall one of them",
        "mine of second 1.2: first 1.2 brings the same name; uninstall one of them",
    ]
    with pytest.raises(VariantError, match=r"second 1\.2 brings the same name"):
        registry.get("mine")
    install("third", "import nowhere_at_all")
    assert len(registry.broken()) == 3


def test_a_broken_plugin_takes_no_name_away(install: Install) -> None:
    install("broken", "import nowhere_at_all")
    install("good", GOOD)
    assert registry.get("mine").name == "mine" and len(registry.broken()) == 1


def test_a_package_without_metadata(install: Install, tmp_path: Path) -> None:
    install("bare", "import nowhere_at_all")
    (tmp_path / "bare-1.2.dist-info" / "METADATA").unlink()
    (line,) = registry.broken()
    assert line.startswith("mine of unnamed: bare:Mine cannot be loaded")


def test_a_setting_without_a_default_is_asked_for(install: Install) -> None:
    install("needy", GOOD.replace("@dataclass(", "@dataclass(kw_only=True, ") + "    file: str\n")
    with pytest.raises(VariantError, match="mine: setting 'file' has no default; write mine:file="):
        registry.parse("mine")
    assert registry.parse("mine:file=a").settings()["file"] == "a"


def test_a_plugin_may_ask_for_variants_while_it_is_loaded(install: Install) -> None:
    install("curious", f"import variants\nassert 'lora' in variants.names()\n{GOOD}")
    assert registry.names()[-1] == "mine" and registry.broken() == []
