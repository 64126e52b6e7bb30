"""The files of a site: names that cannot meet, and nothing of a stopped build that stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from leaderboard.files import Files, slug
from suite.store import StoreError

TEXTS = [
    "lora",
    "LoRA",
    "lo ra",
    "lo-ra",
    "lo_ra",
    "",
    "-",
    "a" * 61,
    "a" * 62,
    "\u202elora",
    "CON",
    "..",
    "x/y",
]


def test_other_texts_have_other_slugs() -> None:
    texts = TEXTS
    for _ in range(3):  # a slug is a text too, and may be somebody's name
        texts = [*texts, *(slug(text) for text in texts if slug(text) not in texts)]
        assert len({slug(text) for text in texts}) == len(texts)
    for text in texts:
        made = slug(text)
        assert made.isascii() and made.replace("-", "").isalnum() and len(made) < 80, made
    assert slug("lora") == "lora" and slug("lora-1a2b3c4d") == "lora-1a2b3c4d"


def test_what_others_left_goes_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    places = {
        "data/cells/0123.js": "suiteData(",
        "data/mine.js": "alert(1)",
        "charts/plane-0123456789abcdef.svg": "<svg",
        "charts/mine.svg": "<svg",
        "data/.new.js.12.tmp": "half",
        "data/.old.js.12.tmp": "half",
    }
    for path, content in places.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    hour_ago = time.time() - 3600
    os.utime(tmp_path / "data" / ".old.js.12.tmp", (hour_ago, hour_ago))
    files = Files(tmp_path)
    files.data("kept", 1)
    files.prune(["index.html"])
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert left == {"data/kept.js", "data/mine.js", "charts/mine.svg", "data/.new.js.12.tmp"}


def test_a_folder_where_a_file_was_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "old.html").mkdir()
    with pytest.raises(StoreError, match=r"old\.html: cannot be removed"):
        Files(tmp_path).prune(["old.html"])
