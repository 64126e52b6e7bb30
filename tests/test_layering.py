"""Who may import whom, read from the source: nothing points upwards, and the suite knows no method's name."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("variants", "tasks", "suite", "leaderboard")
LIGHT = (
    *("suite.plan", "suite.record", "suite.store", "suite.summary", "suite.table", "suite.words"),
    *(
        "suite.importing",
        "suite.show",
        "suite.statistics",
        "suite.compare",
        "suite.standings",
        "suite.tuning",
        "leaderboard.build",
        "leaderboard.parts",
        "suite.reading",
        "suite.prompts",
        "suite.exports",
        "suite.described",
    ),
    *("suite.gate", "suite.gate.file", "suite.gate.markdown", "suite.gate.junit", "suite.gate.table"),
)
NAMES = {
    *("lora", "rslora", "lora-plus", "lora-fa", "dora", "pissa", "milora", "olora"),
    *("qlora", "qpissa", "loftq"),
    *("eva", "lora-ga", "corda", "vera", "lora-xs", "lori", "lori-d", "lori-s", "random-mask", "fullft"),
    *("math", "code", "instruct"),
}
WRAPS_PEFT = {"peft_adapter.py", "peft_fields.py"}
OPENED_TO_THE_PAGE = {  # what is known of records without running anything
    *("suite.record", "suite.refs", "suite.origin", "suite.spent", "suite.store", "suite.reading"),
    *(
        "suite.rejected",
        "suite.keys",
        "suite.summary",
        "suite.standings",
        "suite.skills",
        "suite.compare",
        "suite.parts",
    ),
    *("suite.comparable", "suite.tuning", "suite.rates", "suite.optimum", "suite.best_rate", "suite.regions"),
    *("suite.history", "suite.outside_scores", "suite.statistics", "suite.prompts", "suite.described"),
    *("suite.exports", "suite.marked", "suite.words", "suite.seeds", "suite.errors"),
}


def _files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def _imports(tree: ast.AST, package: str) -> Iterator[tuple[str, ast.AST]]:
    """Every module that is imported, wherever in the file; `from x import y` counts as x and x.y."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield module, node
            yield from ((f"{module}.{alias.name}", node) for alias in node.names)


def _upward(room: str, name: str, module: str, nested: bool) -> bool:
    """Whether a file of `room` called `name` must not import `module`."""
    top = module.split(".")[0]
    if top not in ROOMS or top == room:
        return False
    if room == "suite":
        return top == "leaderboard" and not (name == "cli" and nested)
    if room == "leaderboard":
        opened = any(module == f or module.startswith(f"{f}.") for f in OPENED_TO_THE_PAGE)
        return module != "suite" and not opened
    return True


def _faults(room: str, file: Path, source: str) -> list[str]:
    tree = ast.parse(source)
    nested = {
        id(inner)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(function)
    }
    package = ".".join(file.relative_to(ROOT).parent.parts)
    return [
        f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)} imports {module}"
        for module, node in _imports(tree, package)
        if _upward(room, file.relative_to(ROOT / room).parts[0], module, id(node) in nested)
    ]


def _told_by_name(source: str) -> list[int]:
    """Lines where something is compared with a variant's or task's name: ==, in, match, startswith."""
    found = []
    for node in ast.walk(ast.parse(source)):
        parts: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.match_case):
            parts = [node.pattern]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            parts = list(node.args) if node.func.attr in ("startswith", "endswith") else []
        literals = {c.value for part in parts for c in ast.walk(part) if isinstance(c, ast.Constant)}
        if literals & NAMES:
            found.append(getattr(parts[0], "lineno", 0))
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_points_upwards(room: str) -> None:
    files = _files(room)
    assert files
    assert [fault for file in files for fault in _faults(room, file, file.read_text())] == []


@pytest.mark.parametrize(
    ("room", "name", "source", "faults"),
    [
        ("variants", "lora.py", "import suite", 1),
        ("variants", "lora.py", "from ..suite import seeds", 2),
        ("variants", "lora.py", "from .site import Site", 0),
        ("tasks", "math.py", "def f():\n    from variants import lora", 2),
        ("suite", "run.py", "def f():\n    import leaderboard.build", 1),
        ("suite", "cli/run.py", "import leaderboard.build", 1),
        ("suite", "cli/run.py", "def f():\n    import leaderboard.build", 0),
        ("leaderboard", "build.py", "from suite import store, summary", 0),
        ("leaderboard", "build.py", "from suite import run", 1),
        ("leaderboard", "build.py", "import suite.plan", 1),
        ("leaderboard", "build.py", "import tasks", 1),
    ],
)
def test_the_reading_of_imports_can_fail(room: str, name: str, source: str, faults: int) -> None:
    assert len(_faults(room, ROOT / room / name, source)) == faults


def test_the_suite_branches_on_no_name() -> None:
    found = [f"{file.name}:{line}" for file in _files("suite") for line in _told_by_name(file.read_text())]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "if variant.name == 'lora': pass",
        "x = name in ('pissa', 'other')",
        "match name:\n    case 'math': pass",
        "name.startswith('lori')",
    ],
)
def test_the_reading_of_names_can_fail(source: str) -> None:
    assert _told_by_name(source)


def _foreign(source: str, name: str) -> set[str]:
    """What a file of variants/ imports beside torch, safetensors and the standard library.

    peft is open to the files that wrap it, inside functions, so that it is read only when it is used.
    """
    allowed = {*sys.stdlib_module_names, "torch", "safetensors", "variants"}
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    nested = {id(inner) for function in functions for inner in ast.walk(function)}
    return {
        f"{name}: {module}"
        for module, node in _imports(tree, "variants")
        if module.split(".")[0] not in allowed
        and not (module.split(".")[0] == "peft" and name in WRAPS_PEFT and id(node) in nested)
    }


def test_variants_need_torch_safetensors_and_the_standard_library() -> None:
    assert {fault for file in _files("variants") for fault in _foreign(file.read_text(), file.name)} == set()


@pytest.mark.parametrize(
    ("name", "source", "faults"),
    [
        ("lora.py", "def f():\n    import peft", 1),
        ("peft_fields.py", "import peft", 1),
        ("peft_fields.py", "def f():\n    from peft.utils import x", 0),
        ("peft_fields.py", "def f():\n    import transformers", 1),
    ],
)
def test_the_reading_of_needs_can_fail(name: str, source: str, faults: int) -> None:
    assert len({each.split(".")[0] for each in _foreign(source, name)}) == faults


@pytest.mark.parametrize("module", LIGHT)
def test_reading_results_needs_no_torch(module: str) -> None:
    program = f"import {module}, sys; print(*{{'torch', 'transformers'}} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
