"""`suite prompts`: the prompts of a store whose records came before they were kept, rendered once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from suite import prompts
from suite.errors import UserError
from suite.export import base_folder
from suite.prompts import Prompts
from suite.record import Record
from suite.request import Request
from suite.store import Store
from tasks.interface import Evaluation, Places, TaskError

Name = tuple[str, str]  # (evaluation, digest of its prompts)


@dataclass
class Rendered:
    """What came of it. `missing`: (evaluation, digest) -> why its prompts could not be kept."""

    written: list[Name] = field(default_factory=list)
    had: list[Name] = field(default_factory=list)
    missing: dict[Name, str] = field(default_factory=dict)


def wanted(store: Store) -> dict[Name, Record]:
    """Every evaluation of every record by name and digest of its prompts, with a record that tells of it."""
    found: dict[Name, Record] = {}
    for record in store.records():
        for name in prompts.named(record):
            found.setdefault(name, record)
    return found


def fill(
    store: Store,
    data: tuple[str, ...] = (),
    model: str | None = None,
    on_rendering: Callable[[int, int], None] = lambda done, total: None,
) -> Rendered:
    """Render the prompts of every evaluation in `store` that are not kept, and keep those that agree.

    `data` are the folder and file that the records read, `model` where a base lies whose chat template is
    needed. Nothing is trained or scored. What cannot be rendered, or comes out otherwise, is told.
    """
    found, groups = Rendered(), dict[str, list[tuple[Name, Record]]]()
    for name, record in wanted(store).items():
        if prompts.kept(store, name[1]):
            found.had.append(name)
        else:
            groups.setdefault(_how(record), []).append((name, record))
    for done, group in enumerate(groups.values()):
        on_rendering(done, len(groups))
        record = group[0][1]
        try:
            again = _rendered(record, {name for (name, _), _ in group}, data, model)
        except (TaskError, UserError) as error:
            found.missing |= {name: str(error) for name, _ in group}
            continue
        for name, one in group:
            _keep(store, name, again.get(name[0]), store.packed(one.id), found)
    return found


def _how(record: Record) -> str:
    """What decides the prompts of a record's evaluations."""
    cell = record.cell
    base = cell.base.digest if cell.evaluation.chat_template else ""
    return f"{cell.task.model_dump_json()}{cell.evaluation.model_dump_json()}{base}"


def _keep(store: Store, name: Name, made: Prompts | None, packed: bool, found: Rendered) -> None:
    if made is None:
        found.missing[name] = "there is no evaluation of this name"
    elif made.digest != name[1]:
        found.missing[name] = f"rendered here, its prompts have digest {made.digest}"
    else:
        prompts.write(store, made, packed)
        found.written.append(name)


def _rendered(
    record: Record, names: set[str], data: tuple[str, ...], model: str | None
) -> dict[str, Prompts]:
    """The prompts of these evaluations, as the record's settings have them."""
    from suite import model as models
    from suite.scoring.prompts import rendered

    settings = record.cell.evaluation
    tokenizer = models.tokenizer(base_folder(record, model)) if settings.chat_template else None
    there = [one for one in _evaluations(record, data) if one.name in names]
    return rendered(there, settings, tokenizer)


def _evaluations(record: Record, data: tuple[str, ...]) -> list[Evaluation]:
    """Those of the record's task and the general skills, on the data that it read."""
    from suite.baseline import parts
    from tasks import registry

    folder, own = Request(data=data).folders()
    task = record.cell.task
    read = registry.get(
        task.name,
        Places(data=folder, own=own),
        task.source,
        record.cell.evaluation.target,
        examples=1,  # of the training split, which has no part in the prompts
    )
    return [*read.evaluations, *parts(registry.general(folder))]


def command(store: Store, data: tuple[str, ...], model: str | None) -> bool:
    """Render, show how it goes on stderr, and print what came of it; whether nothing is missing."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.text import Text

    seen = Console(stderr=True)
    with Progress(console=seen, transient=True, disable=not seen.is_terminal) as shown:
        bar = shown.add_task("prompts", total=None)
        found = fill(store, data, model, lambda done, total: shown.update(bar, completed=done, total=total))
    console = Console(soft_wrap=True)
    console.print(Text(f"prompts of {len(found.written)} evaluations kept now, {len(found.had)} were kept"))
    for (evaluation, digest), why in found.missing.items():
        Console(stderr=True, soft_wrap=True).print(Text(f"no prompts of {evaluation} ({digest}): {why}"))
    return not found.missing
