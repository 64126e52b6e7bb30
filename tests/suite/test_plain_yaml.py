"""YAML of strangers: whatever it holds, it is values or one ValueError, at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from suite import badge, plain_yaml
from suite.store import StoreError

MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
)
HOSTILE = {
    "merge keys": MERGES,
    "aliases": "a: &a [1]\nb: [*a, *a]",
    "empty int": 'badge: !!int ""',
    "no bool": "badge: !!bool foo",
    "no time": "badge: !!timestamp foo",
    "no float": 'badge: !!float ""',
    "python": "!!python/object/apply:os.system ['true']",
    "deep": "[" * 5000 + "]" * 5000,
    "control": "badge: \x01",
    "two": "a: 1\n---\nb: 2",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_it_is_one_value_error_at_once(content: str, tmp_path: Path) -> None:
    start = time.process_time()
    with pytest.raises(ValueError):
        plain_yaml.load(content)
    (tmp_path / badge.FILE).write_text(content)
    with pytest.raises(StoreError) as told:
        badge.read(tmp_path)
    assert "\n" not in str(told.value) and badge.FILE in str(told.value)
    assert time.process_time() - start < 10


def test_plain_values_are_read() -> None:
    assert plain_yaml.load("badge: verified\nby: [a, 'b', 3]") == {"badge": "verified", "by": ["a", "b", 3]}
