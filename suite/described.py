"""What a variant is, in the words of its source: read as text, so that nothing is imported and nothing runs.

A built-in variant is a class of a file in `variants/` whose body says `name` and `summary`; one of another
package is an entry point `name = "module:Class"` of the group `lora_suite.variants`. Of the module's
docstring the indented blocks are formulas, and one paragraph says the source: "Source: Hu et al., arXiv ...".
"""

from __future__ import annotations

import ast
import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path

GROUP = "lora_suite.variants"
SWITCH = "LORA_SUITE_PLUGINS"
_LARGEST = 1 << 20  # bytes of a source file
_ARXIV = re.compile(r"arXiv[ :](\d{4}\.\d{4,5})")


@dataclass(frozen=True)
class Block:
    """A paragraph of a docstring; a formula keeps its lines."""

    text: str
    formula: bool


@dataclass(frozen=True)
class Described:
    """A variant as its source describes it. `package` is None for a built-in one.

    `title` is the first line of the module's docstring, `blocks` the rest, `about` what the class says of
    itself, `papers` the arXiv ids, `settings` the defaults that the class itself states, as written.
    `revision` is None where the class does not state its own.
    """

    name: str
    title: str
    summary: str
    about: str
    blocks: tuple[Block, ...]
    papers: tuple[str, ...]
    file: str
    revision: int | None
    settings: Mapping[str, str]
    package: str | None


def described(name: str) -> Described | None:
    """The variant of this name, None where no installed source has it."""
    return _built_in().get(name) or _plugins().get(name)


@cache
def _built_in() -> dict[str, Described]:
    found = util.find_spec("variants")
    folders = (found.submodule_search_locations or []) if found else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.py"))]
    return {one.name: one for file in files for one in _of_file(file, f"variants/{file.name}", None)}


@cache
def _plugins() -> dict[str, Described]:
    """Those of other packages; what cannot be read or names no class is left out."""
    if os.environ.get(SWITCH) == "0":
        return {}
    found: dict[str, Described] = {}
    for point in metadata.entry_points(group=GROUP):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "unnamed"
        top, *rest = point.module.split(".")
        try:
            spec = util.find_spec(top)  # of a dotted name it would import the parents
        except (ImportError, ValueError):
            continue
        for file in _sources(spec.origin, rest) if spec else ():
            for one in _of_file(file, file.name, package):
                if one.name == point.name:
                    found.setdefault(one.name, one)
    return found


def _sources(origin: str | None, rest: list[str]) -> Iterator[Path]:
    """The files that may hold a module of a package: top.py, top/a.py, top/a/__init__.py."""
    if origin is None:
        return
    top = Path(origin)
    if not rest:
        yield top
        return
    yield top.parent.joinpath(*rest).with_suffix(".py")
    yield top.parent.joinpath(*rest, "__init__.py")


def _of_file(file: Path, shown: str, package: str | None) -> Iterator[Described]:
    """Every class of a file that has a name and a summary of its own."""
    try:
        if file.stat().st_size > _LARGEST:
            return
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, RecursionError):  # a stranger's file may be anything
        return
    docstring = ast.get_docstring(tree) or ""
    title, _, rest = docstring.partition("\n")
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in classes:
        said = _said(node)
        name, summary = (said.get(fact) for fact in ("name", "summary"))
        if isinstance(name, str) and isinstance(summary, str):
            revision = said.get("revision")
            yield Described(
                name=name,
                title=title.strip(),
                summary=summary,
                about=_flowing(ast.get_docstring(node) or ""),
                blocks=tuple(_blocks(rest)),
                papers=tuple(dict.fromkeys(_ARXIV.findall(docstring))),
                file=shown,
                revision=revision if isinstance(revision, int) else None,
                settings=_defaults(node),
                package=package,
            )


def _blocks(text: str) -> Iterator[Block]:
    """The paragraphs of a docstring below its first line."""
    for block in re.split(r"\n[ \t]*\n", text.strip("\n")):
        if not block.strip():
            continue
        if all(line.startswith("    ") for line in block.splitlines() if line.strip()):
            yield Block(textwrap.dedent(block).rstrip(), formula=True)
        else:
            yield Block(_flowing(block), formula=False)


def _flowing(text: str) -> str:
    """A text whose paragraphs have no line breaks of their own."""
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n[ \t]*\n", text) if part.strip())


def _said(node: ast.ClassDef) -> dict[str, object]:
    """What the body of a class says outright: name = constant."""
    found: dict[str, object] = {}
    for line in node.body:
        target = line.target if isinstance(line, ast.AnnAssign) else None
        if isinstance(line, ast.Assign) and len(line.targets) == 1:
            target = line.targets[0]
        if isinstance(target, ast.Name) and isinstance(getattr(line, "value", None), ast.Constant):
            found[target.id] = line.value.value  # type: ignore[attr-defined]
    return found


def _defaults(node: ast.ClassDef) -> dict[str, str]:
    """The settings that a class adds, and their defaults as written."""
    return {
        line.target.id: ast.unparse(line.value)
        for line in node.body
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and line.value is not None
        and "ClassVar" not in ast.unparse(line.annotation)
    }
