"""A variant that somebody proposes for the board: a file of `leaderboard/submissions/`, and its faults.

    # leaderboard/submissions/dora.yaml
    variant: dora:rank=16                 # as `suite run --variants` takes it; one
    track: pocket                         # a track that is shipped
    tasks: [math, code]                   # all of the track's, if left out
    package: lora-suite-mica==0.1.0       # what pip installs for a variant that is not built in
    by: A name
    link: https://example.org/paper
    note: What a reader should know.

The file's name is the submission's. What it says is untrusted: nothing here installs or loads anything of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from suite import plain_yaml
from suite.errors import UserError
from suite.store import reason

if TYPE_CHECKING:
    from variants.interface import Variant

ENDING = ".yaml"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_LARGEST = 16_384  # bytes of a file
_TEXT = r"^[^\x00-\x1f\x7f-\x9f]*$"
_SPEC = (
    r"^[A-Za-z][^\x00-\x1f\x7f-\x9f/\\]*$"  # no slash: a variant that reads a file of ours is not proposed
)


class SubmissionFault(ValueError):
    """What keeps a submission from being taken, in one line that begins with the file."""


class Submission(BaseModel):
    """What a file says; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    variant: Annotated[str, Field(max_length=300, pattern=_SPEC)]
    track: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)]
    tasks: Annotated[list[str], Field(min_length=1)] | None = None
    package: Annotated[str, Field(max_length=120, pattern=r"^[A-Za-z0-9][\w.-]*==[0-9][\w.+!-]*$")] | None = (
        None
    )
    by: Annotated[str, Field(min_length=1, max_length=100, pattern=_TEXT)]
    link: Annotated[str, Field(max_length=300, pattern=r"^https://[^\s\x00-\x20\x7f<>\"'`\\]+$")]
    note: Annotated[str, Field(max_length=1000, pattern=_TEXT)] = ""


@dataclass(frozen=True)
class Known:
    """A submission whose file could be read, and its variant if what brings it is installed."""

    file: Path
    says: Submission
    variant: Variant | None

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for two that ask for the same records."""
        if self.variant is None:
            return self.says.track, "".join(self.says.variant.split()), self.says.package
        return self.says.track, self.variant.label, str(sorted(self.variant.settings().items()))


def read(file: Path) -> Submission:
    """The submission in a file. Raises SubmissionFault."""
    if file.suffix != ENDING or not NAME.fullmatch(file.stem):
        raise _fault(file, "name it <name>.yaml, of lower-case letters, digits and '-'")
    if file.is_symlink():
        raise _fault(file, "is a link; expected the file itself")
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except OSError as error:
        raise _fault(file, f"cannot be read ({error.strerror or error})") from None
    if len(content) > _LARGEST:
        raise _fault(file, f"has more than {_LARGEST} bytes; no submission does")
    try:
        return Submission.model_validate(plain_yaml.load(content))
    except ValidationError as error:
        raise _fault(file, reason(error)) from None
    except ValueError as error:
        raise _fault(file, f"is no YAML: {error}") from None


def check(file: Path, others: Iterable[Path] = (), smoke: bool = False) -> tuple[list[str], list[str]]:
    """(faults, notes) of one file, each a line; `others` are compared with it, and those in its folder too.

    `smoke` also trains it for a few steps, if nothing else is wrong and its variant is installed.
    """
    try:
        mine = _known(file)
        faults = _on_track(mine) + _twice(mine, {*others, *file.parent.glob(f"*{ENDING}")})
    except SubmissionFault as fault:
        return [str(fault)], []
    if faults:
        return faults, []
    if mine.variant is None:
        told = f"{mine.says.package} is not installed here, so {mine.says.variant!r} itself is not checked"
        return [], [f"{file}: the file is well-formed; {told}"]
    if not smoke:
        return [], [f"{file}: fit"]
    from suite.smoke import smoke as train

    well, told = train(mine.says.variant)
    return ([], [f"{file}: fit; {told}"]) if well else ([f"{file}: {told}"], [])


def _known(file: Path) -> Known:
    """A file with its variant. SubmissionFault where the variant cannot be what it says."""
    from variants import registry
    from variants.interface import VariantError

    says = read(file)
    name = says.variant.partition(":")[0].strip().lower()
    own = name in registry.BUILTIN or name in registry.ALIASES
    if own and says.package:
        raise _fault(file, f"variant {name!r} is built in; leave `package: {says.package}` out")
    installed = {_plain(package): version for package, version in registry.packages().items()}
    package, _, version = (says.package or "").partition("==")
    here = installed.get(_plain(package))
    if says.package and here is None:
        return Known(file, says, None)
    if says.package and here != version:
        raise _fault(file, f"pins {says.package}, and version {here} is installed here")
    try:
        variants = registry.parse_list(says.variant)
    except VariantError as error:
        hint = "" if own or says.package else "; a variant of a plugin needs `package: NAME==VERSION`"
        raise _fault(file, f"{error}{hint}") from None
    if len(variants) > 1:
        raise _fault(file, f"names {len(variants)} variants; write a file for each")
    if not own and not says.package:
        raise _fault(file, f"variant {name!r} comes with a plugin; add `package: NAME==VERSION`")
    return Known(file, says, variants[0])


def _on_track(mine: Known) -> list[str]:
    """Faults of track and tasks."""
    from suite import track as tracks

    try:
        track = tracks.load(mine.says.track)
    except UserError as error:
        return [str(_fault(mine.file, str(error)))]
    wanted = mine.says.tasks or []
    known = {**track.tasks, **track.on_request}
    faults = [
        _fault(mine.file, f"track {track.name!r} has no task {task!r}; it has {', '.join(known)}")
        for task in wanted
        if task not in known
    ]
    if len(set(wanted)) < len(wanted):
        faults.append(_fault(mine.file, "names a task twice"))
    return [str(fault) for fault in faults]


def _twice(mine: Known, files: Iterable[Path]) -> list[str]:
    """Whether another file asks for the same. One that is at fault itself is told where it is checked."""
    found = []
    for file in sorted(files):
        if file.is_dir() or file.resolve() == mine.file.resolve():
            continue
        try:
            other = _known(file)
        except SubmissionFault:
            continue
        if other.key == mine.key:
            found.append(str(_fault(mine.file, f"the same variant on the same track as {file}")))
    return found


def _plain(package: str) -> str:
    """A package's name as pip compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _fault(file: Path, told: str) -> SubmissionFault:
    return SubmissionFault(f"{file}: {told}")
