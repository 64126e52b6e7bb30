"""The tasks by name, on the pocket world or on a folder of real data."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from tasks import code, instruct, math
from tasks import general as skills
from tasks.interface import Task, TaskError

_POCKET: dict[str, Callable[[], Task]] = {
    "math": math.pocket,
    "code": code.pocket,
    "instruct": instruct.pocket,
}
_LOCAL: dict[str, Callable[[Path], Task]] = {"math": math.local}
_SUMMARIES = {"math": math.SUMMARY, "code": code.SUMMARY, "instruct": instruct.SUMMARY}


def names() -> list[str]:
    """The tasks there are."""
    return list(_POCKET)


def describe() -> list[tuple[str, str]]:
    """Every task with a line about it."""
    return list(_SUMMARIES.items())


def get(name: str, data: Path | None = None) -> Task:
    """A task on the pocket world, or on the real files of the folder `data`.

    Raises TaskError where the name is unknown, has no real data here, or its files are missing or malformed.
    """
    if name not in _POCKET:
        near = get_close_matches(name, _POCKET, n=1, cutoff=0.0)[0]
        raise TaskError(f"no task {name!r}; did you mean {near!r}? (of {', '.join(_POCKET)})")
    if data is None:
        return _POCKET[name]()
    if name not in _LOCAL:
        raise TaskError(
            f"task {name!r} has no real data form; with a data folder expected {', '.join(_LOCAL)}, "
            f"or leave the folder out for pocket {name}"
        )
    return _LOCAL[name](_folder(data))


def general(data: Path | None = None) -> skills.General:
    """The general skills and text that forgetting is measured on, from the pocket world or a folder."""
    return skills.pocket() if data is None else skills.local(_folder(data))


def _folder(data: Path) -> Path:
    if not data.is_dir():
        raise TaskError(
            f"no data folder {str(data)!r}; expected a folder such as one holding gsm8k/train.jsonl"
        )
    return data
