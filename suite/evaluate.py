"""Scores: a model (under its adapters) on evaluations, by lm-eval, with the outcome of every item."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from suite.record import Item, Score
from tasks import sandbox
from tasks.interface import Evaluation, TaskError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from suite.lm import PackLM
    from variants.interface import Adapter

Progress = Callable[[int, int], None]


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    evaluations: Sequence[Evaluation],
    *,
    adapters: Sequence[Adapter] = (),
    limit: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Score]:
    """Score `model` on every evaluation in one pass; a Score by evaluation name.

    `adapters` are routed around the model; none scores the untouched base. `limit` takes the first items of
    each evaluation. `on_progress(done, total)` counts requests. Greedy and with fixed batches, so the same
    call gives the same scores; the global random state is left alone.

    Raises TaskError where an evaluation runs model-written code and no sandbox is to be had, or where the
    model's context is too short for what the evaluation generates.
    """
    if not evaluations:
        return {}
    _check_sandbox(evaluations)
    training, drawn = model.training, random.getstate()  # lm-eval draws task names that nobody uses
    with _quiet():
        from suite.lm import PackLM

        tasks = {evaluation.name: _lm_eval_task(evaluation) for evaluation in evaluations}
        done = _counter(tasks, limit, on_progress)
        lm = PackLM(model, tokenizer, adapters=adapters, batch_size=batch_size, done=done)
        _check_room(tasks, lm)
        try:
            results = _simple_evaluate(lm, list(tasks.values()), limit, seed)
        finally:
            model.train(training)
            random.setstate(drawn)
    return {evaluation.name: _score(evaluation, results) for evaluation in evaluations}


def _check_sandbox(evaluations: Sequence[Evaluation]) -> None:
    """Refuse to run model-written code unprotected."""
    names = [evaluation.name for evaluation in evaluations if evaluation.runs_code]
    if names and (reason := sandbox.available()):
        raise TaskError(f"{names[0]} runs model-written code, and there is no sandbox for it: {reason}")


def _check_room(tasks: Mapping[str, Any], lm: PackLM) -> None:
    """Refuse a generation that leaves no room for its prompt."""
    for name, task in tasks.items():
        if task.OUTPUT_TYPE != "generate_until":
            continue
        new = task.config.generation_kwargs.get("max_gen_toks", lm.max_gen_toks)
        if new >= lm.max_length:
            raise TaskError(
                f"{name} generates up to {new} tokens, and this model's context is {lm.max_length}; "
                f"use a base with a context well above {new}"
            )


def _lm_eval_task(evaluation: Evaluation) -> Any:
    """The evaluation as lm-eval's task object; its `include` is resolved by lm-eval's own loader."""
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    own = {key: value for key, value in evaluation.config.items() if key != "include"}
    include = evaluation.config.get("include")
    config = {**(load_yaml(include) if include else {}), **own}
    config.pop("tag", None)  # as lm-eval's own factory does: it is not about one task
    if callable(process := config.get("process_docs")):
        config["process_docs"] = cache(process)  # lm-eval asks five times for the same documents
    return ConfigurableTask(config=config)


def _simple_evaluate(lm: Any, tasks: list[Any], limit: int | None, seed: int) -> Mapping[str, Any]:
    """One call of lm-eval for all tasks, without its scan of stock files, bootstrap and global seeds."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    simple_evaluate: Any = lm_eval.simple_evaluate  # a decorator hides its type from a checker
    results = simple_evaluate(
        model=lm,
        tasks=tasks,
        limit=limit,
        bootstrap_iters=0,
        log_samples=True,
        task_manager=TaskManager(include_defaults=False),
        random_seed=None,
        numpy_random_seed=None,
        torch_random_seed=None,
        fewshot_random_seed=seed,
        confirm_run_unsafe_code=True,  # in tasks/sandbox.py; `_check_sandbox` has made sure of it
    )
    assert results is not None, "lm-eval returns nothing only on other ranks of a distributed run"
    return results


def _score(evaluation: Evaluation, results: Mapping[str, Any]) -> Score:
    """lm-eval's results on one task as a Score; items in document order, from the headline's filter."""
    metrics = {
        name: float(value)
        for name, value in results["results"][evaluation.name].items()
        if "," in name and "_stderr," not in name and isinstance(value, int | float)
    }
    samples = [s for s in results["samples"][evaluation.name] if s["filter"] == evaluation.filter]
    return Score(
        evaluation=evaluation.name,
        metric=evaluation.metric,
        value=metrics[f"{evaluation.metric},{evaluation.filter}"],
        n=len(samples),
        metrics=metrics,
        items=[_item(sample, evaluation.metric) for sample in sorted(samples, key=lambda s: s["doc_id"])],
    )


def _item(sample: Mapping[str, Any], metric: str) -> Item:
    """One item. A metric that is not a number per item (bits per byte weighs pages) has no right or wrong."""
    value, response = sample[metric], sample["resps"][0][0]
    return Item(
        id=str(sample["doc_id"]),
        correct=None if isinstance(value, tuple) else float(value),
        response=response if isinstance(response, str) else None,
    )


def _counter(
    tasks: Mapping[str, Any], limit: int | None, on_progress: Progress | None
) -> Callable[[], None] | None:
    """What lm-eval's model calls for every finished request."""
    if on_progress is None:
        return None
    total, done = sum(_requests(task, limit) for task in tasks.values()), 0

    def count() -> None:
        nonlocal done
        done += 1
        on_progress(min(done, total), total)

    return count


def _requests(task: Any, limit: int | None) -> int:
    """How many requests a task makes, taking its first item for all."""
    docs = task.task_docs
    choices = len(task.doc_to_choice(docs[0])) if task.OUTPUT_TYPE == "multiple_choice" else 1
    return choices * min(len(docs), limit or len(docs))


@contextmanager
def _quiet() -> Iterator[None]:
    """lm-eval without its log lines, progress bars, machine report and repeated compiling of templates."""
    import datasets
    import lm_eval.api.task
    import lm_eval.evaluator
    import lm_eval.utils

    loggers = [logging.getLogger(name) for name in ("lm_eval", "transformers")]
    levels = [logger.level for logger in loggers]
    bars = datasets.are_progress_bars_disabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        with (
            _replaced(lm_eval.api.task, tqdm=lambda rows, **_: rows),
            _replaced(lm_eval.evaluator, add_env_info=_nothing, get_git_commit_hash=_nothing),
            _replaced(lm_eval.utils, apply_template=_apply_template),
        ):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()


def _nothing(*_: Any, **__: Any) -> None:
    """Two seconds of asking pip and git about the machine, per call; a record has its own provenance."""


def _apply_template(template: str, doc: dict[str, Any]) -> str:
    """lm-eval's own, which compiles the template anew for each of a task's thousands of uses."""
    return _compiled(template).render(**doc)


@cache
def _compiled(template: str) -> Any:
    from lm_eval.utils import env

    return env.from_string(template)


@contextmanager
def _replaced(module: ModuleType, **values: Any) -> Iterator[None]:
    """Other values for names of a module, inside a with block."""
    before = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
