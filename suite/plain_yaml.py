"""YAML of strangers: plain values alone. An alias or a merge key can make gigabytes of some hundred bytes."""

from __future__ import annotations

from typing import Any

import yaml


class _Plain(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (*name) stands in it; write the value out")
        return super().compose_node(parent, index)


def load(content: bytes | str) -> Any:
    """The value of a YAML text. Raises ValueError whatever is wrong with it."""
    try:
        return yaml.load(content, Loader=_Plain)
    except Exception as error:  # PyYAML's constructors raise IndexError, KeyError and others too
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
