"""Variants of other packages: entry points of the group `lora_suite.variants`, loaded when first asked for.

    [project.entry-points."lora_suite.variants"]
    mica = "lora_suite_mica:MiCA"

The entry point's name is the variant's name, the object its class. One that cannot be used is kept with the
reason and stops nobody else. LORA_SUITE_PLUGINS=0 turns all of them off.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields, replace
from importlib import metadata
from inspect import get_annotations

from variants.interface import Variant
from variants.spec import said

GROUP = "lora_suite.variants"
SWITCH = "LORA_SUITE_PLUGINS"
NAME = re.compile(r"[a-z][a-z0-9_-]*")
FACTS = {"revision": int, "phases": int, "packable": bool, "trains_base": bool, "starts_at_base": bool}

_loaded: list[Plugin] | None = None


@dataclass(frozen=True)
class Plugin:
    """An entry point of `package` ("lora-suite-mica 0.1.0"): the class it brings, or what is wrong."""

    name: str
    package: str
    variant: type[Variant] | None = None
    fault: str | None = None

    def __str__(self) -> str:
        return f"{self.name} of {self.package}" + (f": {self.fault}" if self.fault else "")


def loaded(taken: Collection[str]) -> list[Plugin]:
    """Every plugin of this machine, loaded once a process; `taken` are names that a plugin may not have."""
    global _loaded
    if os.environ.get(SWITCH) == "0":
        return []
    if _loaded is None:
        _loaded = []  # what a plugin sees that asks for the others while it is loaded itself
        _loaded = _without_clashes(list(_found()), taken)
    return _loaded


def forget() -> None:
    """Look for plugins again when next asked."""
    global _loaded
    _loaded = None


def fault(cls: object) -> str | None:
    """What keeps an object from being a variant's class, or None."""
    if not (isinstance(cls, type) and issubclass(cls, Variant)):
        return f"{repr(cls)[:80]} is no subclass of variants.Variant"
    params = vars(cls).get("__dataclass_params__")
    if params is None or not params.frozen:
        return f"{cls.__name__} is no frozen dataclass; write @dataclass(frozen=True) above it"
    if unwritten := sorted(getattr(cls, "__abstractmethods__", ())):
        return f"{cls.__name__} does not write {', '.join(unwritten)}"
    for fact in ("name", "summary"):
        text = getattr(cls, fact, None)
        if not isinstance(text, str) or not text.strip() or "\n" in text:
            return f"{cls.__name__} has no {fact}; write {fact}: ClassVar[str] = ... as one line"
    for fact, kind in FACTS.items():
        value = getattr(cls, fact)
        if not isinstance(value, property) and not (type(value) is kind and (kind is bool or value >= 1)):
            expected = "a whole number from 1" if kind is int else "True or False"
            return f"{cls.__name__}.{fact} must be {expected}, got {value!r}"
    return _not_settings(cls)


def _not_settings(cls: type[Variant]) -> str | None:
    """Facts of the class that lost their ClassVar and became settings."""
    facts = {
        key for base in cls.__mro__ for key, kind in get_annotations(base).items() if "ClassVar" in str(kind)
    }
    lost = [setting.name for setting in fields(cls) if setting.name in facts]
    return f"{cls.__name__}.{lost[0]} is no setting; write {lost[0]}: ClassVar[...] = ..." if lost else None


def _found() -> Iterator[Plugin]:
    """What the installed packages declare, each loaded and looked at; a package found twice counts once."""
    seen: set[str] = set()
    for package in metadata.distributions():
        label = _label(package)
        try:
            text = package.read_text("entry_points.txt") or ""
        except (OSError, ValueError) as error:  # UnicodeDecodeError among them
            yield Plugin("?", label, fault=f"its entry_points.txt cannot be read ({said(error)})")
            continue
        if GROUP not in text:
            continue
        key = re.sub(r"[-_.]+", "-", label.partition(" ")[0]).lower()
        if key in seen:
            continue
        seen.add(key)
        try:
            points = sorted(package.entry_points.select(group=GROUP), key=lambda point: point.name)
        except Exception as error:  # a stranger's file may be wrong in any way
            yield Plugin("?", label, fault=f"its entry_points.txt cannot be read ({said(error)})")
            continue
        yield from (_load(point, label) for point in points)


def _label(package: metadata.Distribution) -> str:
    """Name and version of a package as they are written, "unnamed" where nothing is."""
    try:
        return f"{package.metadata['Name'] or 'unnamed'} {package.metadata['Version'] or ''}".strip()
    except Exception:  # without a METADATA file the versions of Python raise different things
        return "unnamed"


def _load(point: metadata.EntryPoint, package: str) -> Plugin:
    plugin = Plugin(point.name, package)
    if not NAME.fullmatch(point.name):
        return replace(plugin, fault="its name must be lower-case letters, digits, - and _")
    try:
        cls = point.load()
        wrong = fault(cls)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may raise anything when imported, SystemExit included
        return replace(plugin, fault=f"{point.value} cannot be loaded ({said(error)})")
    if wrong is None and cls.name != point.name:
        wrong = f"{cls.__name__}.name is {cls.name!r}, the entry point's name {point.name!r}; make them equal"
    return replace(plugin, fault=wrong) if wrong else replace(plugin, variant=cls)


def _without_clashes(plugins: list[Plugin], taken: Collection[str]) -> list[Plugin]:
    """Refuse a plugin with a taken name, and all that share one: a name in a record means one method."""
    kept = []
    for plugin in sorted(plugins, key=lambda one: (one.name, one.package)):
        rivals = [p.package for p in plugins if p.name == plugin.name and p.variant and p is not plugin]
        if plugin.variant and plugin.name in taken:
            plugin = replace(plugin, variant=None, fault="this name belongs to a built-in variant")
        elif plugin.variant and rivals:
            told = f"{', '.join(sorted(rivals))} brings the same name; uninstall one of them"
            plugin = replace(plugin, variant=None, fault=told)
        kept.append(plugin)
    return kept
