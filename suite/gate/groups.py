"""Which cells of baseline and candidate are the same but for the seed, and whether they may be compared."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from suite.comparable import NAMED, UNKNOWN, differences
from suite.errors import UserError
from suite.gate.facts import Facts
from suite.gate.words import shortened
from suite.record import Cell
from suite.seeds import digest

# Which of its cells a group holds, and so what is judged: 'fixed' have one learning rate, and everything is;
# 'tuned' have the rate that a search chose, which may be another on the other side: only what came out is;
# 'trial' are the other rates of a search: whether they are there, finished, and the same exact facts.
Kind = Literal["fixed", "tuned", "trial"]


@dataclass(frozen=True)
class Group:
    """The cells of one variant on one task, on both sides.

    An empty candidate is missing. An empty baseline is that of a search which chose no rate.
    """

    variant: str
    task: str
    kind: Kind
    baseline: tuple[Facts, ...]
    candidate: tuple[Facts, ...]

    @property
    def revisions(self) -> tuple[int | None, int | None]:
        """The variant's revision on both sides."""
        new = (self.candidate or self.baseline)[0].cell.variant.revision
        return self.baseline[0].cell.variant.revision, new


@dataclass(frozen=True)
class Matched:
    """The baseline's groups, and what is to be said of how they were found."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]


def match(baseline: Sequence[Facts], candidate: Sequence[Facts]) -> Matched:
    """Every group of the baseline with its like in the candidate.

    Raises UserError where nothing is there, or where what should be alike was trained or scored otherwise.
    """
    for side, cells in (("baseline", baseline), ("candidate", candidate)):
        if not cells:
            raise UserError(f"the {side} holds no records; run `suite run` into it first")
    (old, notes), (new, more) = _newest(baseline, "baseline"), _newest(candidate, "candidate")
    labels = _labels([*baseline, *candidate])
    found = {_short(cells[0].cell) for key, cells in old.items() if key in new}
    several = Counter(_short(cells[0].cell) for cells in old.values())
    groups = []
    for key, cells in old.items():
        short = _short(cells[0].cell)
        if short not in found:
            _refuse(
                labels[short],
                cells[0],
                [others[0] for others in new.values() if _short(others[0].cell) == short],
            )
        groups += _groups(labels[short], cells, new.get(key, []), several[short] > 1)
    if not set(old) & set(new):
        told = f"{_what(baseline[0])}, and {_what(candidate[0])}"
        raise UserError(shortened(f"baseline and candidate have nothing in common: {told}"))
    extra = {" on ".join(labels[_short(cells[0].cell)]) for key, cells in new.items() if key not in old}
    if extra:
        more = [*more, f"in the candidate only, not judged: {', '.join(sorted(extra))}"]
    return Matched(tuple(sorted(groups, key=lambda g: (g.variant, g.task, g.kind))), (*notes, *more))


def _groups(
    label: tuple[str, str], old: Sequence[Facts], new: Sequence[Facts], several: bool
) -> Iterator[Group]:
    """The groups of cells that differ in seed, and, where they are of a search, in rate.

    `several`: the baseline has more such cells of this variant on this task, at other rates.
    """
    variant, task = label
    alone = [tuple(one for one in side if one.part == "alone") for side in (old, new)]
    if alone[0]:
        yield Group(
            _at(variant, alone[0][0].cell.learning_rate) if several else variant, task, "fixed", *alone
        )
    if not any(one.part != "alone" for one in old):
        return
    tuned = [tuple(one for one in side if one.chosen) for side in (old, new)]
    yield Group(f"{variant} (tuned)", task, "tuned", *tuned)
    for rate in sorted({one.cell.learning_rate or 0.0 for one in old if one.part != "alone"}):
        at = [
            tuple(one for one in side if one.part != "alone" and one.cell.learning_rate == rate)
            for side in (old, new)
        ]
        if not at[1] and all(one.part == "edge" for one in at[0]):
            continue
        default = any(one.part == "default" for one in at[0])
        yield Group(_at(variant, rate), task, "fixed" if default else "trial", *at)


def _at(variant: str, rate: float | None) -> str:
    return variant if rate is None else f"{variant} at {rate:g}"


def _short(cell: Cell) -> str:
    """What makes two cells the same variant on the same task, however they were trained."""
    variant, task = cell.variant, cell.task
    return digest([variant.name, variant.settings, task.name, task.source, cell.source])


def _full(one: Facts) -> str:
    """Everything of a cell but seed, the base's name, the variant's revision, and of a search the rate."""
    content = one.cell.model_copy(update={"seed": None}).model_dump(mode="json")
    content["variant"].pop("revision")
    if one.cell.base.digest != UNKNOWN:
        content["base"].pop("name")
    if one.part != "alone":
        content.pop("learning_rate")
    return digest(content)


def _newest(cells: Iterable[Facts], side: str) -> tuple[dict[str, list[Facts]], list[str]]:
    """The cells that may be compared, by key, of the newest revision of their variant; what was left out."""
    found: dict[str, list[Facts]] = defaultdict(list)
    for one in cells:
        found[_full(one)].append(one)
    notes = set()
    for key, members in found.items():
        newest = max(one.cell.variant.revision or 0 for one in members)
        kept = [one for one in members if (one.cell.variant.revision or 0) == newest]
        if len(kept) < len(members):
            notes.add(f"{members[0].cell.variant.name}: the {side}'s older revisions are left out")
        found[key] = sorted(kept, key=lambda one: (one.cell.seed or 0, one.cell.id))
    return dict(found), sorted(notes)


def _labels(cells: Sequence[Facts]) -> dict[str, tuple[str, str]]:
    """Short key -> (variant, task); settings are named where they tell namesakes apart."""
    variants = {_variant(one.cell): one.cell.variant for one in cells}
    names = {}
    for key, variant in variants.items():
        others = [other for other in variants.values() if other.name == variant.name]
        telling = [
            f"{name}={value}"
            for name, value in sorted(variant.settings.items())
            if any(other.settings.get(name) != value for other in others)
        ]
        names[key] = " ".join([variant.name, *telling])
    return {_short(one.cell): (names[_variant(one.cell)], one.cell.task.label) for one in cells}


def _variant(cell: Cell) -> str:
    return digest([cell.variant.name, cell.variant.settings])


def _refuse(label: tuple[str, str], old: Facts, like: Sequence[Facts]) -> None:
    """Raise UserError that names what differs from the candidate's cells of the same variant and task."""
    if not like:
        return
    told = min((_differences(old, new) for new in like), key=len)
    if told:
        raise UserError(shortened(f"{' on '.join(label)} cannot be compared: {'; '.join(told[:NAMED])}"))


def _differences(old: Facts, new: Facts) -> list[str]:
    """What of two cells of one variant on one task forbids to compare them, the baseline's value first."""
    told = differences(old.cell, new.cell)
    precisions = [one.cell.recipe and one.cell.recipe.precision for one in (old, new)]
    if not told and precisions[0] != precisions[1]:
        told = ["precision {} and {}".format(*precisions)]
    searched = ["one rate" if one.part == "alone" else "a search for the rate" for one in (old, new)]
    if not told and searched[0] != searched[1]:
        return ["{} and {}".format(*searched)]
    if not told and old.cell.learning_rate != new.cell.learning_rate:
        return [f"learning rate {old.cell.learning_rate} and {new.cell.learning_rate}"]
    return told


def _what(one: Facts) -> str:
    return f"{one.cell.variant.name} on {one.cell.task.label} of {one.cell.track}"
