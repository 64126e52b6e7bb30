"""The tasks by name, on the pocket world, on a folder of real data, or on a file of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from tasks import code, instruct, math, own, sources
from tasks import evaluations as stock
from tasks import general as skills
from tasks.interface import Budget, Evaluation, Places, Task, TaskError
from tasks.lm_eval import rules as rules_of
from tasks.portions import Portion
from tasks.sets import Domain, TrainingSet

POCKET = "pocket"
POCKET_SPLITS = ("train", "validation", "test")
_DOMAINS: dict[str, Domain] = {d.name: d for d in (math.DOMAIN, code.DOMAIN, instruct.DOMAIN, own.DOMAIN)}


def names() -> list[str]:
    """The tasks there are."""
    return list(_DOMAINS)


def pocket_names() -> list[str]:
    """The tasks that the pocket world has."""
    return [name for name, domain in _DOMAINS.items() if domain.pocket]


def describe() -> list[tuple[str, str]]:
    """Every task with a line about it and its training sets."""
    return [(name, f"{domain.summary}{_sets(domain)}") for name, domain in _DOMAINS.items()]


def _sets(domain: Domain) -> str:
    return f"; trains on {', '.join(s.name for s in domain.sets)} or {own.NAME}" if domain.sets else ""


def evaluation_names() -> list[str]:
    """The evaluations that a data folder can be asked for."""
    return list(stock.STOCK)


def split_spec(text: str) -> tuple[str, str | None]:
    """ "math" -> ("math", None), "math:metamathqa" -> ("math", "metamathqa")."""
    name, colon, source = text.partition(":")
    return name, source if colon else None


def files(name: str, source: str | None = None, evaluations: Sequence[str] | None = None) -> tuple[str, ...]:
    """What a task reads of a data folder: its training set (None: its usual one) and its evaluations."""
    domain = _domain(name)
    if source == POCKET:
        return ()
    source = _usual(domain) if source is None else source
    trained = () if source == own.NAME else _set(domain, source).files
    scored = stock.files(domain.evaluations if evaluations is None else evaluations)
    return tuple(dict.fromkeys((*trained, *scored)))


def get(
    name: str,
    places: Places | None = None,
    source: str | None = None,
    evaluations: Sequence[str] | None = None,
    examples: int | None = None,
    tokens: int | None = None,
) -> Task:
    """A task with its rows read and checked.

    `source` is the training set: None is the pocket world where `places` has no data folder, and the task's
    usual set where it has. `evaluations` (None: the task's own) score it, in this order. `examples` and
    `tokens` bound the training split, whose file is read no further than that needs.
    Raises TaskError where a name is unknown, or a file is missing or malformed.
    """
    places, budget, domain = places or Places(), Budget(examples, tokens), _domain(name)
    if source is None:
        source = POCKET if places.data is None and domain.pocket else _usual(domain)
    if source == POCKET:
        return _pocket(domain, evaluations, budget)
    if places.data is None and source != own.NAME:
        _set(domain, source)
        raise TaskError(
            f"training set {source!r} needs a data folder; give one that has {files(name, source)[0]}"
        )
    folder = None if places.data is None else _folder(places.data)
    scored, read = _scored(domain, folder, evaluations)
    if source == own.NAME:
        return _own(domain, places.own, scored, read, budget)
    assert folder is not None
    one = _set(domain, source)
    portion = one.read(folder, budget)
    notes = one.notes(folder, portion.lines) if one.notes else ()
    found = {str(path.relative_to(folder)): sha for path, sha in portion.files.items()}
    return _task(domain, one.name, one.revision, one.rules, portion, notes, scored, {**read, **found}, budget)


def general(data: Path | None = None) -> skills.General:
    """The general skills and text that forgetting is measured on, from the pocket world or a folder."""
    return skills.pocket() if data is None else skills.local(_folder(data))


def _pocket(domain: Domain, wanted: Sequence[str] | None, budget: Budget) -> Task:
    if domain.pocket is None:
        raise TaskError(
            f"task {domain.name!r} has no pocket form; it trains on a file of your own (--data FILE.jsonl)"
        )
    task = domain.pocket()
    rows = task.examples

    def examples(split: str) -> list:
        return rows(split)[: budget.examples] if split == "train" else rows(split)

    scored = _chosen(task.evaluations, wanted)
    texts = [[one.prompt, one.response] for split in POCKET_SPLITS for one in rows(split)]
    covered = {"rows": task.digest, "texts": texts, "evaluations": _rules(scored)}
    digest = sources.digest(covered)
    return replace(task, digest=digest, examples=examples, evaluations=scored, budget=budget)


def _rules(scored: Sequence[Evaluation]) -> dict[str, str]:
    """Evaluation -> digest of how it asks and judges."""
    return {evaluation.name: rules_of(evaluation.config) for evaluation in scored}


def _scored(
    domain: Domain, folder: Path | None, wanted: Sequence[str] | None
) -> tuple[tuple[Evaluation, ...], dict[str, str]]:
    """The evaluations (the pocket world's, without a folder) and what they read."""
    if folder is None:
        return _chosen(domain.pocket().evaluations if domain.pocket else (), wanted), {}
    chosen = domain.evaluations if wanted is None else wanted
    return stock.build(chosen, folder), sources.sha256_of(folder, *stock.files(chosen))


def _chosen(there: Sequence[Evaluation], wanted: Sequence[str] | None) -> tuple[Evaluation, ...]:
    """Evaluations of the pocket world by name."""
    by_name = {evaluation.name: evaluation for evaluation in there}
    for name in wanted or ():
        if name not in by_name:
            has = ", ".join(by_name) or "none"
            raise TaskError(
                f"no evaluation {name!r} without a data folder; the pocket world has {has} for this task"
            )
    return tuple(there) if wanted is None else tuple(by_name[name] for name in wanted)


def _own(
    domain: Domain, path: Path | None, scored: tuple[Evaluation, ...], read: dict[str, str], budget: Budget
) -> Task:
    if path is None:
        raise TaskError(
            f"task {domain.name!r} on rows of your own: no file given; give one with --data FILE.jsonl"
        )
    portion = own.read(path, budget)
    found = {path.name: portion.files[path]}
    return _task(
        domain, own.NAME, own.REVISION, own.rules(path), portion, (), scored, {**read, **found}, budget
    )


def _task(
    domain: Domain,
    source: str,
    revision: int,
    rules: str,
    portion: Portion,
    notes: tuple[str, ...],
    scored: tuple[Evaluation, ...],
    read: dict[str, str],
    budget: Budget,
) -> Task:
    """A task on what was read."""
    covered = {"rules": rules, "files": read, "evaluations": _rules(scored)}
    return Task(
        name=domain.name,
        source=source,
        revision=revision,
        summary=domain.summary,
        digest=sources.digest(covered),
        examples=lambda split: list(portion.stream(split)),
        evaluations=scored,
        files=read,
        notes=(*notes, *portion.notes),
        budget=budget,
        lazy=portion.stream,
    )


def _domain(name: str) -> Domain:
    if name not in _DOMAINS:
        near = get_close_matches(name, _DOMAINS, n=1, cutoff=0.0)[0]
        raise TaskError(f"no task {name!r}; did you mean {near!r}? (of {', '.join(_DOMAINS)})")
    return _DOMAINS[name]


def _usual(domain: Domain) -> str:
    return domain.sets[0].name if domain.sets else own.NAME


def _set(domain: Domain, source: str) -> TrainingSet:
    by_name = {each.name: each for each in domain.sets}
    if source not in by_name:
        there = [*by_name, own.NAME]
        near = get_close_matches(source, there, n=1, cutoff=0.0)[0]
        raise TaskError(
            f"task {domain.name!r} has no training set {source!r}; did you mean {near!r}? "
            f"(of {', '.join(there)})"
        )
    return by_name[source]


def _folder(data: Path) -> Path:
    if not data.is_dir():
        raise TaskError(
            f"no data folder {str(data)!r}; expected a folder such as one holding gsm8k/train.jsonl"
        )
    return data
